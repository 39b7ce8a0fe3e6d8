package bgp

import (
	"cmp"
	"slices"
	"time"
)

// PeerCandidate is a peer whose BGPPeer selects the node. Whether it is in effect there depends on the
// other candidates: see SelectPeers.
type PeerCandidate struct {
	Peer
	// Created is when its BGPPeer was created.
	Created time.Time
}

// HasSameRouter reports whether a router cannot distinguish the sessions of two peers of one node. Such
// sessions would end each other (RFC 4271 section 6.8). Routers identify a neighbor by the addresses of
// the connection. A port distinguishes two peers only if this side connects to both: a router that
// connects uses any source port. An IPv4 and an IPv6 address of one router are two neighbors, and so
// are its link-local and its global address.
func (p *Peer) HasSameRouter(q *Peer) bool {
	switch {
	case p.Address != q.Address || p.Interface != q.Interface:
		return false
	case p.Interface != "": // an interface is in one VRF
		return true
	case p.VRF != q.VRF || p.Source != q.Source:
		return false
	}
	return p.Port == q.Port || p.Passive || q.Passive
}

// SelectPeers returns the peers that are in effect on a node, ordered by name. duplicates has, for each
// other candidate, the peer that is in effect in its place. Of several candidates for one router, one
// is in effect: the candidate that was in effect for this router before. If there is none, it is the
// oldest candidate, and among equally old ones the first by name. The caller must have set Source of
// each candidate to the source address of its connections, unless that address is unknown.
func SelectPeers(candidates []PeerCandidate, inEffect map[PeerName]Peer) (selected []Peer, duplicates map[PeerName]PeerName) {
	order := slices.SortedFunc(slices.Values(candidates), func(x, y PeerCandidate) int {
		return cmp.Or(cmp.Compare(precedence(&x.Peer, inEffect), precedence(&y.Peer, inEffect)), x.Created.Compare(y.Created), cmp.Compare(x.Name, y.Name))
	})
	duplicates = map[PeerName]PeerName{}
	for i := range order {
		p := &order[i].Peer
		if j := slices.IndexFunc(selected, func(q Peer) bool { return p.HasSameRouter(&q) }); j >= 0 {
			duplicates[p.Name] = selected[j].Name
			continue
		}
		selected = append(selected, *p)
	}
	slices.SortFunc(selected, func(x, y Peer) int { return cmp.Compare(x.Name, y.Name) })
	return selected, duplicates
}

// precedence returns 0 for a peer that was in effect for this router before, and 1 for other peers.
func precedence(p *Peer, inEffect map[PeerName]Peer) int {
	if before, was := inEffect[p.Name]; was && before.HasSameRouter(p) {
		return 0
	}
	return 1
}
