// Package ledger is the controller's view, in memory, of who has which
// address: an ipam.Allocator that many reconciles can use at once, and the
// Services that wait for something to change. Nothing in it waits for the API
// server: the lock is held for a decision, never across a request.
package ledger

import (
	"net/netip"
	"reflect"
	"sync"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// Ledger is safe for concurrent use. Make it with New.
type Ledger struct {
	mu    sync.Mutex
	alloc *ipam.Allocator
	pools []ipam.Pool
	// confirmed are the addresses whose claim this process has written, or read
	// past the cache, and not deleted since.
	confirmed map[netip.Addr]struct{}
	waiting   map[lb.ServiceKey]struct{}
	wake      func(lb.ServiceKey)
}

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{
		alloc: ipam.New(), confirmed: map[netip.Addr]struct{}{},
		waiting: map[lb.ServiceKey]struct{}{}, wake: func(lb.ServiceKey) {},
	}
}

// Load begins anew with what was read from the API server itself: what came out
// of a cache before may be older.
func (l *Ledger) Load(pools []ipam.Pool, claimed []ipam.Holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alloc, l.pools = ipam.New(), pools
	l.alloc.SetPools(pools)
	clear(l.confirmed)
	for _, h := range claimed {
		l.alloc.Hold(h)
		l.confirmed[h.Address] = struct{}{}
	}
}

// OnChange names who is told which Service to look at again: one that was
// refused, when pools changed or an address became free. It must not block.
func (l *Ledger) OnChange(wake func(lb.ServiceKey)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake = wake
}

// SetPools replaces the pools, if anything changed, and wakes who waits and
// whose address is in another pool now.
func (l *Ledger) SetPools(pools []ipam.Pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reflect.DeepEqual(l.pools, pools) {
		return
	}
	l.pools = pools
	for _, service := range l.alloc.SetPools(pools) {
		l.wake(service)
	}
	l.wakeAll()
}

// Observe records a claim that was seen. Somebody else's claim takes nothing
// away from a Service, which looks at it itself; a reservation gives way to the
// Service that the claim names.
func (l *Ledger) Observe(h ipam.Holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alloc.Hold(h) {
		return
	}
	if was, _ := l.alloc.Holder(h.Address); was.Service == (lb.ServiceKey{}) {
		l.alloc.Release(h.Address, was.Service)
		l.alloc.Hold(h)
	}
}

// Confirm says that the claim of an address is in the cluster.
func (l *Ledger) Confirm(address netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed[address] = struct{}{}
}

// Confirmed says whether the claim of an address is known to be in the cluster,
// so that the cache can be believed about it.
func (l *Ledger) Confirmed(address netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.confirmed[address]
	return ok
}

// Holder returns who holds an address.
func (l *Ledger) Holder(address netip.Addr) (ipam.Holding, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.Holder(address)
}

// Adopt records that a Service has an address, if a pool has that address and
// nobody else holds it.
func (l *Ledger) Adopt(address netip.Addr, service lb.ServiceKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	pool, ok := l.alloc.PoolOf(address)
	return ok && l.alloc.Hold(ipam.Holding{Address: address, Pool: pool, Service: service})
}

// Replace corrects the ledger when the cluster knows better who holds an
// address.
func (l *Ledger) Replace(mistaken, actual ipam.Holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alloc.Release(mistaken.Address, mistaken.Service)
	l.alloc.Hold(actual)
	delete(l.confirmed, mistaken.Address)
}

// Assign meets a request, see ipam.Allocator.Assign, and returns besides what
// the Service held before. A Service that is refused is woken when pools
// change or an address becomes free.
func (l *Ledger) Assign(req ipam.Request) (now ipam.Holding, before []ipam.Holding, refusal *ipam.Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = l.alloc.HeldBy(req.Service)
	now, refusal = l.alloc.Assign(req)
	if refusal != nil {
		l.waiting[req.Service] = struct{}{}
	} else {
		delete(l.waiting, req.Service)
	}
	return now, before, refusal
}

// HeldBy returns what a Service holds.
func (l *Ledger) HeldBy(service lb.ServiceKey) []ipam.Holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.HeldBy(service)
}

// Release frees an address and wakes who waits for one.
func (l *Ledger) Release(address netip.Addr, service lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alloc.Release(address, service)
	delete(l.confirmed, address)
	l.wakeAll()
}

// Forget drops a Service that is gone from those that wait.
func (l *Ledger) Forget(service lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, service)
}

// Usage counts the addresses of every pool.
func (l *Ledger) Usage() map[lb.PoolName]map[lb.Family]ipam.Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.Usage()
}

func (l *Ledger) wakeAll() {
	for service := range l.waiting {
		l.wake(service)
	}
}
