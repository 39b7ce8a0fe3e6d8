package ipam

import (
	"cmp"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// Pool is a set of addresses with the rules for the Services that can get them.
type Pool struct {
	// Name of the pool, unique.
	Name lb.PoolName
	// Created is when the IPAddressPool object was created.
	Created time.Time
	// Listed are the ranges in spec.addresses, in any order.
	Listed []lb.Range
	// Excluded are the ranges that the pool does not give.
	Excluded []lb.Range
	// Gives are the ranges that the pool gives, sorted and disjoint. No other
	// pool gives any of their addresses. Set by Resolve.
	Gives []lb.Range
	// Conflicts are the ranges that the pool lists but cannot give, or should not
	// list, sorted by address. Set by Resolve.
	Conflicts []Conflict
	// OfNodes are the ranges that the pool would give if nodes did not report that they use them, sorted
	// and disjoint. Set by Resolve.
	OfNodes []lb.Range
	// Foreign are the addresses that foreign hosts use, and that the pool would give otherwise. Set by
	// Resolve.
	Foreign map[netip.Addr]ForeignHost
	// AvoidBuggy means that the pool does not give IPv4 addresses whose last
	// octet is 0 or 255.
	AvoidBuggy bool
	// AutoAssign means that a request can get addresses of this pool even if it names neither the pool
	// nor the address.
	AutoAssign bool
	// Draining means that the pool gives no new addresses. Services keep the addresses that they hold.
	Draining bool
	// Evict means that a Service loses an address that the pool no longer gives to it.
	Evict bool
	// Selection selects the Services that can get addresses of the pool; nil: all Services.
	Selection *Selection
	// ShareAcrossNamespaces lets Services of different namespaces share an
	// address.
	ShareAcrossNamespaces bool
	// MaxPerNamespace is how many addresses of the pool a namespace can have; 0:
	// any number.
	MaxPerNamespace int
	// MaxPerService is how many addresses of one family a Service can name if the pool gives at least
	// one of these addresses; 0: any number.
	MaxPerService int
	// Unusable is why the pool gives no addresses; empty if it gives addresses.
	// Services keep the addresses that they hold.
	Unusable string
}

// Matcher is a label selector.
type Matcher interface {
	Matches(labels map[string]string) bool
}

// Selection selects the Services that can get addresses of a pool. Both the namespace and the labels of
// a Service must match.
type Selection struct {
	// Priority of the pool: pools with lower numbers are tried first, and pools
	// with 0 last.
	Priority int32
	// Namespaces are the names of selected namespaces. If NamespaceSelectors is empty too, all
	// namespaces are selected.
	Namespaces []string
	// NamespaceSelectors select further namespaces by their labels. A namespace is selected if at least
	// one of the selectors matches.
	NamespaceSelectors []Matcher
	// ServiceSelectors match the labels of the Service. At least one of them must match; if there are
	// none, the labels do not matter.
	ServiceSelectors []Matcher
}

func (s *Selection) allows(req *Request) bool {
	if s == nil {
		return true
	}
	anywhere := len(s.Namespaces)+len(s.NamespaceSelectors) == 0
	inNamespace := anywhere || slices.Contains(s.Namespaces, req.Service.Namespace) || anyMatches(s.NamespaceSelectors, req.NamespaceLabels)
	return inNamespace && (len(s.ServiceSelectors) == 0 || anyMatches(s.ServiceSelectors, req.Labels))
}

func anyMatches(list []Matcher, labels map[string]string) bool {
	return slices.ContainsFunc(list, func(m Matcher) bool { return m.Matches(labels) })
}

// rank returns the values by which pools are sorted: pools with a selection come first, by priority.
func (p Pool) rank() (pinned, priority int64) {
	if p.Selection == nil {
		return 1, 0
	}
	if p.Selection.Priority == 0 {
		return 0, math.MaxInt64
	}
	return 0, int64(p.Selection.Priority)
}

// compareByUse compares pools by the order in which they are tried for a request that names no pool.
func compareByUse(x, y *pool) int {
	xPinned, xPriority := x.rank()
	yPinned, yPriority := y.rank()
	return cmp.Or(cmp.Compare(xPinned, yPinned), cmp.Compare(xPriority, yPriority), cmp.Compare(x.Name, y.Name))
}

// compareForBoth compares pools for a request that wants two families. It is like compareByUse, but
// among pools of the same priority, pools that give both families come first.
func compareForBoth(x, y *pool) int {
	xPinned, xPriority := x.rank()
	yPinned, yPriority := y.rank()
	return cmp.Or(cmp.Compare(xPinned, yPinned), cmp.Compare(xPriority, yPriority), cmp.Compare(y.countFamilies(), x.countFamilies()), cmp.Compare(x.Name, y.Name))
}

// GivesNothing reports whether the pool gives no address at all, neither to Services that hold one nor
// to others.
func (p Pool) GivesNothing() bool {
	return !slices.ContainsFunc(p.Gives, func(r lb.Range) bool {
		return !p.AvoidBuggy || r.Family() != lb.IPv4 || r.Size().Cmp(big.NewInt(countMistakable(r))) > 0
	})
}

// pool is a Pool with the holders of its addresses. A deleted pool stays in the Allocator, with exists
// set to false, while Services hold addresses of the pool.
type pool struct {
	Pool
	exists bool
	slots  [2]*familySlots // by family; nil: the pool gives no address of the family
	// used counts, by family, the addresses that the pool gives and that are held or reserved.
	used [2]int64
	// held counts all addresses of the pool that are held or reserved, including addresses that the
	// pool no longer gives.
	held int
	// byNamespace counts the addresses of each namespace; nil if MaxPerNamespace
	// is 0.
	byNamespace map[string]int
}

// familyIndex returns the index of a family in arrays.
func familyIndex(f lb.Family) int {
	if f == lb.IPv6 {
		return 1
	}
	return 0
}

// isOfNodes reports whether an address is in p.OfNodes.
func (p *pool) isOfNodes(a netip.Addr) bool {
	_, ok := lb.FindRange(p.OfNodes, a)
	return ok
}

// conflictPhrase describes the conflict of an address in a clause that begins with "the address".
func (p *pool) conflictPhrase(a netip.Addr) string {
	for _, c := range p.Conflicts {
		if c.Range.Contains(a) && !c.Foreign {
			return "the address " + c.predicate()
		}
	}
	return "the address conflicts with something else (see the condition Conflict of the pool)"
}

// countFamilies returns the number of families of which the pool gives addresses.
func (p *pool) countFamilies() (n int) {
	for _, s := range p.slots {
		if s != nil {
			n++
		}
	}
	return n
}

// gives reports whether the pool gives an address, whether the address is held or free.
func (p *pool) gives(a netip.Addr) bool {
	_, ok := lb.FindRange(p.Gives, a)
	return ok && p.exists && !(p.AvoidBuggy && isMistakable(a))
}

// isMistakable reports whether the last octet of an IPv4 address is 0 or 255. Old devices take such an
// address for a network or broadcast address.
func isMistakable(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	last := a.As4()[3]
	return last == 0 || last == 255
}

// countMistakable counts the addresses of a range for which isMistakable is true.
func countMistakable(r lb.Range) int64 {
	if r.Family() != lb.IPv4 {
		return 0
	}
	first, last := addressNumber(r.First), addressNumber(r.Last)
	// Of the addresses with a number below n, (n+255)/256 have the last octet 0, and n/256 have 255.
	below := func(n int64) int64 { return (n+255)/256 + n/256 }
	return below(last+1) - below(first)
}

func addressNumber(a netip.Addr) int64 {
	b := a.As4()
	return int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])
}
