package ipam

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// FamilyPolicy is how many families a Service wants addresses of: its
// spec.ipFamilyPolicy.
type FamilyPolicy uint8

// The policies.
const (
	// SingleStack: one address, of the first family that a pool can give.
	SingleStack FamilyPolicy = iota
	// PreferDualStack: one address of each family, or of one family if the other
	// has none.
	PreferDualStack
	// RequireDualStack: one address of each family, or none at all.
	RequireDualStack
)

// Request is the request of a Service for addresses.
type Request struct {
	// Service that asks.
	Service lb.ServiceKey
	// Labels of the Service, and NamespaceLabels of its namespace: the Selection
	// of a pool matches them.
	Labels, NamespaceLabels map[string]string
	// Pool that the addresses must come from; empty: any pool with AutoAssign.
	Pool lb.PoolName
	// Addresses that the Service names, without duplicates; empty: any address
	// will do. If Policy asks for both families and Addresses has only one of
	// them, the Service gets any address of the other.
	Addresses []netip.Addr
	// Families that the Service can use, one or two, the preferred one first.
	Families []lb.Family
	// Policy is whether the Service wants one family or both.
	Policy FamilyPolicy
	// Terms on which the Service shares its addresses.
	Terms lb.Sharing
	// Shows are the addresses in the status of the Service. If the Service holds
	// more addresses than it needs, it keeps these.
	Shows []netip.Addr
	// Kept are addresses that the Service had before lbstack was removed, 32 at most. Of a family of which it
	// neither holds nor names an address, it gets one of these if it would get it by naming it.
	Kept []netip.Addr
}

// wantsBoth reports whether the Service wants an address of each of two
// families.
func (r *Request) wantsBoth() bool { return r.Policy != SingleStack && len(r.Families) > 1 }

// otherNeeds returns which addresses the Service needs besides those that it names:
// for each non-empty item one address, of any family in the item.
func (r *Request) otherNeeds() (needs [2][]lb.Family) {
	switch {
	case r.wantsBoth():
		for i, f := range r.Families[:len(needs)] {
			if !r.namesFamily(f) {
				needs[i] = r.Families[i : i+1]
			}
		}
	case len(r.Addresses) == 0:
		needs[0] = r.Families
	}
	return needs
}

// namesFamily reports whether the request names an address of the family.
func (r *Request) namesFamily(f lb.Family) bool { return r.countNamed(f) > 0 }

// countNamed returns how many addresses of a family the request names.
func (r *Request) countNamed(f lb.Family) (n int) {
	for _, a := range r.Addresses {
		if lb.FamilyOf(a) == f {
			n++
		}
	}
	return n
}

// Decision is the result of a request.
type Decision struct {
	// Keep are the addresses that the Service has from now on: those that meet
	// the request or, if it was refused, those that the Service had and may
	// keep. The Allocator has recorded them already.
	Keep []Holding
	// Drop are the addresses that the Service gives up. It holds them until the
	// caller calls Release, once the claims of Keep are written.
	Drop []Holding
	// Lost are the addresses in Drop that the Service may not keep even if it gets
	// none in their place.
	Lost []OutsidePool
	// Fled are the addresses in Drop that foreign hosts use, and that the
	// Service has exchanged for others.
	Fled []OutsidePool
	// Refusal is why the request was not met; nil if it was.
	Refusal *Refusal
	// Missing is why a Service with PreferDualStack gets addresses of one family
	// only; nil if it gets both, or wants one.
	Missing *Refusal
}
