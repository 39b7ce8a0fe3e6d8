package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/speaker/kube/informers"
)

// routingConfig is the configuration that affects all addresses.
type routingConfig struct {
	routes.Config
	peers    []bgp.Peer
	states   map[bgp.PeerName]bgp.PeerState // of the peers that have a problem
	draining bool
	internal []netip.Addr // InternalIPs of the node
	problems []string
}

// readConfig makes the configuration from all objects. An invalid object is left out and has a sentence in
// problems. It does not affect other objects.
func (f *ConfigWatcher) readConfig(changes informers.Changes) routingConfig {
	c := routingConfig{states: map[bgp.PeerName]bgp.PeerState{}}
	self := informers.Get[*corev1.Node](changes, client.ObjectKey{Name: string(f.Self)})
	f.nodes = changes.Nodes()
	c.Nodes = f.nodes
	if self != nil {
		c.Node = f.nodes[slices.IndexFunc(f.nodes, func(n eligibility.Node) bool { return n.Name == f.Self })]
		c.internal = apiconv.InternalIPs(self)
	} else {
		c.Node = eligibility.Node{Name: f.Self, Excluded: "is not known to the cluster"}
	}
	c.Pools = changes.Pools()
	f.readAdvertisements(changes, &c)
	peers := f.bgpPeers.read(informers.All[*v1beta1.BGPPeer](changes), apiconv.ParseBGPPeer, c.recordInvalid("BGPPeer"))
	var candidates []bgp.PeerCandidate
	for _, parsed := range peers {
		if peer, ok := f.readPeer(changes, &c, self, parsed); ok {
			candidates = append(candidates, bgp.PeerCandidate{Peer: peer, Created: parsed.Created})
		}
	}
	f.selectPeers(&c, candidates)
	if f.standby = c.Node.IsOnStandby(); f.standby {
		f.speakers = readySpeakers(changes)
		c.Others = f.otherAnnouncers(c.Nodes, peers)
		// A node that drains withdraws its routes, unless no other node can announce them.
		c.draining = c.Node.Draining && len(c.Others) > 0
	}
	f.rememberPeers(&c)
	slices.Sort(c.problems)
	return c
}

// otherAnnouncers returns the nodes that can announce addresses in place of this node. Such a node is ready,
// is neither excluded nor drained, and has a ready speaker and a BGPPeer.
func (f *ConfigWatcher) otherAnnouncers(nodes []eligibility.Node, peers []apiconv.BGPPeer) []eligibility.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n eligibility.Node) bool {
		return n.Name == f.Self || !f.speakers[n.Name] || n.Excluded != "" || n.Draining || n.Down ||
			!slices.ContainsFunc(peers, func(p apiconv.BGPPeer) bool { return p.SelectsNode(n.Labels) })
	})
}

func (f *ConfigWatcher) readAdvertisements(changes informers.Changes, c *routingConfig) {
	var communities []v1beta1.Community
	for _, object := range informers.All[*v1beta1.Community](changes) {
		communities = append(communities, *object)
	}
	aliases, wrong := apiconv.ParseCommunities(communities)
	for name, err := range wrong {
		c.addProblem("the Community %q: %v", name, err)
	}
	parse := func(object *v1beta1.BGPAdvertisement) (routes.Advertisement, *apiconv.SpecError) {
		return apiconv.ParseBGPAdvertisement(object, aliases)
	}
	c.Advertisements = f.advertisements.read(informers.All[*v1beta1.BGPAdvertisement](changes), parse, c.recordInvalid("BGPAdvertisement"))
}

// recordInvalid returns a function that records an invalid object of a kind as a problem.
func (c *routingConfig) recordInvalid(kind string) func(name string, stays bool, err error) {
	return func(name string, stays bool, err error) {
		what := "is ignored"
		if stays {
			what = "stays in effect with its last valid spec"
		}
		c.addProblem("the %s %q %s: %v", kind, name, what, err)
	}
}

func (c *routingConfig) addProblem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// readPeer adds the BFD profile and the password that a parsed peer refers to. It returns false if this node
// must not have a session with the router.
func (f *ConfigWatcher) readPeer(changes informers.Changes, c *routingConfig, self *corev1.Node, parsed apiconv.BGPPeer) (bgp.Peer, bool) {
	p := parsed.Peer
	if self == nil || !parsed.SelectsNode(self.Labels) {
		return p, false
	}
	if parsed.BFDProfile != "" {
		profile, why := profileOf(changes, parsed.BFDProfile)
		switch {
		case why == "":
			p.BFD = &profile
		case f.inUse[p.Name].BFD != nil:
			p.BFD = f.inUse[p.Name].BFD
			c.addProblem("the BGPPeer %q stays in effect with its last valid BFD profile: %s", p.Name, why)
		default:
			c.addProblem("the BGPPeer %q is in effect without BFD: %s", p.Name, why)
		}
	}
	if parsed.PasswordSecret != "" {
		problem := f.setPassword(changes, &p, parsed.PasswordSecret)
		if problem != (bgp.Problem{}) {
			c.recordPeerProblem(p.Name, problem, p.Password == "")
		}
		return p, p.Password != ""
	}
	return p, true
}

// recordPeerProblem records the problem of a peer of this node. The parameter absent is true if the peer has
// no session because of the problem.
func (c *routingConfig) recordPeerProblem(name bgp.PeerName, problem bgp.Problem, absent bool) {
	state := bgp.PeerState{Problem: problem}
	if absent {
		state.AbsentSince = time.Now()
	}
	c.states[name] = state
	c.addProblem("the BGPPeer %q: %s", name, problem.Message)
}

// selectPeers chooses one of the candidates for each router, and records a problem for the other candidates.
func (f *ConfigWatcher) selectPeers(c *routingConfig, candidates []bgp.PeerCandidate) {
	wanted := make(map[bgp.PeerName]bgp.Peer, len(candidates))
	for i := range candidates {
		p := &candidates[i].Peer
		wanted[p.Name] = *p
		if !p.Source.IsValid() && p.Address.IsValid() && f.Source != nil {
			p.Source = f.Source(p.Address, p.VRF)
		}
	}
	selected, duplicates := bgp.SelectPeers(candidates, f.selected)
	f.selected = make(map[bgp.PeerName]bgp.Peer, len(selected))
	for _, p := range selected {
		f.selected[p.Name] = p
		c.peers, c.Peers = append(c.peers, wanted[p.Name]), append(c.Peers, p.Name)
	}
	for name, other := range duplicates {
		c.recordPeerProblem(name, bgp.Problem{Reason: bgp.DuplicatePeer, Message: fmt.Sprintf(
			"the BGPPeer %q is in effect for the same router, %s, so the BGPPeer %q has no session: delete one of the two, or change spec.nodeSelectors so that no node has both", other, routerName(wanted[name]), name)}, true)
	}
}

// routerName returns a name for the router of a peer, for messages.
func routerName(p bgp.Peer) string {
	if p.Interface != "" {
		return "the router on the interface " + p.Interface
	}
	return p.Address.String()
}

func profileOf(changes informers.Changes, name string) (profile bfd.Profile, why string) {
	object := informers.Get[*v1beta1.BFDProfile](changes, client.ObjectKey{Name: name})
	if object == nil {
		return profile, fmt.Sprintf("there is no BFDProfile %q: create it, or remove spec.bfdProfile", name)
	}
	profile, err := apiconv.ParseBFDProfile(object)
	if err != nil {
		return profile, fmt.Sprintf("the BFDProfile %q is invalid: %v", name, err)
	}
	return profile, ""
}

// setPassword sets the password of a peer. If the password stays empty, the peer can have no session. If the
// Secret is deleted or becomes invalid, an established session continues with the last valid password. No new
// session begins with that password, which counts as revoked.
func (f *ConfigWatcher) setPassword(changes informers.Changes, p *bgp.Peer, name string) bgp.Problem {
	copied := informers.Get[*corev1.Secret](changes, client.ObjectKey{Namespace: f.Namespace, Name: apiconv.PasswordsSecretName})
	if password, ok := apiconv.CopiedPassword(copied, name); ok {
		p.Password = password
		return bgp.Problem{}
	}
	p.Password = f.inUse[p.Name].Password
	p.Revoked = p.Password != ""
	consequence := "there is no session without a password"
	if p.Revoked {
		consequence = "an established session stays, and no new session begins"
	}
	return bgp.Problem{Reason: bgp.PasswordMissing, Message: fmt.Sprintf(
		"the Secret %q, which spec.passwordSecret names, does not exist in the namespace %s or has no valid password; %s: create the Secret with the type %s and the entry %q", name, f.Namespace, consequence, corev1.SecretTypeBasicAuth, corev1.BasicAuthPasswordKey)}
}

// rememberPeers stores the peers for the next call of readConfig: their passwords and BFD profiles stay in
// effect when the Secret or the BFDProfile is deleted. It also stores since when a peer has had no session
// because of a problem.
func (f *ConfigWatcher) rememberPeers(c *routingConfig) {
	f.inUse = map[bgp.PeerName]bgp.Peer{}
	for _, p := range c.peers {
		f.inUse[p.Name] = p
	}
	for name, state := range c.states {
		if before := f.states[name].AbsentSince; !before.IsZero() && !state.AbsentSince.IsZero() {
			state.AbsentSince = before
			c.states[name] = state
		}
	}
	f.states = c.states
}

// problemMessages returns the sentences in problems, and one for each conflict of routes.
func (c routingConfig) problemMessages(conflicts []routes.Conflict) []string {
	list := slices.Clone(c.problems)
	for _, conflict := range conflicts {
		list = append(list, strings.TrimSuffix(conflict.String(), "."))
	}
	return list
}
