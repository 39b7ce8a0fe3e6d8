// Package ipam decides which addresses a Service gets. It is pure: it uses no
// Kubernetes types, sockets, clock or logger, and the same pools, holdings and
// request always give the same decision.
//
// The order in which addresses and pools are tried is part of its interface: see
// Assign.
package ipam

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Holding is an address that a Service has.
type Holding struct {
	// Address that is held.
	Address netip.Addr
	// Pool that the address came from; it may have been deleted since.
	Pool lb.PoolName
	// Service that holds the address; the zero value if Reserve has reserved the address.
	Service lb.ServiceKey
}

// Allocator has the pools and the holders of each address. It is not safe for concurrent use. The cost
// of a request does not depend on the size of the pools, nor on how many addresses are held. An address
// with a single holder takes less than 200 bytes of memory.
type Allocator struct {
	pools map[lb.PoolName]*pool
	order []*pool      // the pools that exist, in the order in which they are tried
	both  []*pool      // the same pools, in the order for a request that wants two families
	given []givenRange // which pool gives which addresses

	accounts    accountRegister
	far         map[netip.Addr]*account      // the first holders of addresses that are not in the memory of familySlots
	origin      map[netip.Addr]*pool         // the pools that addresses came from, for held or reserved addresses that no pool gives now
	shared      map[netip.Addr][]*account    // the holders after the first holder
	byKey       map[string][]netip.Addr      // addresses by sharing key, sorted
	sharing     map[assignment]lb.Sharing    // the terms of holders with a sharing key
	ports       map[netip.Addr]*portSet      // the ports of holders with a sharing key
	reservedFor map[assignment]struct{}      // addresses that are reserved for a Service that does not use them yet
	outside     map[assignment]outsideReason // addresses that Services keep although the pool no longer gives them, and why
	dropped     map[assignment]struct{}      // addresses that were in Decision.Drop and are not released yet
	nobody      *account                     // the first holder of addresses that Reserve has reserved
}

// givenRange is a range of addresses that a pool gives. Lists of such ranges are sorted and disjoint.
type givenRange struct {
	lb.Range
	pool  *pool
	start uint64 // the number of the first address in the familySlots of the pool
}

// assignment is a pair of an address and a Service.
type assignment struct {
	address netip.Addr
	service lb.ServiceKey
}

// New returns an allocator without pools and holdings.
func New() *Allocator {
	return &Allocator{
		pools: map[lb.PoolName]*pool{}, accounts: newAccountRegister(), far: map[netip.Addr]*account{},
		origin: map[netip.Addr]*pool{}, shared: map[netip.Addr][]*account{}, byKey: map[string][]netip.Addr{}, sharing: map[assignment]lb.Sharing{}, ports: map[netip.Addr]*portSet{},
		reservedFor: map[assignment]struct{}{}, outside: map[assignment]outsideReason{}, dropped: map[assignment]struct{}{}, nobody: &account{},
	}
}

// SetPools replaces the pools. The caller must have called Resolve with them. All holdings stay, even if
// their pool was deleted or became smaller: SetPools takes no address away. If another pool now gives a
// held address, for example because a user renamed the pool, the holding belongs to that pool from then
// on.
func (a *Allocator) SetPools(pools []Pool) {
	entries := a.heldEntries()
	for _, p := range a.pools {
		*p = pool{Pool: Pool{Name: p.Name}}
	}
	a.order, a.given = nil, nil
	for _, next := range pools {
		p := a.poolOrNew(next.Name)
		p.Pool, p.exists = next, true
		if p.MaxPerNamespace > 0 {
			p.byNamespace = map[string]int{}
		}
		a.order = append(a.order, p)
		for _, r := range p.Gives {
			i := familyIndex(r.Family())
			if p.slots[i] == nil {
				p.slots[i] = newFamilySlots(p.AvoidBuggy)
			}
			a.given = append(a.given, givenRange{Range: r, pool: p, start: p.slots[i].add(r)})
		}
	}
	slices.SortFunc(a.given, func(x, y givenRange) int { return x.First.Compare(y.First) })
	slices.SortFunc(a.order, compareByUse)
	a.both = slices.SortedFunc(slices.Values(a.order), compareForBoth)
	a.restoreEntries(entries)
	maps.DeleteFunc(a.outside, func(at assignment, o outsideReason) bool {
		_, gives := a.givingPool(at.address)
		return gives && !o.ofService
	})
	maps.DeleteFunc(a.pools, func(_ lb.PoolName, p *pool) bool { return !p.exists && p.held == 0 })
}

// heldEntry is an address that is held or reserved.
type heldEntry struct {
	address netip.Addr
	pool    lb.PoolName
	first   *account
}

// heldEntries returns the addresses that are held or reserved, sorted.
func (a *Allocator) heldEntries() []heldEntry {
	var list []heldEntry
	add := func(address netip.Addr, c *account) {
		list = append(list, heldEntry{address, a.sourcePool(address).Name, c})
	}
	for _, p := range a.order {
		for _, s := range p.slots {
			for i := uint64(0); s != nil && i < uint64(len(s.holders)); i++ {
				if s.holders[i] != nil {
					add(s.address(i), s.holders[i])
				}
			}
		}
	}
	for address, c := range a.far {
		add(address, c)
	}
	slices.SortFunc(list, func(x, y heldEntry) int { return x.address.Compare(y.address) })
	return list
}

// restoreEntries records the first holders of addresses again, in the current pools.
func (a *Allocator) restoreEntries(entries []heldEntry) {
	clear(a.far)
	clear(a.origin)
	for _, e := range entries {
		p := a.occupy(a.locate(e.address), e.address, e.pool, e.first)
		if p.byNamespace != nil {
			for namespace := range a.namespaces(e.address) {
				p.countFor(namespace, 1)
			}
		}
	}
}

// poolOrNew returns the pool with a name. If there is no such pool, it adds a pool whose field exists is
// false.
func (a *Allocator) poolOrNew(name lb.PoolName) *pool {
	p, ok := a.pools[name]
	if !ok {
		p = &pool{Pool: Pool{Name: name}}
		a.pools[name] = p
	}
	return p
}

func (p *pool) countFor(namespace string, n int) {
	if p.byNamespace != nil {
		if p.byNamespace[namespace] += n; p.byNamespace[namespace] == 0 {
			delete(p.byNamespace, namespace)
		}
	}
}
