package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Pledge notes that an address which the Service holds was given to it by an
// administrator, or kept for it, and that it has not taken it up: it prefers that
// one to what it has.
func (a *Allocator) Pledge(address netip.Addr, service lb.ServiceKey) {
	if a.holds(address, service) {
		a.pledged[pledge{address, service}] = struct{}{}
	}
}

// Pledged says whether an address was given to a Service, or kept for it, and it
// has not taken it up yet.
func (a *Allocator) Pledged(h Holding) bool {
	_, ok := a.pledged[pledge{h.Address, h.Service}]
	return ok
}

// TakeUp notes that the Service has taken a pledged address up.
func (a *Allocator) TakeUp(address netip.Addr, service lb.ServiceKey) {
	delete(a.pledged, pledge{address, service})
}

// prefer orders what a Service holds as it is kept: what was pledged to it, what it
// shows, and what it was told to let go only if there is nothing else.
func (a *Allocator) prefer(held []Holding, shows []netip.Addr) {
	if len(held) < 2 {
		return
	}
	rank := func(h Holding) int {
		if a.Pledged(h) {
			return 0
		}
		if _, dropped := a.dropped[pledge{h.Address, h.Service}]; dropped {
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
