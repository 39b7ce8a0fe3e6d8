package announcement

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// routes are what nodes announce to routers, by prefix. Aggregates can have any
// length: a look-up tries those that occur, which are few, however many routes there
// are.
type routes struct {
	slices  map[string]slice
	told    map[netip.Prefix]map[source]reports.Route
	lengths map[lb.Family]map[int]int // how many prefixes have a length
}

// source is a slice of a node. A prefix that moves from one to another is in both for a
// moment.
type source struct {
	node  lb.NodeName
	slice string
}

// slice is a part of what a node announces.
type slice struct {
	node   lb.NodeName
	routes []reports.Route
}

func newRoutes() routes {
	return routes{
		slices:  map[string]slice{},
		told:    map[netip.Prefix]map[source]reports.Route{},
		lengths: map[lb.Family]map[int]int{lb.IPv4: {}, lb.IPv6: {}},
	}
}

// put replaces a slice, and returns the prefixes of which it says something else, in order.
func (r *routes) put(name string, node lb.NodeName, next []reports.Route) []netip.Prefix {
	var changed []netip.Prefix
	before := r.slices[name]
	if before.node != node {
		changed, before.routes = r.replace(source{before.node, name}, before.routes, nil), nil
	}
	if r.slices[name] = (slice{node, next}); len(next) == 0 {
		delete(r.slices, name)
	}
	return ordered(append(changed, r.replace(source{node, name}, before.routes, next)...), netip.Prefix.Compare)
}

// by returns the prefixes that a node announces, in order.
func (r *routes) by(node lb.NodeName) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, s := range r.slices {
		if s.node != node {
			continue
		}
		for _, route := range s.routes {
			prefixes = append(prefixes, route.Prefix)
		}
	}
	return ordered(prefixes, netip.Prefix.Compare)
}

// replace replaces what a slice says, and returns the prefixes of which it says
// something else, in order.
func (r *routes) replace(from source, before, now []reports.Route) []netip.Prefix {
	changed := map[netip.Prefix]bool{}
	gone := make(map[netip.Prefix]bool, len(before))
	for _, route := range before {
		gone[route.Prefix] = true
	}
	for _, route := range now {
		delete(gone, route.Prefix)
		told := r.told[route.Prefix]
		if before, had := told[from]; had && before.Same(route) {
			continue
		}
		changed[route.Prefix] = true
		if told == nil {
			told = map[source]reports.Route{}
			r.told[route.Prefix] = told
			r.lengths[lb.FamilyOf(route.Prefix.Addr())][route.Prefix.Bits()]++
		}
		told[from] = route
	}
	for prefix := range gone {
		changed[prefix] = true
		r.forget(from, prefix)
	}
	return slices.SortedFunc(maps.Keys(changed), netip.Prefix.Compare)
}

func (r *routes) forget(from source, prefix netip.Prefix) {
	told := r.told[prefix]
	delete(told, from)
	if len(told) > 0 {
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
		for from, route := range r.told[prefix] {
			paths = append(paths, reports.Path{Node: from.node, Route: route})
		}
	}
	slices.SortFunc(paths, func(x, y reports.Path) int {
		return cmp.Or(cmp.Compare(x.Node, y.Node), x.Prefix.Compare(y.Prefix), -cmp.Compare(len(x.Peers), len(y.Peers)))
	})
	return slices.CompactFunc(paths, func(x, y reports.Path) bool { return x.Node == y.Node && x.Prefix == y.Prefix })
}
