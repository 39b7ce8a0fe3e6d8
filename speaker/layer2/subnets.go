package layer2

import (
	"net/netip"
	"reflect"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// nodeLinks are the links of a node, as its speaker reported them last.
type nodeLinks struct {
	links []wire.Link
	// lives: its speaker does.
	lives bool
}

// noteLinks notes the links of all nodes. When any of them are others than before, each node
// may be able to announce other addresses, and all are looked at.
func (e *Engine) noteLinks(v *view) {
	// All links of this node count for what is near: on one that is silent an address is not
	// announced, nor on another one instead.
	changed := e.setLinks(e.Self, told(v.in.able())) || !reflect.DeepEqual(e.onLinks, v.links)
	e.onLinks = v.links
	for i := range v.in.view.Peers {
		p := &v.in.view.Peers[i]
		v.lives[p.Node] = true
		changed = e.setLinks(p.Node, p.State.Links) || changed
	}
	for node, known := range e.links {
		switch {
		case v.lives[node]:
		case !v.misses(node):
			delete(e.links, node)
			changed = changed || known.lives
		case known.lives:
			e.links[node], changed = nodeLinks{links: known.links}, true
		}
	}
	if changed || e.subnets == nil {
		e.subnets = newSubnets(e.links, func(address netip.Addr) []ownership.Candidate {
			candidates, _ := e.book.Wants(address)
			return candidates
		})
		e.linksNumber++
	}
}

// setLinks sets the links of a node that lives, and returns whether they are others.
func (e *Engine) setLinks(node lb.NodeName, links []wire.Link) bool {
	known := e.links[node]
	if known.lives && reflect.DeepEqual(known.links, links) {
		return false
	}
	e.links[node] = nodeLinks{links, true}
	return true
}

// subnets are those of the links of speakers that live. An address is announced only on links
// in a subnet of it, if a candidate has such a link: on others no host asks for it, and a
// candidate that has lost that link would keep an address that is not reached. Candidates for
// which an advertisement names links are left out.
type subnets struct {
	nodes  map[netip.Prefix]map[lb.NodeName]bool // with a link in the subnet that is used by default
	wanted func(netip.Addr) []ownership.Candidate
	known  map[netip.Addr]near
}

// near is whether an address with these candidates is in a subnet.
type near struct {
	candidates []ownership.Candidate
	is         bool
}

// maxKnown bounds for how many addresses it is noted whether they are near.
const maxKnown = 1 << 16

func newSubnets(of map[lb.NodeName]nodeLinks, wanted func(netip.Addr) []ownership.Candidate) *subnets {
	s := &subnets{nodes: map[netip.Prefix]map[lb.NodeName]bool{}, wanted: wanted, known: map[netip.Addr]near{}}
	for node, known := range of {
		for i := range known.links {
			for _, subnet := range known.links[i].Prefixes {
				if !known.lives || known.links[i].Internal || !speaks(&known.links[i], subnet.Addr()) {
					continue
				}
				if s.nodes[subnet] == nil {
					s.nodes[subnet] = map[lb.NodeName]bool{}
				}
				s.nodes[subnet][node] = true
			}
		}
	}
	return s
}

// near returns whether a candidate of an address has a link in a subnet of it.
func (s *subnets) near(address netip.Addr) bool {
	candidates := s.wanted(address)
	if len(candidates) == 0 {
		return false
	}
	before := s.known[address]
	if len(before.candidates) != len(candidates) || &before.candidates[0] != &candidates[0] {
		if before = (near{candidates, s.anyNear(address, candidates)}); len(s.known) >= maxKnown {
			clear(s.known)
		}
		s.known[address] = before
	}
	return before.is
}

func (s *subnets) anyNear(address netip.Addr, candidates []ownership.Candidate) bool {
	for subnet, nodes := range s.nodes {
		if subnet.Contains(address) && slices.ContainsFunc(candidates, func(c ownership.Candidate) bool { return len(c.Interfaces) == 0 && nodes[c.Node] }) {
			return true
		}
	}
	return false
}
