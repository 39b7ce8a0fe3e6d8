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

// Taken are addresses that no Service can have.
type Taken struct {
	Range lb.Range
	// By whom, as part of a sentence: `the node "node1"`.
	By string
	// Remedy is what to do about a foreign host, as part of a sentence.
	Remedy string
	// As is what the address is of them, if that is not just theirs: "the broadcast
	// address".
	As string
	// Node means that this is known from a node only. It keeps the pool from giving the
	// addresses, and takes none from the Service that has one.
	Node bool
	// Foreign means that a host which is no node of the cluster, or the kernel of a node, uses
	// the address, and InUse that a Service uses it all the same.
	Foreign, InUse bool
	// ReportedOnly means that pools give the addresses all the same: they have lost too many
	// to foreign hosts (see Losses), or the other nodes do not confirm a podCIDR.
	ReportedOnly bool
	// PodsOf is the node whose podCIDR this is, and Since when its Node object was made. A pool that
	// was there before gives the addresses unless another node has a podCIDR in it too. Empty: this
	// does not apply.
	PodsOf lb.NodeName
	Since  time.Time
}

// Conflict is what a pool lists and cannot give.
type Conflict struct {
	Range lb.Range
	// With whom the addresses conflict, as part of a sentence.
	With string
	// As is what they are of them; see Taken.
	As string
	// Foreign means that this is a foreign host that uses the address, and InUse that a
	// Service uses it all the same.
	Foreign, InUse bool
	// ReportedOnly means that the pool gives it all the same; see Taken.
	ReportedOnly bool
}

// String returns the conflict as part of a sentence.
func (c Conflict) String() string { return c.Range.String() + " " + c.predicate() }

// predicate is that sentence without its subject.
func (c Conflict) predicate() string {
	switch {
	case c.Foreign && c.InUse:
		return fmt.Sprintf("is used by %s, and stays announced while a Service has it, since it was in use before", c.With)
	case c.Foreign:
		return fmt.Sprintf("is used by %s", c.With)
	case c.As != "":
		return fmt.Sprintf("is %s of %s", c.As, c.With)
	}
	return fmt.Sprintf("is of %s", c.With)
}

// Resolve finds out what each pool gives: what it lists, less what it excludes,
// less what is taken, less what a pool gives that stands before it in the list.
// Pass the pools oldest first: the older pool goes on as if the younger one did
// not exist. It sets Gives, Conflicts, OfNodes and Foreign of the pools, and returns the
// conflicts of those that have any. Addresses that a pool lists twice are a conflict
// with itself, though it gives them.
func Resolve(oldestFirst []Pool, taken []Taken) map[lb.PoolName][]Conflict {
	found := map[lb.PoolName][]Conflict{}
	var owned []span
	known := rangesTaken(taken, func(Taken) bool { return true })
	for i := range oldestFirst {
		p := &oldestFirst[i]
		conflicts := twice(p)
		gives := lb.Subtract(lb.Union(p.Listed...), lb.Union(p.Excluded...))
		wants := gives
		conflicts = append(conflicts, withOlder(gives, owned)...)
		gives = lb.Subtract(gives, rangesOf(owned))
		if len(lb.Intersect(gives, known)) > 0 {
			taken := p.taken(gives, taken)
			conflicts = append(conflicts, withTaken(gives, taken)...)
			p.Foreign = foreign(gives, taken)
			ofNodes := rangesTaken(taken, func(t Taken) bool { return t.Node && !t.ReportedOnly })
			ofOthers := rangesTaken(taken, func(t Taken) bool { return !t.Node && !t.Foreign })
			p.OfNodes = lb.Subtract(lb.Intersect(gives, ofNodes), ofOthers)
			gives = lb.Subtract(gives, rangesTaken(taken, func(t Taken) bool { return !t.ReportedOnly }))
		}
		p.Gives = gives
		slices.SortFunc(conflicts, compareConflicts)
		if p.Conflicts = slices.Compact(conflicts); len(p.Conflicts) > 0 {
			found[p.Name] = p.Conflicts
		}
		owned = add(owned, wants, p.Name)
	}
	return found
}

// taken returns what is taken of the addresses that a pool gives. The podCIDR of a single node counts only if its
// Node is older than the pool: a node cannot choose its podCIDR by a pool that is not there yet.
func (p *Pool) taken(gives []lb.Range, all []Taken) (list []Taken) {
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

// rangesTaken returns the ranges of those that count, sorted and disjoint.
func rangesTaken(taken []Taken, counts func(Taken) bool) []lb.Range {
	var ranges []lb.Range
	for _, t := range taken {
		if counts(t) {
			ranges = append(ranges, t.Range)
		}
	}
	return lb.Union(ranges...)
}

// compareConflicts orders them whatever the order of what is taken: the text that
// people read must not change by itself.
func compareConflicts(x, y Conflict) int {
	return cmp.Or(x.Range.First.Compare(y.Range.First), x.Range.Last.Compare(y.Range.Last), cmp.Compare(x.With, y.With), cmp.Compare(x.As, y.As))
}

// span is a range and the pool that has it; lists of them are sorted and
// disjoint.
type span struct {
	lb.Range
	pool lb.PoolName
}

func rangesOf(spans []span) []lb.Range {
	ranges := make([]lb.Range, 0, len(spans))
	for _, s := range spans {
		ranges = append(ranges, s.Range)
	}
	return ranges
}

// add puts those ranges into the list that nobody has yet.
func add(owned []span, ranges []lb.Range, name lb.PoolName) []span {
	for _, r := range lb.Subtract(ranges, rangesOf(owned)) {
		i := sort.Search(len(owned), func(i int) bool { return r.First.Less(owned[i].First) })
		owned = slices.Insert(owned, i, span{Range: r, pool: name})
	}
	return owned
}

func twice(p *Pool) (conflicts []Conflict) {
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

func withOlder(gives []lb.Range, owned []span) (conflicts []Conflict) {
	for _, s := range owned {
		for _, both := range lb.Intersect(gives, []lb.Range{s.Range}) {
			conflicts = append(conflicts, Conflict{Range: both, With: fmt.Sprintf("the older pool %q", s.pool)})
		}
	}
	return conflicts
}

func withTaken(gives []lb.Range, taken []Taken) (conflicts []Conflict) {
	for _, t := range taken {
		for _, both := range lb.Intersect(gives, []lb.Range{t.Range}) {
			conflicts = append(conflicts, Conflict{Range: both, With: t.By, As: t.As, Foreign: t.Foreign, InUse: t.InUse, ReportedOnly: t.ReportedOnly})
		}
	}
	return conflicts
}

// foreign returns the addresses of the ranges that foreign hosts use, nil if there are none. One
// that is somebody else's as well is left out, but for one of a node: the Service that has it is
// not announced, and leaves it.
func foreign(gives []lb.Range, taken []Taken) map[netip.Addr]Foreign {
	var found map[netip.Addr]Foreign
	for _, t := range taken {
		if _, listed := lb.Find(gives, t.Range.First); !t.Foreign || !listed {
			continue
		}
		if found == nil {
			found = map[netip.Addr]Foreign{}
		}
		found[t.Range.First] = Foreign{By: t.By, Remedy: t.Remedy, InUse: t.InUse, ReportedOnly: t.ReportedOnly}
	}
	for _, t := range taken {
		if !t.Foreign && !t.Node {
			maps.DeleteFunc(found, func(a netip.Addr, _ Foreign) bool { return t.Range.Contains(a) })
		}
	}
	return found
}
