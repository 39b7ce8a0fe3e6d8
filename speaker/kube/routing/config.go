package routing

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/speaker/kube/seen"
)

// config is what holds for all addresses.
type config struct {
	routes.Config
	peers    []bgp.Peer
	draining bool
	problems []string
}

// read reads all objects that a configuration is made of. What means nothing is left
// out, with a sentence, and disturbs nothing else.
func (f *Feed) read(news seen.News) config {
	var c config
	self := seen.Get[*corev1.Node](news, client.ObjectKey{Name: string(f.Self)})
	f.nodes = readNodes(news)
	c.Nodes = f.nodes
	if self != nil {
		c.Node = f.nodes[slices.IndexFunc(f.nodes, func(n advertise.Node) bool { return n.Name == f.Self })]
	} else {
		c.Node = advertise.Node{Name: f.Self, Excluded: "is not known to the cluster"}
	}
	for _, pool := range seen.All[*v1beta1.IPAddressPool](news) {
		c.Pools = append(c.Pools, apiconv.AdvertisedPool(pool))
	}
	f.readAdvertisements(news, &c)
	peers := f.bgpPeers.read(seen.All[*v1beta1.BGPPeer](news), apiconv.ParseBGPPeer, c.wrong("BGPPeer"))
	for _, peer := range peers {
		f.readPeer(news, &c, self, peer)
	}
	if f.standby = c.Node.Standby(); f.standby {
		c.Others = others(c.Nodes, f.Self, peers)
		// Routes of a node that drains are taken back, unless it is the last that has any.
		c.draining = c.Node.Draining && len(c.Others) > 0
	}
	f.keep(c.peers)
	slices.Sort(c.problems)
	return c
}

// others returns the nodes that can announce in place of this one: those that take
// addresses, are ready, and have a router to announce to.
func others(nodes []advertise.Node, self lb.NodeName, peers []apiconv.BGPPeer) []advertise.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n advertise.Node) bool {
		return n.Name == self || n.Excluded != "" || n.Draining || n.Down ||
			!slices.ContainsFunc(peers, func(p apiconv.BGPPeer) bool { return p.OnNode(n.Labels) })
	})
}

func (f *Feed) readAdvertisements(news seen.News, c *config) {
	var communities []v1beta1.Community
	for _, object := range seen.All[*v1beta1.Community](news) {
		communities = append(communities, *object)
	}
	aliases, wrong := apiconv.ParseCommunities(communities)
	for name, err := range wrong {
		c.problem("the Community %q: %v", name, err)
	}
	parse := func(object *v1beta1.BGPAdvertisement) (routes.Advertisement, *apiconv.SpecError) {
		return apiconv.ParseBGPAdvertisement(object, aliases)
	}
	c.Advertisements = f.advertisements.read(seen.All[*v1beta1.BGPAdvertisement](news), parse, c.wrong("BGPAdvertisement"))
}

// wrong tells of objects of a kind that mean nothing.
func (c *config) wrong(kind string) func(name string, stays bool, err error) {
	return func(name string, stays bool, err error) {
		what := "is ignored"
		if stays {
			what = "stays in effect as it was before"
		}
		c.problem("the %s %q %s: %v", kind, name, what, err)
	}
}

func (c *config) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (f *Feed) readPeer(news seen.News, c *config, self *corev1.Node, parsed apiconv.BGPPeer) {
	if self == nil || !parsed.OnNode(self.Labels) {
		return
	}
	p := parsed.Peer
	if parsed.BFDProfile != "" {
		profile, why := profileOf(news, parsed.BFDProfile)
		switch {
		case why == "":
			p.BFD = &profile
		case f.inUse[p.Name].BFD != nil:
			p.BFD = f.inUse[p.Name].BFD
			c.problem("the BGPPeer %q keeps the BFD profile that it had: %s", p.Name, why)
		default:
			c.problem("the BGPPeer %q goes without BFD: %s", p.Name, why)
		}
	}
	if parsed.PasswordSecret != "" {
		password, why := f.password(news, p.Name, parsed.PasswordSecret)
		if why != "" {
			c.problem("the BGPPeer %q: %s", p.Name, why)
		}
		if password == "" {
			return
		}
		p.Password = password
	}
	c.peers = append(c.peers, p)
	c.Peers = append(c.Peers, p.Name)
}

func profileOf(news seen.News, name string) (profile bfd.Profile, why string) {
	object := seen.Get[*v1beta1.BFDProfile](news, client.ObjectKey{Name: name})
	if object == nil {
		return profile, fmt.Sprintf("there is no BFDProfile %q: create it, or take spec.bfdProfile away", name)
	}
	profile, err := apiconv.ParseBFDProfile(object)
	if err != nil {
		return profile, fmt.Sprintf("the BFDProfile %q means nothing: %v", name, err)
	}
	return profile, ""
}

// password returns the one of a peer. A session that is there does not end because its
// Secret was deleted: the last password stays in use until there is another one.
func (f *Feed) password(news seen.News, peer bgp.PeerName, name string) (password bgp.Password, why string) {
	copied := seen.Get[*corev1.Secret](news, client.ObjectKey{Namespace: f.Namespace, Name: apiconv.PasswordsSecretName})
	if password, ok := apiconv.CopiedPassword(copied, name); ok {
		return password, ""
	}
	return f.inUse[peer].Password, fmt.Sprintf("there is no Secret %q in the namespace %s with a valid password: create it, of type kubernetes.io/basic-auth", name, f.Namespace)
}

// keep remembers the peers, of which passwords and profiles outlive the objects that they
// came from.
func (f *Feed) keep(peers []bgp.Peer) {
	f.inUse = map[bgp.PeerName]bgp.Peer{}
	for _, p := range peers {
		f.inUse[p.Name] = p
	}
}

// sentences joins problems and conflicts.
func (c config) sentences(conflicts []routes.Conflict) []string {
	list := slices.Clone(c.problems)
	for _, conflict := range conflicts {
		list = append(list, strings.TrimSuffix(conflict.String(), "."))
	}
	return list
}
