package ipam

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// FamilyPolicy is how many families a Service wants addresses of, as
// spec.ipFamilyPolicy does.
type FamilyPolicy uint8

// The policies.
const (
	// SingleStack: one address, of the first family that can be had.
	SingleStack FamilyPolicy = iota
	// PreferDualStack: one of each family, or of one if the other cannot be had.
	PreferDualStack
	// RequireDualStack: one of each family, or nothing.
	RequireDualStack
)

// Request is what a Service asks for.
type Request struct {
	// Service that asks.
	Service lb.ServiceKey
	// Labels of the Service, and NamespaceLabels of its namespace, for pools that
	// are not for all.
	Labels, NamespaceLabels map[string]string
	// Pool that the addresses must come from; empty: any pool that gives itself.
	Pool lb.PoolName
	// Addresses that the Service wants, without duplicates; none: any. Of a family
	// of which it names none it gets one as if it had named none at all, if
	// Policy asks for both.
	Addresses []netip.Addr
	// Families that the Service can use, the preferred one first: one or two.
	Families []lb.Family
	// Policy reports whether it wants both.
	Policy FamilyPolicy
	// Terms on which it shares its addresses.
	Terms lb.Sharing
	// Shows are the addresses that people can see it has: of those that it holds
	// and does not need all of, it keeps these.
	Shows []netip.Addr
}

// wantsBoth reports whether each family is to be met by itself.
func (r *Request) wantsBoth() bool { return r.Policy != SingleStack && len(r.Families) > 1 }

// anyOf returns of which families any address will do; those of one item are
// alternatives, and an empty one is no need.
func (r *Request) anyOf() (needs [2][]lb.Family) {
	switch {
	case r.wantsBoth():
		for i, f := range r.Families[:len(needs)] {
			if !r.names(f) {
				needs[i] = r.Families[i : i+1]
			}
		}
	case len(r.Addresses) == 0:
		needs[0] = r.Families
	}
	return needs
}

// names reports whether the request names an address of a family.
func (r *Request) names(f lb.Family) bool { return r.count(f) > 0 }

// count is how many addresses of a family the request names.
func (r *Request) count(f lb.Family) (n int) {
	for _, a := range r.Addresses {
		if lb.FamilyOf(a) == f {
			n++
		}
	}
	return n
}

// Decision is what becomes of a request.
type Decision struct {
	// Keep is what the Service has from now on, recorded: what meets the request
	// or, if that was refused, what the Service had and may keep.
	Keep []Holding
	// Drop is what it lets go, once the other addresses are safe; it is held until
	// it is released.
	Drop []Holding
	// Lost are those of Drop that the Service may not keep even if it gets nothing
	// in their place.
	Lost []OutsidePool
	// Fled are those of Drop that foreign hosts use, for which the Service has
	// others now.
	Fled []OutsidePool
	// Refusal is why the request was not met; nil if it was.
	Refusal *Refusal
	// Missing is why a Service that prefers two families has one; nil if it has
	// both, or wants one.
	Missing *Refusal
}
