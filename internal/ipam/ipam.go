// Package ipam decides which address a Service gets. It is pure: it knows no
// Kubernetes, socket, clock or logger, and the same pools, the same holdings
// and the same request always give the same answer.
//
// Order is total and part of the promise: of several pools the one whose name
// sorts first is used, and of its addresses the lowest free one.
package ipam

import (
	"cmp"
	"maps"
	"math/big"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Pool is a set of addresses, free of overlaps with other pools: see Check.
type Pool struct {
	// Name of the pool, unique.
	Name lb.PoolName
	// Ranges of the pool.
	Ranges []lb.Range
	// AutoAssign says whether a request that names no pool can be met from it.
	AutoAssign bool
	// Unusable is why the pool gives nothing; empty if it does. What is held in
	// it stays held.
	Unusable string
}

// Contains says whether the pool has the address.
func (p Pool) Contains(a netip.Addr) bool {
	return slices.ContainsFunc(p.Ranges, func(r lb.Range) bool { return r.Contains(a) })
}

// Holding is an address that is in use.
type Holding struct {
	// Address that is held.
	Address netip.Addr
	// Pool that it came from; it may have gone since.
	Pool lb.PoolName
	// Service that holds it; the zero value for an address that is reserved
	// and held by no Service.
	Service lb.ServiceKey
}

// Allocator knows the pools and who holds which address. It is not safe for
// concurrent use. A request costs a logarithm of the number of addresses that
// were released, and nothing grows with the size of a pool.
type Allocator struct {
	pools     []*pool // by name
	holdings  map[netip.Addr]Holding
	byService map[lb.ServiceKey][]netip.Addr // in order
}

type pool struct {
	Pool
	free []*freeList // one per range
}

// New returns an allocator without pools and holdings.
func New() *Allocator {
	return &Allocator{holdings: map[netip.Addr]Holding{}, byService: map[lb.ServiceKey][]netip.Addr{}}
}

// SetPools replaces the pools. Holdings stay, also those whose pool is gone or
// has become smaller: an address in use is never taken away by an edit. One
// that its pool no longer has and another pool has now, say because the pool was
// renamed, is that pool's from then on; SetPools returns the Services concerned.
func (a *Allocator) SetPools(pools []Pool) (moved []lb.ServiceKey) {
	sorted := slices.SortedFunc(slices.Values(pools), func(x, y Pool) int { return cmp.Compare(x.Name, y.Name) })
	a.pools = make([]*pool, 0, len(sorted))
	for _, p := range sorted {
		next := &pool{Pool: p}
		for _, r := range p.Ranges {
			next.free = append(next.free, newFreeList(r))
		}
		a.pools = append(a.pools, next)
	}
	for address, h := range a.holdings {
		if p, ok := a.find(h.Pool); ok && p.Contains(address) {
			continue
		}
		if now, ok := a.PoolOf(address); ok && now != h.Pool {
			h.Pool = now
			a.holdings[address] = h
			if h.Service != (lb.ServiceKey{}) {
				moved = append(moved, h.Service)
			}
		}
	}
	slices.SortFunc(moved, lb.ServiceKey.Compare)
	return slices.Compact(moved)
}

func (a *Allocator) find(name lb.PoolName) (*pool, bool) {
	i, ok := slices.BinarySearchFunc(a.pools, name, func(p *pool, name lb.PoolName) int { return cmp.Compare(p.Name, name) })
	if !ok {
		return nil, false
	}
	return a.pools[i], true
}

// Hold records that a Service holds an address, as found in the cluster. It
// reports false, and changes nothing, if somebody else holds the address.
func (a *Allocator) Hold(h Holding) bool {
	if old, ok := a.holdings[h.Address]; ok {
		if old.Service != h.Service {
			return false
		}
		a.holdings[h.Address] = h
		return true
	}
	a.holdings[h.Address] = h
	if h.Service != (lb.ServiceKey{}) {
		list := append(a.byService[h.Service], h.Address)
		slices.SortFunc(list, netip.Addr.Compare)
		a.byService[h.Service] = list
	}
	return true
}

// Release forgets a holding, if that Service has it.
func (a *Allocator) Release(address netip.Addr, service lb.ServiceKey) {
	h, ok := a.holdings[address]
	if !ok || h.Service != service {
		return
	}
	delete(a.holdings, address)
	list := slices.DeleteFunc(a.byService[service], func(x netip.Addr) bool { return x == address })
	if len(list) == 0 {
		delete(a.byService, service)
	} else {
		a.byService[service] = list
	}
	for _, p := range a.pools {
		for _, f := range p.free {
			f.release(address)
		}
	}
}

// Holder returns who holds an address.
func (a *Allocator) Holder(address netip.Addr) (Holding, bool) {
	h, ok := a.holdings[address]
	return h, ok
}

// HeldBy returns what a Service holds, in the order of the addresses.
func (a *Allocator) HeldBy(service lb.ServiceKey) []Holding {
	var held []Holding
	for _, address := range a.byService[service] {
		held = append(held, a.holdings[address])
	}
	return held
}

// PoolOf returns the name of the pool that has the address: the one that gives
// it or, if none does, one that is unusable.
func (a *Allocator) PoolOf(address netip.Addr) (lb.PoolName, bool) {
	if p := poolOf(a.pools, address); p != nil {
		return p.Name, true
	}
	return "", false
}

// poolOf finds the pool of an address, a usable one if there is one: of two that
// overlap, the older goes on and the younger is unusable.
func poolOf(pools []*pool, address netip.Addr) *pool {
	var unusable *pool
	for _, p := range pools {
		switch {
		case !p.Contains(address):
		case p.Unusable == "":
			return p
		case unusable == nil:
			unusable = p
		}
	}
	return unusable
}

// Usage counts the addresses of a pool.
type Usage struct {
	// Total is how many the pool has.
	Total *big.Int
	// Used is how many of them are held.
	Used int64
}

// Free is how many can still be given.
func (u Usage) Free() *big.Int { return new(big.Int).Sub(u.Total, big.NewInt(u.Used)) }

// Usage counts the addresses of every pool by family; families that a pool
// does not have are absent. It looks at each holding once.
func (a *Allocator) Usage() map[lb.PoolName]map[lb.Family]Usage {
	usage := map[lb.PoolName]map[lb.Family]Usage{}
	for _, p := range a.pools {
		families := map[lb.Family]Usage{}
		for _, r := range p.Ranges {
			u, ok := families[r.Family()]
			if !ok {
				u.Total = new(big.Int)
			}
			u.Total.Add(u.Total, r.Size())
			families[r.Family()] = u
		}
		usage[p.Name] = families
	}
	for address := range maps.Keys(a.holdings) {
		// A pool that overlaps an older one does not count what that one has.
		p := poolOf(a.pools, address)
		if p == nil {
			continue
		}
		families := usage[p.Name]
		u := families[lb.FamilyOf(address)]
		u.Used++
		families[lb.FamilyOf(address)] = u
	}
	return usage
}
