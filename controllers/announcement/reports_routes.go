package announcement

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// routeIndex has the routes that nodes announce to routers, by slice and by prefix.
type routeIndex struct {
	slices map[string]routeSlice
	index  sourceIndex[netip.Prefix, sliceKey, reports.Route]
}

// sliceKey identifies a SpeakerRouteSlice by its node and its name. The node alone is not enough, since a
// prefix that moves from one slice of the node to another is in both for a moment.
type sliceKey struct {
	node lb.NodeName
	name string
}

// routeSlice is the content of a SpeakerRouteSlice.
type routeSlice struct {
	node   lb.NodeName
	routes []reports.Route
}

func newRouteIndex() routeIndex {
	return routeIndex{map[string]routeSlice{}, sourceIndex[netip.Prefix, sliceKey, reports.Route]{}}
}

// put replaces the content of the slice with this name. It returns the prefixes whose announcement has
// changed, sorted.
func (r *routeIndex) put(name string, node lb.NodeName, next []reports.Route) []netip.Prefix {
	changed := map[netip.Prefix]bool{}
	replace := func(node lb.NodeName, before, now []reports.Route) {
		r.index.replace(sliceKey{node, name}, before, now, changed, reports.Route.Same, func(route reports.Route) netip.Prefix { return route.Prefix })
	}
	before := r.slices[name]
	if before.node != node {
		replace(before.node, before.routes, nil)
		before.routes = nil
	}
	if r.slices[name] = (routeSlice{node, next}); len(next) == 0 {
		delete(r.slices, name)
	}
	replace(node, before.routes, next)
	return slices.SortedFunc(maps.Keys(changed), netip.Prefix.Compare)
}

// prefixesOf returns the prefixes that a node announces, sorted.
func (r *routeIndex) prefixesOf(node lb.NodeName) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, s := range r.slices {
		if s.node != node {
			continue
		}
		for _, route := range s.routes {
			prefixes = append(prefixes, route.Prefix)
		}
	}
	return sortUnique(prefixes, netip.Prefix.Compare)
}

// pathsTo returns the announcements whose prefix contains an address, sorted by node and prefix. Since an
// aggregate can have any prefix length, pathsTo looks up each possible prefix, which takes some microseconds.
func (r *routeIndex) pathsTo(address netip.Addr) []reports.BGPPath {
	var paths []reports.BGPPath
	for bits := range address.BitLen() + 1 {
		prefix, _ := address.Prefix(bits) // cannot fail: the address has that many bits
		for from, route := range r.index[prefix] {
			paths = append(paths, reports.BGPPath{Node: from.node, Route: route})
		}
	}
	slices.SortFunc(paths, func(x, y reports.BGPPath) int {
		return cmp.Or(cmp.Compare(x.Node, y.Node), x.Prefix.Compare(y.Prefix), -cmp.Compare(len(x.Peers), len(y.Peers)))
	})
	return slices.CompactFunc(paths, func(x, y reports.BGPPath) bool { return x.Node == y.Node && x.Prefix == y.Prefix })
}
