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

// Pool is a set of addresses and who may have them.
type Pool struct {
	// Name of the pool, unique.
	Name lb.PoolName
	// Created is when its object was made.
	Created time.Time
	// Listed are the addresses that its owner wrote down, in any order.
	Listed []lb.Range
	// Excluded are those of them that are not given.
	Excluded []lb.Range
	// Gives are the addresses that the pool gives, sorted and disjoint, and of
	// no other pool: see Resolve.
	Gives []lb.Range
	// Conflicts are what the pool lists and cannot give, or ought not to list, in the
	// order of the addresses: see Resolve.
	Conflicts []Conflict
	// OfNodes are the addresses that the pool would give if nodes did not keep it from
	// that, sorted and disjoint: see Resolve.
	OfNodes []lb.Range
	// Foreign are the addresses that the pool would give if no foreign host used
	// them: see Resolve.
	Foreign map[netip.Addr]Foreign
	// AvoidBuggy holds back IPv4 addresses whose last octet is 0 or 255.
	AvoidBuggy bool
	// AutoAssign reports whether a request that names no pool can be met from it.
	AutoAssign bool
	// Draining pools keep what is given and give nothing new.
	Draining bool
	// Evict means that an address which the pool no longer gives is taken from
	// the Service that holds it.
	Evict bool
	// Selection selects which Services the pool is for; nil: for all.
	Selection *Selection
	// ShareAcrossNamespaces lets Services of different namespaces share an
	// address.
	ShareAcrossNamespaces bool
	// MaxPerNamespace is how many addresses a namespace can have from the pool;
	// 0: as many as there are.
	MaxPerNamespace int
	// MaxPerService is how many addresses of one family a Service can name if one of
	// them is of the pool; 0: any number.
	MaxPerService int
	// Unusable is why the pool gives nothing; empty if it does. What is held in
	// it stays held.
	Unusable string
}

// Matcher reports whether labels are the wanted ones.
type Matcher interface {
	Matches(labels map[string]string) bool
}

// Selection selects which Services a pool is for: those in one of the namespaces
// (none named or selected: in any), with labels that one of the selectors wants
// (no selector: any).
type Selection struct {
	// Priority among the pools that are for a Service: lower numbers first, and
	// 0 last.
	Priority int32
	// Namespaces by name, and NamespaceSelectors by their labels.
	Namespaces         []string
	NamespaceSelectors []Matcher
	// ServiceSelectors by the labels of the Service.
	ServiceSelectors []Matcher
}

func (s *Selection) allows(req *Request) bool {
	if s == nil {
		return true
	}
	anywhere := len(s.Namespaces)+len(s.NamespaceSelectors) == 0
	inNamespace := anywhere || slices.Contains(s.Namespaces, req.Service.Namespace) || matches(s.NamespaceSelectors, req.NamespaceLabels)
	return inNamespace && (len(s.ServiceSelectors) == 0 || matches(s.ServiceSelectors, req.Labels))
}

func matches(list []Matcher, labels map[string]string) bool {
	return slices.ContainsFunc(list, func(m Matcher) bool { return m.Matches(labels) })
}

// rank orders pools: those with a selection first, by priority.
func (p Pool) rank() (pinned, priority int64) {
	if p.Selection == nil {
		return 1, 0
	}
	if p.Selection.Priority == 0 {
		return 0, math.MaxInt64
	}
	return 0, int64(p.Selection.Priority)
}

// inOrderOfUse compares pools as they are tried for a request that names none.
func inOrderOfUse(x, y *pool) int {
	xPinned, xPriority := x.rank()
	yPinned, yPriority := y.rank()
	return cmp.Or(cmp.Compare(xPinned, yPinned), cmp.Compare(xPriority, yPriority), cmp.Compare(x.Name, y.Name))
}

// inOrderForBoth does so for one that can use two families.
func inOrderForBoth(x, y *pool) int {
	xPinned, xPriority := x.rank()
	yPinned, yPriority := y.rank()
	return cmp.Or(cmp.Compare(xPinned, yPinned), cmp.Compare(xPriority, yPriority), cmp.Compare(y.families(), x.families()), cmp.Compare(x.Name, y.Name))
}

// GivesNothing reports whether the pool has no address to give, free or not.
func (p Pool) GivesNothing() bool {
	return !slices.ContainsFunc(p.Gives, func(r lb.Range) bool {
		return !p.AvoidBuggy || r.Family() != lb.IPv4 || r.Size().Cmp(big.NewInt(buggyIn(r))) > 0
	})
}

// pool is a Pool at work. One that is gone, and has left addresses with
// Services, stays with exists unset.
type pool struct {
	Pool
	exists bool
	slots  [2]*slots // by family; nil: none
	// used are the addresses that the pool gives and that are held; held are all
	// that came from it.
	used [2]int64
	held int
	// byNamespace counts the addresses of each namespace, if that is limited.
	byNamespace map[string]int
}

// index of a family in arrays.
func index(f lb.Family) int {
	if f == lb.IPv6 {
		return 1
	}
	return 0
}

// isOfNodes reports whether the pool would give an address but for what nodes say.
func (p *pool) isOfNodes(a netip.Addr) bool {
	_, ok := lb.Find(p.OfNodes, a)
	return ok
}

// conflict returns with what an address conflicts, as part of a sentence whose subject is
// the address.
func (p *pool) conflict(a netip.Addr) string {
	for _, c := range p.Conflicts {
		if c.Range.Contains(a) && !c.Foreign {
			return "it " + c.predicate()
		}
	}
	return "it conflicts with something else (see the condition Conflict of the pool)"
}

// families is how many families the pool gives addresses of.
func (p *pool) families() (n int) {
	for _, s := range p.slots {
		if s != nil {
			n++
		}
	}
	return n
}

// gives reports whether an address is one that the pool gives, be it free or not.
func (p *pool) gives(a netip.Addr) bool {
	_, ok := lb.Find(p.Gives, a)
	return ok && p.exists && !(p.AvoidBuggy && buggy(a))
}

// buggy reports whether an address is one that old devices take for that of a
// network or for broadcast: its last octet is 0 or 255.
func buggy(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	last := a.As4()[3]
	return last == 0 || last == 255
}

// buggyIn counts the buggy addresses of a range.
func buggyIn(r lb.Range) int64 {
	if r.Family() != lb.IPv4 {
		return 0
	}
	first, last := number(r.First), number(r.Last)
	// Of the numbers below n, (n+255)/256 end in 0 and n/256 end in 255.
	below := func(n int64) int64 { return (n+255)/256 + n/256 }
	return below(last+1) - below(first)
}

func number(a netip.Addr) int64 {
	b := a.As4()
	return int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])
}
