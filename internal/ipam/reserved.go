package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// ReserveFor records that an address that the Service holds is only reserved for it: the Service does
// not use the address yet. Assign prefers such an address to the other addresses of the Service.
func (a *Allocator) ReserveFor(address netip.Addr, service lb.ServiceKey) {
	if a.holds(address, service) {
		a.reservedFor[assignment{address, service}] = struct{}{}
	}
}

// IsReservedFor reports whether an address is only reserved for the Service that holds it, and not in
// use yet.
func (a *Allocator) IsReservedFor(h Holding) bool {
	_, ok := a.reservedFor[assignment{h.Address, h.Service}]
	return ok
}

// MarkInUse records that the Service uses an address that was reserved for it.
func (a *Allocator) MarkInUse(address netip.Addr, service lb.ServiceKey) {
	delete(a.reservedFor, assignment{address, service})
}

// sortByPreference sorts the holdings of a Service: first addresses that are reserved for the Service,
// then addresses in its status, then other addresses, and last addresses that an earlier decision
// dropped. Within these groups, it keeps the order.
func (a *Allocator) sortByPreference(held []Holding, shows []netip.Addr) {
	if len(held) < 2 {
		return
	}
	rank := func(h Holding) int {
		if a.IsReservedFor(h) {
			return 0
		}
		if _, dropped := a.dropped[assignment{h.Address, h.Service}]; dropped {
			return 3
		}
		if slices.Contains(shows, h.Address) {
			return 1
		}
		return 2
	}
	slices.SortStableFunc(held, func(x, y Holding) int {
		return rank(x) - rank(y)
	})
}
