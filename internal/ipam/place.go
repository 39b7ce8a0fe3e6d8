package ipam

import (
	"net/netip"
	"sort"

	"github.com/lbstack/lbstack/internal/lb"
)

// addressPlace is the pool whose ranges contain an address, and the number of the address in that pool.
type addressPlace struct {
	pool   *pool // the pool whose Gives contain the address; nil: there is no such pool
	number uint64
	gives  bool // false: there is no pool, or the pool does not give the address because of AvoidBuggy
}

func (a *Allocator) locate(address netip.Addr) addressPlace {
	i := sort.Search(len(a.given), func(i int) bool { return !a.given[i].Last.Less(address) })
	if i == len(a.given) || address.Less(a.given[i].First) {
		return addressPlace{}
	}
	g := &a.given[i]
	return addressPlace{pool: g.pool, number: numberIn(g.Range, g.start, address), gives: !(g.pool.AvoidBuggy && isMistakable(address))}
}

// slots returns the slots of the pool for the family of the address.
func (at addressPlace) slots(address netip.Addr) *familySlots {
	return at.pool.slots[familyIndex(lb.FamilyOf(address))]
}

// givingPool returns the pool that gives an address, whether the address is held or free.
func (a *Allocator) givingPool(address netip.Addr) (*pool, bool) {
	at := a.locate(address)
	return at.pool, at.gives
}

// PoolOf returns the name of the pool that gives an address, whether the address is held or free.
func (a *Allocator) PoolOf(address netip.Addr) (lb.PoolName, bool) {
	if p, ok := a.givingPool(address); ok {
		return p.Name, true
	}
	return "", false
}

// sourcePool returns the pool of a held or reserved address. This is the pool that gives the address. If
// no pool gives it, it is the pool that the address came from.
func (a *Allocator) sourcePool(address netip.Addr) *pool {
	if p, ok := a.givingPool(address); ok {
		return p
	}
	return a.origin[address]
}

// firstHolder returns the first holder of an address. It returns a.nobody if Reserve has reserved the
// address, and nil if the address is free.
func (a *Allocator) firstHolder(address netip.Addr) *account {
	return a.firstHolderAt(a.locate(address), address)
}

func (a *Allocator) firstHolderAt(at addressPlace, address netip.Addr) *account {
	if at.pool != nil {
		if s := at.slots(address); at.number < uint64(len(s.holders)) {
			return s.holders[at.number]
		}
	}
	return a.far[address]
}

// putHolder replaces the first holder of an address; nil makes the address free.
func (a *Allocator) putHolder(at addressPlace, address netip.Addr, c *account) {
	if at.pool != nil {
		if s := at.slots(address); s.load(at.number, a.far) {
			s.put(at.number, address, c)
			return
		}
	}
	if c != nil {
		a.far[address] = c
	} else {
		delete(a.far, address)
	}
}

// occupy records the first holder of an address that was free.
func (a *Allocator) occupy(at addressPlace, address netip.Addr, name lb.PoolName, first *account) *pool {
	p := at.pool
	if !at.gives {
		p = a.poolOrNew(name)
		a.origin[address] = p
	}
	a.putHolder(at, address, first)
	p.countAddress(address, at.gives, 1)
	return p
}

// vacate makes an address free. If the IPAddressPool that the address came from is deleted, and no other
// held or reserved address came from it, vacate also removes the pool from the Allocator.
func (a *Allocator) vacate(address netip.Addr) {
	at := a.locate(address)
	p := at.pool
	if !at.gives {
		p = a.origin[address]
		delete(a.origin, address)
	}
	p.countAddress(address, at.gives, -1)
	a.putHolder(at, address, nil)
	if !p.exists && p.held == 0 {
		delete(a.pools, p.Name)
	}
}

func (p *pool) countAddress(address netip.Addr, gives bool, n int) {
	p.held += n
	if gives {
		i := familyIndex(lb.FamilyOf(address))
		p.used[i] += int64(n)
		p.slots[i].held += n
	}
}

// Reserve makes an address unavailable to all Services until Unreserve. It returns false, and changes
// nothing, if a Service holds the address.
func (a *Allocator) Reserve(address netip.Addr, pool lb.PoolName) bool {
	at := a.locate(address)
	switch a.firstHolderAt(at, address) {
	case nil:
		a.occupy(at, address, pool, a.nobody)
		return true
	case a.nobody:
		return true
	}
	return false
}

// Unreserve makes an address free that Reserve has reserved.
func (a *Allocator) Unreserve(address netip.Addr) {
	if a.firstHolder(address) == a.nobody {
		a.vacate(address)
	}
}
