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
	// Total is how many the pool gives.
	Total *big.Int
	// Used is how many of them are held or reserved.
	Used int64
}

// Free is how many can still be given.
func (u Usage) Free() *big.Int { return new(big.Int).Sub(u.Total, big.NewInt(u.Used)) }

// OutsidePool is an address that a Service holds although the pool that it came from no
// longer gives it, or not to that Service.
type OutsidePool struct {
	Holding
	// Why the pool does not give it, as part of a sentence.
	Why string
}

// outside is why an address is kept that its pool would not give.
type outside struct {
	why string
	// ofService means that the pool gives the address, but not to this Service: only
	// its next request reports whether that is still so.
	ofService bool
}

// State is how a pool stands.
type State struct {
	// Usage by family; families that the pool does not give are absent.
	Usage map[lb.Family]Usage
	// Held is how many addresses came from the pool, also those that it no
	// longer gives.
	Held int
	// OutsidePool are those that it no longer gives, in the order of the addresses.
	OutsidePool []OutsidePool
}

// States returns how every pool stands that exists. What Services keep, and why, is known
// once the Services were assigned anew after a change.
func (a *Allocator) States() map[lb.PoolName]State {
	states := map[lb.PoolName]State{}
	for _, p := range a.order {
		state := State{Usage: map[lb.Family]Usage{}, Held: p.held}
		for _, f := range []lb.Family{lb.IPv4, lb.IPv6} {
			if i := index(f); p.slots[i] != nil {
				state.Usage[f] = Usage{Total: p.slots[i].total, Used: p.used[i]}
			}
		}
		states[p.Name] = state
	}
	for at, o := range a.outside {
		p := a.from(at.address)
		if state, ok := states[p.Name]; ok {
			state.OutsidePool = append(state.OutsidePool, OutsidePool{Holding{at.address, p.Name, at.service}, o.why})
			states[p.Name] = state
		}
	}
	for _, state := range states {
		slices.SortFunc(state.OutsidePool, func(x, y OutsidePool) int {
			return cmp.Or(x.Address.Compare(y.Address), x.Service.Compare(y.Service))
		})
	}
	return states
}

// Services yields those that hold something, in no order.
func (a *Allocator) Services() iter.Seq[lb.ServiceKey] {
	return func(yield func(lb.ServiceKey) bool) {
		for c := range a.accounts.all() {
			if !yield(c.key) {
				return
			}
		}
	}
}
