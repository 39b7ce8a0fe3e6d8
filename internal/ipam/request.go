package ipam

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// FamilyPolicy is spec.ipFamilyPolicy of a Service: whether it requests addresses of one family or of
// both.
type FamilyPolicy uint8

// The policies.
const (
	// SingleStack: one address, of the first family that a pool can give.
	SingleStack FamilyPolicy = iota
	// PreferDualStack: one address of each family, or of one family if the other family has no address.
	PreferDualStack
	// RequireDualStack: one address of each family, or none at all.
	RequireDualStack
)

// Request is the request of a Service for addresses.
type Request struct {
	// Service that makes the request.
	Service lb.ServiceKey
	// Labels of the Service, for the Selection of a pool.
	Labels map[string]string
	// NamespaceLabels are the labels of the Service's namespace, for the Selection of a pool.
	NamespaceLabels map[string]string
	// Pool that the addresses must come from; empty: any pool with AutoAssign.
	Pool lb.PoolName
	// Addresses that the Service names, without duplicates; empty: any address meets the request. If
	// Policy asks for both families and Addresses has only one family, the Service gets any address of
	// the other family.
	Addresses []netip.Addr
	// Families that the Service can use, one or two, the preferred one first.
	Families []lb.Family
	// Policy is whether the Service wants one family or both.
	Policy FamilyPolicy
	// Terms on which the Service shares its addresses.
	Terms lb.Sharing
	// Shows are the addresses in the status of the Service. If the Service holds more addresses than it
	// needs, it keeps the addresses in its status.
	Shows []netip.Addr
	// GivenByOther means that another load balancer gave the Service the addresses in Shows. That load
	// balancer may still announce them, so that its nodes look like foreign hosts.
	GivenByOther bool
	// Kept are at most 32 addresses that the Service had before lbstack was removed. If the Service
	// neither holds nor names an address of a family, it gets the first of them that it could also get
	// by naming it.
	Kept []netip.Addr
}

// wantsBoth reports whether the Service wants an address of each of two
// families.
func (r *Request) wantsBoth() bool { return r.Policy != SingleStack && len(r.Families) > 1 }

// otherNeeds returns which addresses the Service needs in addition to the addresses that it names. Each
// non-empty item stands for one address, and contains the families that this address may have.
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
	// Keep are the addresses that the Service has from now on. If the request was met, these are the
	// addresses that meet it; if it was refused, these are the addresses that the Service had and may
	// keep. The Allocator has recorded them already.
	Keep []Holding
	// Drop are the addresses that the Service must release. It holds them until the caller calls
	// Release, after it has written the claims of the addresses in Keep.
	Drop []Holding
	// Lost are those addresses in Drop that the Service must not keep, even if it gets no other address
	// instead.
	Lost []OutsideHolding
	// Fled are those addresses in Drop that the Service has exchanged for others because foreign hosts
	// use them.
	Fled []OutsideHolding
	// Refusal is why the request was not met; nil: it was met.
	Refusal *Refusal
	// Missing is why a Service with PreferDualStack gets addresses of only one family; nil if it gets
	// both families, or wants only one.
	Missing *Refusal
}
