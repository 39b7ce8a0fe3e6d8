package lb

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
)

// Union returns the ranges sorted, IPv4 before IPv6. It joins ranges that overlap or touch. The
// functions below take and return lists in this form: sorted and disjoint.
func Union(ranges ...Range) []Range {
	sorted := slices.SortedFunc(slices.Values(ranges), compareRanges)
	var joined []Range
	for _, r := range sorted {
		if n := len(joined); n > 0 && joined[n-1].reaches(r) {
			if joined[n-1].Last.Less(r.Last) {
				joined[n-1].Last = r.Last
			}
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

func compareRanges(x, y Range) int {
	return cmp.Or(x.First.Compare(y.First), x.Last.Compare(y.Last))
}

// reaches reports whether a later range overlaps r or begins right after it. The later range must not
// start before r.
func (r Range) reaches(later Range) bool {
	return r.Overlaps(later) || (r.Family() == later.Family() && r.Last.Next() == later.First)
}

// FindRange returns the index of the range that contains the address; false: no range contains it.
func FindRange(ranges []Range, a netip.Addr) (int, bool) {
	i := sort.Search(len(ranges), func(i int) bool { return !ranges[i].Last.Less(a) })
	return i, i < len(ranges) && ranges[i].Contains(a)
}

// Intersect returns the addresses that are in both lists.
func Intersect(xs, ys []Range) []Range {
	var common []Range
	for _, x := range xs {
		for i := firstNotBefore(ys, x); i < len(ys) && !x.Last.Less(ys[i].First); i++ {
			common = append(common, Range{First: laterAddress(x.First, ys[i].First), Last: earlierAddress(x.Last, ys[i].Last)})
		}
	}
	return common
}

// Subtract returns the addresses that are in ranges and not in minus.
func Subtract(ranges, minus []Range) []Range {
	var rest []Range
	for _, r := range ranges {
		left := true // some of r is left after the last cut
		for i := firstNotBefore(minus, r); i < len(minus) && !r.Last.Less(minus[i].First); i++ {
			if r.First.Less(minus[i].First) {
				rest = append(rest, Range{First: r.First, Last: minus[i].First.Prev()})
			}
			if !minus[i].Last.Less(r.Last) {
				left = false
				break
			}
			r.First = minus[i].Last.Next()
		}
		if left {
			rest = append(rest, r)
		}
	}
	return rest
}

// firstNotBefore returns the index of the first range that ends in r or after it.
func firstNotBefore(ranges []Range, r Range) int {
	return sort.Search(len(ranges), func(i int) bool { return !ranges[i].Last.Less(r.First) })
}

func laterAddress(x, y netip.Addr) netip.Addr {
	if x.Less(y) {
		return y
	}
	return x
}

func earlierAddress(x, y netip.Addr) netip.Addr {
	if x.Less(y) {
		return x
	}
	return y
}
