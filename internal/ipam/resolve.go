package ipam

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// TakenRange is a range of addresses that is used by something other than Services, such as a node, or
// that no host can have. Pools do not give these addresses, unless ReportedOnly is set.
type TakenRange struct {
	Range lb.Range
	// By names the user of the addresses, as part of a sentence: `the node "node1"`.
	By string
	// Remedy is what to do about a foreign host, as part of a sentence.
	Remedy string
	// As is the role of the address for By, if it has one: "the broadcast address".
	As string
	// Node means that only nodes report this. The pool then does not give the addresses, but a Service
	// that has one of them keeps it.
	Node bool
	// Foreign means that a foreign host uses the address: a host outside of the cluster, or
	// the kernel of a node.
	Foreign bool
	// InUse means that a Service used the address before the foreign host did, and still uses it.
	InUse bool
	// ReportedOnly means that pools give the addresses although something else has them. This is so if
	// the pool has lost too many addresses to foreign hosts (see Losses), if other nodes do not confirm
	// a podCIDR, or if the pool is older than the node of a podCIDR (see PodsOf).
	ReportedOnly bool
	// PodsOf is the node whose podCIDR the range is. A pool that is older than the Node gives the
	// addresses, unless the podCIDR of another node overlaps with the pool too. Empty: this rule does
	// not apply.
	PodsOf lb.NodeName
	// Since is when the Node object of PodsOf was created.
	Since time.Time
}

// Conflict is a range that a pool lists but cannot give, or should not list.
type Conflict struct {
	Range lb.Range
	// With names the user of the addresses, as part of a sentence.
	With string
	// As is the role of the address; see TakenRange.
	As string
	// Foreign means that a foreign host uses the address; see TakenRange.
	Foreign bool
	// InUse means that a Service used the address before the foreign host did, and still uses it.
	InUse bool
	// ReportedOnly means that the pool gives the addresses nevertheless; see TakenRange.
	ReportedOnly bool
}

// String returns the conflict as part of a sentence.
func (c Conflict) String() string { return c.Range.String() + " " + c.predicate() }

// predicate returns the conflict as part of a sentence whose subject is the range.
func (c Conflict) predicate() string {
	switch {
	case c.Foreign && c.InUse:
		return fmt.Sprintf("is used by %s, and stays announced while a Service has the address, since that Service used the address first", c.With)
	case c.Foreign:
		return fmt.Sprintf("is used by %s", c.With)
	case c.As != "":
		return fmt.Sprintf("is %s of %s", c.As, c.With)
	}
	return fmt.Sprintf("belongs to %s", c.With)
}

// Resolve computes which addresses each pool gives: all listed addresses, except excluded addresses,
// taken addresses, and addresses that an older pool lists and does not exclude. The pools must be
// sorted, the oldest pool first: a younger pool never changes what an older pool gives. Resolve sets
// Gives, Conflicts, OfNodes and Foreign of the pools, and returns the conflicts by pool. A range that a
// pool lists twice is a conflict of the pool with itself, but the pool gives the range.
func Resolve(oldestFirst []Pool, taken []TakenRange) map[lb.PoolName][]Conflict {
	found := map[lb.PoolName][]Conflict{}
	var owned []ownedRange
	known := rangesTaken(taken, func(TakenRange) bool { return true })
	for i := range oldestFirst {
		p := &oldestFirst[i]
		conflicts := duplicateConflicts(p)
		gives := lb.Subtract(lb.Union(p.Listed...), lb.Union(p.Excluded...))
		wants := gives
		conflicts = append(conflicts, olderPoolConflicts(gives, owned)...)
		gives = lb.Subtract(gives, rangesOf(owned))
		if len(lb.Intersect(gives, known)) > 0 {
			taken := p.takenRanges(gives, taken)
			conflicts = append(conflicts, takenConflicts(gives, taken)...)
			p.Foreign = foreignInRanges(gives, taken)
			ofNodes := rangesTaken(taken, func(t TakenRange) bool { return t.Node && !t.ReportedOnly })
			ofOthers := rangesTaken(taken, func(t TakenRange) bool { return !t.Node && !t.Foreign })
			p.OfNodes = lb.Subtract(lb.Intersect(gives, ofNodes), ofOthers)
			gives = lb.Subtract(gives, rangesTaken(taken, func(t TakenRange) bool { return !t.ReportedOnly }))
		}
		p.Gives = gives
		slices.SortFunc(conflicts, compareConflicts)
		if p.Conflicts = slices.Compact(conflicts); len(p.Conflicts) > 0 {
			found[p.Name] = p.Conflicts
		}
		owned = addUnowned(owned, wants, p.Name)
	}
	return found
}

// takenRanges returns the taken ranges that overlap with the ranges that a pool would give. A
// compromised node must not block an existing pool by the choice of its podCIDR. If podCIDRs of only one
// node overlap with the pool, and the Node is younger than the pool, takenRanges therefore sets their
// ReportedOnly.
func (p *Pool) takenRanges(gives []lb.Range, all []TakenRange) (list []TakenRange) {
	var nodes []lb.NodeName
	for _, t := range all {
		if len(lb.Intersect(gives, []lb.Range{t.Range})) == 0 {
			continue
		}
		list = append(list, t)
		if t.PodsOf != "" && !t.ReportedOnly && !slices.Contains(nodes, t.PodsOf) && len(nodes) < 2 {
			nodes = append(nodes, t.PodsOf)
		}
	}
	for i := range list {
		if t := &list[i]; t.PodsOf != "" && len(nodes) < 2 && t.Since.After(p.Created) {
			t.ReportedOnly = true
		}
	}
	return list
}

// rangesTaken returns the ranges of the items for which the function counts returns true, sorted and
// disjoint.
func rangesTaken(taken []TakenRange, counts func(TakenRange) bool) []lb.Range {
	var ranges []lb.Range
	for _, t := range taken {
		if counts(t) {
			ranges = append(ranges, t.Range)
		}
	}
	return lb.Union(ranges...)
}

// compareConflicts orders conflicts by their contents. So a different order of the taken ranges does not
// change messages.
func compareConflicts(x, y Conflict) int {
	return cmp.Or(x.Range.First.Compare(y.Range.First), x.Range.Last.Compare(y.Range.Last), cmp.Compare(x.With, y.With), cmp.Compare(x.As, y.As))
}

// ownedRange is a range and the pool that owns it. Lists of owned ranges are sorted and disjoint.
type ownedRange struct {
	lb.Range
	pool lb.PoolName
}

func rangesOf(spans []ownedRange) []lb.Range {
	ranges := make([]lb.Range, 0, len(spans))
	for _, s := range spans {
		ranges = append(ranges, s.Range)
	}
	return ranges
}

// addUnowned adds the parts of the ranges that no pool owns yet to the list of owned ranges.
func addUnowned(owned []ownedRange, ranges []lb.Range, name lb.PoolName) []ownedRange {
	for _, r := range lb.Subtract(ranges, rangesOf(owned)) {
		i := sort.Search(len(owned), func(i int) bool { return r.First.Less(owned[i].First) })
		owned = slices.Insert(owned, i, ownedRange{Range: r, pool: name})
	}
	return owned
}

func duplicateConflicts(p *Pool) (conflicts []Conflict) {
	var ranges []lb.Range
	sorted := slices.SortedFunc(slices.Values(p.Listed), func(x, y lb.Range) int { return x.First.Compare(y.First) })
	for i := 1; i < len(sorted); i++ {
		ranges = append(ranges, lb.Intersect(sorted[i-1:i], sorted[i:i+1])...)
		if sorted[i].Last.Less(sorted[i-1].Last) && sorted[i].Family() == sorted[i-1].Family() {
			sorted[i].Last = sorted[i-1].Last
		}
	}
	for _, both := range lb.Union(ranges...) {
		conflicts = append(conflicts, Conflict{Range: both, With: fmt.Sprintf("the pool %q twice", p.Name)})
	}
	return conflicts
}

func olderPoolConflicts(gives []lb.Range, owned []ownedRange) (conflicts []Conflict) {
	for _, s := range owned {
		for _, both := range lb.Intersect(gives, []lb.Range{s.Range}) {
			conflicts = append(conflicts, Conflict{Range: both, With: fmt.Sprintf("the older pool %q", s.pool)})
		}
	}
	return conflicts
}

func takenConflicts(gives []lb.Range, taken []TakenRange) (conflicts []Conflict) {
	for _, t := range taken {
		for _, both := range lb.Intersect(gives, []lb.Range{t.Range}) {
			conflicts = append(conflicts, Conflict{Range: both, With: t.By, As: t.As, Foreign: t.Foreign, InUse: t.InUse, ReportedOnly: t.ReportedOnly})
		}
	}
	return conflicts
}

// foreignInRanges returns those addresses of the ranges that foreign hosts use; nil: there are none. It
// leaves out an address that is also in a taken range of another kind, unless only nodes report that
// range.
func foreignInRanges(gives []lb.Range, taken []TakenRange) map[netip.Addr]ForeignHost {
	var found map[netip.Addr]ForeignHost
	for _, t := range taken {
		if _, listed := lb.FindRange(gives, t.Range.First); !t.Foreign || !listed {
			continue
		}
		if found == nil {
			found = map[netip.Addr]ForeignHost{}
		}
		found[t.Range.First] = ForeignHost{By: t.By, Remedy: t.Remedy, InUse: t.InUse, ReportedOnly: t.ReportedOnly}
	}
	for _, t := range taken {
		if !t.Foreign && !t.Node {
			maps.DeleteFunc(found, func(a netip.Addr, _ ForeignHost) bool { return t.Range.Contains(a) })
		}
	}
	return found
}
