package announcement

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// routes are what nodes announce to routers, by prefix. Aggregates can have any
// length: a look-up tries those that occur, which are few, however many routes there
// are.
type routes struct {
	told    map[netip.Prefix]map[lb.NodeName][]bgp.PeerName
	lengths map[lb.Family]map[int]int // how many prefixes have a length
}

func newRoutes() routes {
	return routes{
		told:    map[netip.Prefix]map[lb.NodeName][]bgp.PeerName{},
		lengths: map[lb.Family]map[int]int{lb.IPv4: {}, lb.IPv6: {}},
	}
}

// replace replaces what a node announces, and returns the prefixes of which it says
// something else, in order.
func (r *routes) replace(node lb.NodeName, before, now []reports.Route) []netip.Prefix {
	changed := map[netip.Prefix]bool{}
	gone := make(map[netip.Prefix]bool, len(before))
	for _, route := range before {
		gone[route.Prefix] = true
	}
	for _, route := range now {
		delete(gone, route.Prefix)
		nodes := r.told[route.Prefix]
		if peers, had := nodes[node]; had && slices.Equal(peers, route.Peers) {
			continue
		}
		changed[route.Prefix] = true
		if nodes == nil {
			nodes = map[lb.NodeName][]bgp.PeerName{}
			r.told[route.Prefix] = nodes
			r.lengths[lb.FamilyOf(route.Prefix.Addr())][route.Prefix.Bits()]++
		}
		nodes[node] = route.Peers
	}
	for prefix := range gone {
		changed[prefix] = true
		r.forget(node, prefix)
	}
	return slices.SortedFunc(maps.Keys(changed), netip.Prefix.Compare)
}

func (r *routes) forget(node lb.NodeName, prefix netip.Prefix) {
	nodes := r.told[prefix]
	delete(nodes, node)
	if len(nodes) > 0 {
		return
	}
	delete(r.told, prefix)
	lengths := r.lengths[lb.FamilyOf(prefix.Addr())]
	if lengths[prefix.Bits()]--; lengths[prefix.Bits()] == 0 {
		delete(lengths, prefix.Bits())
	}
}

// of returns how an address is announced, by node and prefix.
func (r *routes) of(address netip.Addr) []reports.Path {
	var paths []reports.Path
	for bits := range r.lengths[lb.FamilyOf(address)] {
		prefix, _ := address.Prefix(bits) // bits are of the family of the address
		for node, peers := range r.told[prefix] {
			paths = append(paths, reports.Path{Node: node, Route: reports.Route{Prefix: prefix, Peers: peers}})
		}
	}
	slices.SortFunc(paths, func(x, y reports.Path) int {
		return cmp.Or(cmp.Compare(x.Node, y.Node), x.Prefix.Compare(y.Prefix))
	})
	return paths
}
