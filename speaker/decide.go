package speaker

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

// Announced is an address that the cluster wants announced on the local
// network.
type Announced struct {
	// Address to announce.
	Address netip.Addr
	// Candidates may own it, ordered by node. Addresses may share the slice. There
	// are none while nobody is to announce it, such as an address without endpoints.
	Candidates []Candidate
}

// Candidate is a node that may own an address.
type Candidate struct {
	// Node is its name.
	Node lb.NodeName
	// Interfaces to announce on there, in order; none means all that do not
	// lead to the node's own pods.
	Interfaces []string
	// RequireSubnet: only on interfaces of a subnet that the address is in.
	RequireSubnet bool
	// Preference is how much the node is preferred: those with the highest come
	// first.
	Preference int32
}

// Peer is a speaker that is alive, this one included.
type Peer struct {
	// Node that it runs on.
	Node lb.NodeName
	// Links that it can announce on: Name and Internal are known of them.
	Links []Link
	// More says that it has links besides Links, which could not be told.
	More bool
}

// Snapshot is what the cluster wants, at one moment. It is never changed after
// it was handed over.
type Snapshot struct {
	// Addresses to announce, ordered by address.
	Addresses []Announced
	// Draining nodes keep what they own until others have taken it over, and get
	// nothing.
	Draining map[lb.NodeName]bool
	// Down are nodes of which the cluster says that they are not ready.
	Down map[lb.NodeName]bool
	// Problems are sentences about objects that mean nothing and were left out.
	Problems []string
}

// view is all that a decision depends on.
type view struct {
	self  lb.NodeName
	want  Snapshot
	live  []Peer
	links []Link // of this node
}

// decide returns the addresses that this node owns: of the candidates of each,
// those that are alive and have a link for it elect one. IPv6 addresses are
// left out: nobody answers for them yet.
func decide(v view) map[netip.Addr]Owned {
	peers := make(map[lb.NodeName]Peer, len(v.live))
	for _, p := range v.live {
		peers[p.Node] = p
	}
	if _, alive := peers[v.self]; alive {
		// What this node has itself is newer than what it told the others.
		peers[v.self] = Peer{Node: v.self, Links: v.links}
	}
	owned := map[netip.Addr]Owned{}
	for _, a := range v.want.Addresses {
		if !a.Address.Is4() {
			continue
		}
		able := make([]lb.NodeName, 0, len(a.Candidates))
		var own []string
		for _, c := range a.Candidates {
			p, alive := peers[c.Node]
			if !alive {
				continue
			}
			on := usable(p.Links, c.Interfaces)
			if len(on) > 0 || p.More {
				able = append(able, c.Node)
			}
			if c.Node == v.self {
				own = on
			}
		}
		if owner, ok := election.Owner(a.Address, able); ok && owner == v.self {
			owned[a.Address] = Owned{Interfaces: own}
		}
	}
	return owned
}

// usable returns the names of the links that are among the wanted ones. A link
// that holds pods only is used when it is wanted by name.
func usable(links []Link, wanted []string) []string {
	var names []string
	for _, link := range links {
		if slices.Contains(wanted, link.Name) || (len(wanted) == 0 && !link.Internal) {
			names = append(names, link.Name)
		}
	}
	slices.Sort(names)
	return names
}

// gained says whether there is somebody now who was not there before.
func gained(before, now []Peer) bool {
	return slices.ContainsFunc(now, func(p Peer) bool {
		return !slices.ContainsFunc(before, func(q Peer) bool { return q.Node == p.Node })
	})
}

// nodes returns the names of peers.
func nodes(peers []Peer) []lb.NodeName {
	names := make([]lb.NodeName, 0, len(peers))
	for _, p := range peers {
		names = append(names, p.Node)
	}
	return names
}
