// Package ipam decides which addresses a Service gets. It is pure: it knows no
// Kubernetes, socket, clock or logger, and the same pools, the same holdings
// and the same request always give the same answer.
//
// Order is total and part of the promise: see Assign.
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
	// Pool that it came from; it may have gone since.
	Pool lb.PoolName
	// Service that holds it; the zero value for an address that is reserved
	// and held by no Service.
	Service lb.ServiceKey
}

// Allocator knows the pools and who holds which address. It is not safe for
// concurrent use. A request costs the same whatever the size and the fill of the
// pools. An address that a Service holds alone costs less than 200 bytes.
type Allocator struct {
	pools map[lb.PoolName]*pool
	order []*pool // those that exist, as they are tried
	both  []*pool // the same, for a request that can use two families
	given []given // who gives which address

	accounts    register
	far         map[netip.Addr]*account   // the first holders of addresses that are in no slot
	origin      map[netip.Addr]*pool      // of what is held and that no pool gives
	shared      map[netip.Addr][]*account // the holders after the first
	byKey       map[string][]netip.Addr   // addresses by sharing key, sorted
	sharing     map[assignment]lb.Sharing // the terms of those who share
	ports       map[netip.Addr]*portSet   // of the holders that share
	reservedFor map[assignment]struct{}   // handed to a Service that has not taken it up
	outside     map[assignment]outside    // kept although the pool no longer gives it, and why
	dropped     map[assignment]struct{}   // what a Service is to release, and has not yet
	nobody      *account                  // holds what is reserved
}

// given is a range of addresses that a pool gives, the first of which has the
// number start there. Lists of them are sorted and disjoint.
type given struct {
	lb.Range
	pool  *pool
	start uint64
}

// assignment names an address and a Service.
type assignment struct {
	address netip.Addr
	service lb.ServiceKey
}

// New returns an allocator without pools and holdings.
func New() *Allocator {
	return &Allocator{
		pools: map[lb.PoolName]*pool{}, accounts: newRegister(), far: map[netip.Addr]*account{},
		origin: map[netip.Addr]*pool{}, shared: map[netip.Addr][]*account{}, byKey: map[string][]netip.Addr{}, sharing: map[assignment]lb.Sharing{}, ports: map[netip.Addr]*portSet{},
		reservedFor: map[assignment]struct{}{}, outside: map[assignment]outside{}, dropped: map[assignment]struct{}{}, nobody: &account{},
	}
}

// SetPools replaces the pools, as Resolve left them. Holdings stay, also those
// whose pool is gone or has become smaller: an address in use is never taken away
// here. One that its pool no longer gives and another pool gives now, say because
// the pool was renamed, is that pool's from then on.
func (a *Allocator) SetPools(pools []Pool) {
	entries := a.entries()
	for _, p := range a.pools {
		*p = pool{Pool: Pool{Name: p.Name}}
	}
	a.order, a.given = nil, nil
	for _, next := range pools {
		p := a.pool(next.Name)
		p.Pool, p.exists = next, true
		if p.MaxPerNamespace > 0 {
			p.byNamespace = map[string]int{}
		}
		a.order = append(a.order, p)
		for _, r := range p.Gives {
			i := index(r.Family())
			if p.slots[i] == nil {
				p.slots[i] = newSlots(p.AvoidBuggy)
			}
			a.given = append(a.given, given{Range: r, pool: p, start: p.slots[i].add(r)})
		}
	}
	slices.SortFunc(a.given, func(x, y given) int { return x.First.Compare(y.First) })
	slices.SortFunc(a.order, inOrderOfUse)
	a.both = slices.SortedFunc(slices.Values(a.order), inOrderForBoth)
	a.reenter(entries)
	maps.DeleteFunc(a.outside, func(at assignment, o outside) bool {
		_, gives := a.giver(at.address)
		return gives && !o.ofService
	})
	maps.DeleteFunc(a.pools, func(_ lb.PoolName, p *pool) bool { return !p.exists && p.held == 0 })
}

// entry is an address that is held or reserved.
type entry struct {
	address netip.Addr
	pool    lb.PoolName
	first   *account
}

// entries returns what is held or reserved, in the order of the addresses.
func (a *Allocator) entries() []entry {
	var list []entry
	add := func(address netip.Addr, c *account) { list = append(list, entry{address, a.from(address).Name, c}) }
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
	slices.SortFunc(list, func(x, y entry) int { return x.address.Compare(y.address) })
	return list
}

// reenter puts them where they belong now.
func (a *Allocator) reenter(entries []entry) {
	clear(a.far)
	clear(a.origin)
	for _, e := range entries {
		p := a.enter(a.locate(e.address), e.address, e.pool, e.first)
		if p.byNamespace != nil {
			for namespace := range a.namespaces(e.address) {
				p.countFor(namespace, 1)
			}
		}
	}
}

// pool returns the pool of a name, one that does not exist if need be.
func (a *Allocator) pool(name lb.PoolName) *pool {
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
