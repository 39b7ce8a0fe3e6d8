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
	// alive: the speaker of the node is alive.
	alive bool
}

// noteLinks records the links of all nodes. The links of a missing speaker's node stay, with alive false. If
// a link has changed, nodes may be able to announce other addresses than before. Then the next decision
// examines all addresses.
func (e *Engine) noteLinks(v *roundView) {
	// For isNear, silent links of this node count too: an address in the subnet of such a link must not be
	// announced on another link instead.
	changed := e.setLinks(e.Self, wireLinks(v.in.usableLinks())) || !reflect.DeepEqual(e.onLinks, v.links)
	e.onLinks = v.links
	for i := range v.in.view.Peers {
		p := &v.in.view.Peers[i]
		v.alive[p.Node] = true
		changed = e.setLinks(p.Node, p.State.Links) || changed
	}
	for node, known := range e.links {
		switch {
		case v.alive[node]:
		case !v.isMissing(node):
			delete(e.links, node)
			changed = changed || known.alive
		case known.alive:
			e.links[node], changed = nodeLinks{links: known.links}, true
		}
	}
	if changed || e.subnets == nil {
		e.subnets = newSubnetIndex(e.links, func(address netip.Addr) []ownership.Candidate {
			candidates, _ := e.owners.WantedCandidates(address)
			return candidates
		})
		e.linksNumber++
	}
}

// setLinks sets the links of a node whose speaker is alive, and reports whether they changed.
func (e *Engine) setLinks(node lb.NodeName, links []wire.Link) bool {
	known := e.links[node]
	if known.alive && reflect.DeepEqual(known.links, links) {
		return false
	}
	e.links[node] = nodeLinks{links, true}
	return true
}

// subnetIndex has the IP subnets in which nodes whose speakers are alive have links. If a candidate of an
// address has a link in a subnet of the address, the address is announced only on such links. On other links
// no host asks for it: a candidate that has lost its link in the subnet would keep an address that no host
// can reach. This rule does not apply to candidates for which an advertisement names links.
type subnetIndex struct {
	nodes  map[netip.Prefix]map[lb.NodeName]bool // nodes that have a link in the subnet, internal links left out
	wanted func(netip.Addr) []ownership.Candidate
	known  map[netip.Addr]nearResult // cached results of isNear
}

// nearResult is the cached result of isNear for an address. It is valid while the address has these
// candidates.
type nearResult struct {
	candidates []ownership.Candidate
	is         bool
}

// maxNearResults bounds subnetIndex.known.
const maxNearResults = 1 << 16

func newSubnetIndex(of map[lb.NodeName]nodeLinks, wanted func(netip.Addr) []ownership.Candidate) *subnetIndex {
	s := &subnetIndex{nodes: map[netip.Prefix]map[lb.NodeName]bool{}, wanted: wanted, known: map[netip.Addr]nearResult{}}
	for node, known := range of {
		for i := range known.links {
			for _, subnet := range known.links[i].Prefixes {
				if !known.alive || known.links[i].Internal || !canAnnounce(&known.links[i], subnet.Addr()) {
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

// isNear reports whether a candidate for which no advertisement names links has a link in a subnet of the
// address. Internal links do not count.
func (s *subnetIndex) isNear(address netip.Addr) bool {
	candidates := s.wanted(address)
	if len(candidates) == 0 {
		return false
	}
	before := s.known[address]
	if len(before.candidates) != len(candidates) || &before.candidates[0] != &candidates[0] {
		if before = (nearResult{candidates, s.hasNearCandidate(address, candidates)}); len(s.known) >= maxNearResults {
			clear(s.known)
		}
		s.known[address] = before
	}
	return before.is
}

func (s *subnetIndex) hasNearCandidate(address netip.Addr, candidates []ownership.Candidate) bool {
	for subnet, nodes := range s.nodes {
		if subnet.Contains(address) && slices.ContainsFunc(candidates, func(c ownership.Candidate) bool { return len(c.Interfaces) == 0 && nodes[c.Node] }) {
			return true
		}
	}
	return false
}
