package ipam

import (
	"cmp"
	"iter"
	"math/big"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Usage counts the addresses of a pool.
type Usage struct {
	// Total is how many addresses the pool gives.
	Total *big.Int
	// Used is how many of the addresses are held or reserved.
	Used int64
}

// Free returns how many addresses are neither held nor reserved.
func (u Usage) Free() *big.Int { return new(big.Int).Sub(u.Total, big.NewInt(u.Used)) }

// OutsideHolding is an address that a Service holds although the pool no longer gives the address, or no
// longer gives it to this Service.
type OutsideHolding struct {
	Holding
	// Why the pool does not give the address, as part of a sentence.
	Why string
}

// outsideReason is why the pool would not give an address that a Service keeps.
type outsideReason struct {
	why string
	// ofService means that the pool gives the address, but not to this Service. Only the next Assign for
	// the Service finds out whether that is still true.
	ofService bool
}

// PoolState is the state of a pool.
type PoolState struct {
	// Usage by family, for the families that the pool gives.
	Usage map[lb.Family]Usage
	// Held is how many addresses of the pool are held or reserved, including addresses that the pool
	// no longer gives.
	Held int
	// OutsidePool are the held addresses that the pool no longer gives, sorted by
	// address.
	OutsidePool []OutsideHolding
}

// PoolStates returns the state of every pool that exists. After SetPools, OutsidePool is
// complete only once Assign has run for all Services.
func (a *Allocator) PoolStates() map[lb.PoolName]PoolState {
	states := map[lb.PoolName]PoolState{}
	for _, p := range a.order {
		state := PoolState{Usage: map[lb.Family]Usage{}, Held: p.held}
		for _, f := range []lb.Family{lb.IPv4, lb.IPv6} {
			if i := familyIndex(f); p.slots[i] != nil {
				state.Usage[f] = Usage{Total: p.slots[i].total, Used: p.used[i]}
			}
		}
		states[p.Name] = state
	}
	for at, o := range a.outside {
		p := a.sourcePool(at.address)
		if state, ok := states[p.Name]; ok {
			state.OutsidePool = append(state.OutsidePool, OutsideHolding{Holding{at.address, p.Name, at.service}, o.why})
			states[p.Name] = state
		}
	}
	for _, state := range states {
		slices.SortFunc(state.OutsidePool, func(x, y OutsideHolding) int {
			return cmp.Or(x.Address.Compare(y.Address), x.Service.Compare(y.Service))
		})
	}
	return states
}

// HoldingServices yields the Services that hold an address, in no order.
func (a *Allocator) HoldingServices() iter.Seq[lb.ServiceKey] {
	return func(yield func(lb.ServiceKey) bool) {
		for c := range a.accounts.all() {
			if !yield(c.key) {
				return
			}
		}
	}
}
