package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Foreign is what is known of an address that a host uses which is no node of the
// cluster, or the kernel of a node.
type Foreign struct {
	// By whom it is used, as part of a sentence.
	By string
	// Remedy is what to do about it, as part of a sentence.
	Remedy string
	// InUse means that it had been announced before the first message of the other host arrived, and
	// still is: the Service that has it keeps it.
	InUse bool
	// ReportedOnly means that the pool gives the address all the same; see Losses.
	ReportedOnly bool
}

// flees reports whether a Service that holds an address lets it go for another one: a
// foreign host uses it, it is not announced, and the Service did not ask for exactly
// this one.
func (f Foreign) flees(address netip.Addr, req *Request) bool {
	return !f.InUse && !f.ReportedOnly && !slices.Contains(req.Addresses, address)
}

// isForeign reports whether the pool would give an address if no foreign host used it.
func (p *pool) isForeign(address netip.Addr) bool {
	_, foreign := p.Foreign[address]
	return foreign
}

// Foreign returns the foreign host that uses an address which a pool lists, and the
// name of that pool.
func (a *Allocator) Foreign(address netip.Addr) (Foreign, lb.PoolName, bool) {
	for _, p := range a.order {
		if f, ok := p.Foreign[address]; ok {
			return f, p.Name, true
		}
	}
	return Foreign{}, "", false
}

// stay returns those of what a Service was to let go that nothing has come for:
// all, if the request was not met, and else those of the families that miss.
func stay(fleeing []OutsidePool, chosen []Holding, missing, refusal *Refusal) (staying []Holding) {
	for _, f := range fleeing {
		replaced := slices.ContainsFunc(chosen, func(h Holding) bool { return lb.FamilyOf(h.Address) == lb.FamilyOf(f.Address) })
		if refusal != nil || (missing != nil && !replaced) {
			staying = append(staying, f.Holding)
		}
	}
	return staying
}
