package routing

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
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
func (f *Feed) read(s *store) config {
	var c config
	if s.node != nil {
		node := apiconv.ParseNode(s.node, f.Drain)
		c.Node, c.draining = node, node.Draining
	} else {
		c.Node = advertise.Node{Name: f.Self, Excluded: "is not known to the cluster"}
	}
	for _, pool := range s.pools {
		c.Pools = append(c.Pools, apiconv.AdvertisedPool(pool))
	}
	aliases, wrong := apiconv.ParseCommunities(values(s.aliases))
	for name, err := range wrong {
		c.problem("the Community %q: %v", name, err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.ads)) {
		ad, err := apiconv.ParseBGPAdvertisement(s.ads[name], aliases)
		if err != nil {
			c.problem("the BGPAdvertisement %q is ignored: %v", name, err)
			continue
		}
		c.Advertisements = append(c.Advertisements, ad)
	}
	for _, name := range slices.Sorted(maps.Keys(s.peers)) {
		f.readPeer(s, &c, s.peers[name])
	}
	f.keepPasswords(c.peers)
	slices.Sort(c.problems)
	return c
}

func (c *config) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (f *Feed) readPeer(s *store, c *config, object *v1beta1.BGPPeer) {
	parsed, err := apiconv.ParseBGPPeer(object)
	if err != nil {
		c.problem("the BGPPeer %q is ignored: %v", object.Name, err)
		return
	}
	if s.node == nil || !parsed.OnNode(s.node.Labels) {
		return
	}
	p := parsed.Peer
	if parsed.BFDProfile != "" {
		profile, why := profileOf(s, parsed.BFDProfile)
		if why != "" {
			c.problem("the BGPPeer %q goes without BFD: %s", object.Name, why)
		} else {
			p.BFD = &profile
		}
	}
	if parsed.PasswordSecret != "" {
		password, why := f.password(s, p.Name, parsed.PasswordSecret)
		if why != "" {
			c.problem("the BGPPeer %q: %s", object.Name, why)
		}
		if password == "" {
			return
		}
		p.Password = password
	}
	c.peers = append(c.peers, p)
	c.Peers = append(c.Peers, p.Name)
}

func profileOf(s *store, name string) (profile bfd.Profile, why string) {
	object := s.profiles[name]
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
func (f *Feed) password(s *store, peer bgp.PeerName, name string) (password bgp.Password, why string) {
	secret := s.secrets[name]
	if secret == nil {
		return f.passwords[peer], fmt.Sprintf("there is no Secret %q with its password in the namespace %s: create it, of type kubernetes.io/basic-auth", name, f.Namespace)
	}
	password, err := apiconv.ParsePassword(secret)
	if err != nil {
		return f.passwords[peer], err.Error()
	}
	return password, ""
}

// keepPasswords remembers those in use.
func (f *Feed) keepPasswords(peers []bgp.Peer) {
	f.passwords = map[bgp.PeerName]bgp.Password{}
	for _, p := range peers {
		if p.Password != "" {
			f.passwords[p.Name] = p.Password
		}
	}
}

func values[V any](from map[string]*V) []V {
	list := make([]V, 0, len(from))
	for _, v := range from {
		list = append(list, *v)
	}
	return list
}

// facts are what counts of a Service; nil if it is gone.
func (s *store) facts(key lb.ServiceKey) *advertise.Holder {
	svc := s.services[key]
	if svc == nil {
		return nil
	}
	slicesOf := s.slices[key]
	endpoints := apiconv.ParseEndpoints(values(slicesOf))
	return &advertise.Holder{Service: apiconv.AdvertisedService(svc, endpoints), Shown: apiconv.StatusAddresses(svc)}
}

// sentences joins problems and conflicts.
func (c config) sentences(conflicts []routes.Conflict) []string {
	list := slices.Clone(c.problems)
	for _, conflict := range conflicts {
		list = append(list, strings.TrimSuffix(conflict.String(), "."))
	}
	return list
}
