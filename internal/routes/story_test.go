package routes_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// story is a random sequence of changes of a small cluster, in which objects share
// and collide often.
type story struct {
	*rand.Rand
	setup
}

// change makes one change of the facts, passes it to the planner, and returns its description.
func (s *story) change(p *routes.Planner) string {
	switch n := s.IntN(20); {
	case n == 0:
		s.config = s.newConfig()
		p.SetConfig(s.config)
		return fmt.Sprintf("SetConfig %+v", s.config)
	case n == 1:
		s.config = s.otherConfig()
		p.SetConfig(s.config)
		return fmt.Sprintf("SetConfig %+v", s.config)
	case n < 11:
		key := s.key()
		service := s.service()
		set(s.services, key, service)
		p.SetService(key, service)
		return fmt.Sprintf("SetService %s %+v", key, service)
	default:
		address := s.address()
		claim := s.claim()
		set(s.claims, address, claim)
		p.SetClaim(address, claim)
		return fmt.Sprintf("SetClaim %s %+v", address, claim)
	}
}

func set[K comparable, V any](m map[K]*V, key K, value *V) {
	if value == nil {
		delete(m, key)
		return
	}
	m[key] = value
}

func (s *story) newConfig() routes.Config {
	c := routes.Config{Node: s.node()}
	for i := range s.IntN(5) {
		c.Advertisements = append(c.Advertisements, s.advertisement(fmt.Sprint("ad-", i)))
	}
	for _, peer := range peers {
		if s.IntN(3) > 0 {
			c.Peers = append(c.Peers, peer)
		}
	}
	for _, name := range []lb.PoolName{"gold", "tin"} {
		if s.IntN(4) > 0 {
			c.Pools = append(c.Pools, pool(name, s.labels()))
		}
	}
	s.Shuffle(len(c.Advertisements), func(i, j int) {
		c.Advertisements[i], c.Advertisements[j] = c.Advertisements[j], c.Advertisements[i]
	})
	return c
}

// otherConfig returns the config with one part replaced, so that most routes
// stay.
func (s *story) otherConfig() routes.Config {
	c, other := s.config, s.newConfig()
	switch s.IntN(4) {
	case 0:
		c.Node = other.Node
	case 1:
		c.Advertisements = other.Advertisements
	case 2:
		c.Peers = other.Peers
	default:
		c.Pools = other.Pools
	}
	return c
}

var peers = []bgp.PeerName{"left", "right", "up"}

func (s *story) node() eligibility.Node {
	n := eligibility.Node{Name: "n1", Labels: s.labels()}
	if s.IntN(6) == 0 {
		n.Excluded = "has a label"
	}
	return n
}

func (s *story) labels() labels { return labels{"x": fmt.Sprint(s.IntN(2))} }

func (s *story) selectors() []eligibility.Selector {
	if s.IntN(3) > 0 {
		return nil
	}
	return anyOf(has("x", fmt.Sprint(s.IntN(2))))
}

func (s *story) advertisement(name string) ad {
	a := ad{Scope: scope{Name: name, ServiceSelectors: s.selectors(), PoolSelectors: s.selectors()}}
	if s.IntN(4) == 0 {
		a.NodeSelectors = s.selectors()
	}
	if s.IntN(3) == 0 {
		a.Pools = []lb.PoolName{"gold"}
	}
	for _, peer := range peers[:2] {
		if s.IntN(3) == 0 {
			a.Peers = append(a.Peers, peer)
		}
	}
	a.Length = []uint8{0, 0, 24, 31, 32}[s.IntN(5)]
	a.LengthV6 = []uint8{0, 64, 127, 128}[s.IntN(4)]
	if s.IntN(2) == 0 {
		a.Attributes.LocalPref = number(100 * uint32(s.IntN(3)))
	}
	if s.IntN(3) == 0 {
		a.Attributes.MED = number(uint32(s.IntN(2)))
	}
	a.Attributes.Prepend = uint8(s.IntN(2))
	for range s.IntN(3) {
		a.Attributes.Communities = append(a.Attributes.Communities, routes.Community(s.IntN(4)))
	}
	return a
}

func (s *story) key() lb.ServiceKey {
	return lb.ServiceKey{Namespace: "default", Name: fmt.Sprint("service-", s.IntN(5))}
}

func (s *story) address() netip.Addr {
	last := byte(s.IntN(5))
	if s.IntN(3) == 0 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 15: last})
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, last})
}

func (s *story) uid() string { return []string{"", "first", "second"}[s.IntN(3)] }

func (s *story) service() *eligibility.Holder {
	if s.IntN(6) == 0 {
		return nil
	}
	service := &eligibility.Holder{UID: s.uid(), Service: eligibility.Service{Labels: s.labels(), Local: s.IntN(3) == 0, Endpoints: map[lb.Family]eligibility.Endpoints{}}}
	for range s.IntN(6) {
		service.Shown = append(service.Shown, s.address())
	}
	for _, family := range []lb.Family{lb.IPv4, lb.IPv6} {
		service.Endpoints[family] = []eligibility.Endpoints{on("n1", "n2"), on("n1"), on("n2"), on(), {Serving: 1}}[s.IntN(5)]
	}
	return service
}

func (s *story) claim() *eligibility.Claim {
	if s.IntN(6) == 0 {
		return nil
	}
	c := &eligibility.Claim{Pool: []lb.PoolName{"gold", "tin", "gone"}[s.IntN(3)]}
	for range 1 + s.IntN(3) {
		key := s.key()
		if !slices.ContainsFunc(c.Holders, func(h eligibility.ClaimHolder) bool { return h.Key == key }) {
			c.Holders = append(c.Holders, eligibility.ClaimHolder{Key: key, UID: s.uid()})
		}
	}
	return c
}

// compare orders by peer, then by name.
func compare(peer bgp.PeerName, name string, otherPeer bgp.PeerName, otherName string) int {
	return cmp.Or(cmp.Compare(peer, otherPeer), cmp.Compare(name, otherName))
}
