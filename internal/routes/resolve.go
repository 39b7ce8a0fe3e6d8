package routes

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// View has everything that determines which nodes announce addresses by BGP.
type View struct {
	Advertisements []Advertisement
	Pools          []eligibility.Pool
	Nodes          []eligibility.Node
	Services       []eligibility.Service
	Addresses      []eligibility.Address
	// Peers that each node has. If Peers is nil, they are not known, and each node is assumed to have
	// all peers.
	Peers map[lb.NodeName][]bgp.PeerName
}

// Announcer is a node that announces an address.
type Announcer struct {
	// Node is the name of the node.
	Node lb.NodeName
	// Peers that the node announces the address to, in order. If View.Peers is nil, an empty
	// list means all.
	Peers []bgp.PeerName
}

// Result has the nodes that announce an address, or the reason why no node does.
type Result struct {
	// Address of the result.
	Address netip.Addr
	// Announcers, ordered by node. Results share the slice: do not change it.
	Announcers []Announcer
	// Reason why there are no announcers; empty if there are some.
	Reason eligibility.Reason
	// Why describes the reason in a sentence: what is wrong, where, and what to do.
	Why string
	// Refused is the reason why no speaker begins to announce the address: see eligibility.Result.
	Refused string
}

// Resolve returns for each address of the view, in the same order, which nodes announce it, or why no
// node does. The planner on each of these nodes comes to the same result.
func Resolve(in View) []Result {
	input := eligibility.Input{Kind: eligibility.KindBGP, Pools: in.Pools, Nodes: in.Nodes, Services: in.Services, Addresses: in.Addresses}
	for i := range in.Advertisements {
		ad := eligibility.Advertisement{Scope: in.Advertisements[i].Scope}
		// Peers are passed in the field Interfaces, since package eligibility handles both in the same
		// way. An empty list means all, and the lists of several advertisements of an address are
		// united.
		for _, peer := range in.Advertisements[i].Peers {
			ad.Interfaces = append(ad.Interfaces, string(peer))
		}
		input.Advertisements = append(input.Advertisements, ad)
	}
	// Results of eligibility share slices of candidates: the first element identifies a slice.
	shared := map[*eligibility.Candidate][]Announcer{}
	found := eligibility.Resolve(input)
	results := make([]Result, 0, len(found))
	for _, f := range found {
		r := Result{Address: f.Address, Reason: f.Reason, Why: f.Why, Refused: f.Refused}
		if len(f.Candidates) > 0 {
			list, known := shared[&f.Candidates[0]]
			if !known {
				list = announcersWithPeers(f.Candidates, in.Peers)
				shared[&f.Candidates[0]] = list
			}
			if r.Announcers = list; len(list) == 0 {
				r.Reason, r.Why = eligibility.NoNode, whyNoPeer(f.Candidates, in.Peers)
			}
		}
		results = append(results, r)
	}
	return results
}

// announcersWithPeers returns the candidates that have a peer to announce to.
func announcersWithPeers(candidates []eligibility.Candidate, known map[lb.NodeName][]bgp.PeerName) []Announcer {
	var list []Announcer
	for _, c := range candidates {
		a := Announcer{Node: c.Node, Peers: requestedPeers(c)}
		if known != nil {
			if a.Peers = selectPeers(a.Peers, known[c.Node]); len(a.Peers) == 0 {
				continue
			}
		}
		list = append(list, a)
	}
	return list
}

// requestedPeers returns the peers that advertisements name for a node; an empty list means all.
func requestedPeers(c eligibility.Candidate) []bgp.PeerName {
	var peers []bgp.PeerName
	for _, name := range c.Interfaces {
		peers = append(peers, bgp.PeerName(name))
	}
	return peers
}

// selectPeers returns the requested peers that a node has, in order. If no peer is requested, it returns
// all peers of the node.
func selectPeers(requested, has []bgp.PeerName) []bgp.PeerName {
	has = slices.Compact(slices.Sorted(slices.Values(has)))
	if len(requested) == 0 {
		return has
	}
	return slices.DeleteFunc(has, func(peer bgp.PeerName) bool { return !slices.Contains(requested, peer) })
}
