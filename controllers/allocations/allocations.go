// Package allocations has the controller's view, in memory, of the holders of all addresses: an
// ipam.Allocator that many reconciles can use at once, and the queue of Services that wait for an
// address.
package allocations

import (
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// View is safe for concurrent use: one lock guards all of it, and is never held during a request to the
// API server. Make it with New.
type View struct {
	mu    sync.Mutex
	alloc *ipam.Allocator
	pools []ipam.Pool
	// confirmed has the assignments whose claim this process wrote, or read from the API server. An
	// assignment leaves the map when the Service is removed from the claim, or the claim is deleted.
	confirmed map[assignment]struct{}
	// refused has, for each Service, the addresses whose claims name the Service although it cannot have
	// them.
	refused map[lb.ServiceKey][]netip.Addr
	// leaving has the addresses that are, or may be, in the status of a Service that does not hold them.
	leaving map[assignment]struct{}
	queue   waitQueue
	wake    func(lb.ServiceKey)
}

// assignment is an address and a Service that has it.
type assignment struct {
	address netip.Addr
	service lb.ServiceKey
}

// New returns an empty view.
func New() *View {
	return &View{
		alloc: ipam.New(), confirmed: map[assignment]struct{}{}, refused: map[lb.ServiceKey][]netip.Addr{}, leaving: map[assignment]struct{}{},
		queue: newWaitQueue(), wake: func(lb.ServiceKey) {},
	}
}

// Load replaces the content of the view with pools and claims that were read from the API server. The content
// before is from a cache, and may be older.
func (l *View) Load(pools []ipam.Pool, claims []ClaimContent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alloc, l.pools = ipam.New(), pools
	l.alloc.SetPools(pools)
	clear(l.confirmed)
	clear(l.refused)
	clear(l.leaving)
	for _, c := range claims {
		l.recordHolders(c)
		for _, h := range c.Holders {
			l.confirmed[assignment{c.Address, h.Service}] = struct{}{}
		}
	}
}

// OnChange sets the function wake, with which the view requests another reconcile of a Service. The function
// must not block, since the view calls it while it holds its lock.
func (l *View) OnChange(wake func(lb.ServiceKey)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake = wake
}

// SetPools replaces the pools, and reports whether they changed. If they changed, it wakes all Services that
// wait for an address, and all that hold one, since the address may be outside its pool now.
func (l *View) SetPools(pools []ipam.Pool) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reflect.DeepEqual(l.pools, pools) {
		return false
	}
	l.pools = pools
	l.alloc.SetPools(pools)
	l.serveQueue()
	for _, service := range slices.SortedFunc(l.alloc.HoldingServices(), lb.ServiceKey.Compare) {
		l.wake(service)
	}
	return true
}

// Confirm records that the claim of an address is in the cluster and names the
// Service.
func (l *View) Confirm(address netip.Addr, service lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed[assignment{address, service}] = struct{}{}
}

// GiveUp records that this process is about to remove the Service from the claim of an address. Otherwise
// RecordClaim would take this change for one of another writer.
func (l *View) GiveUp(address netip.Addr, service lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.confirmed, assignment{address, service})
}

// IsConfirmed reports whether this process wrote the claim of an address for the Service, or read it from the
// API server. It returns false again after the Service was removed from the claim, or the claim was deleted.
func (l *View) IsConfirmed(address netip.Addr, service lb.ServiceKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.confirmed[assignment{address, service}]
	return ok
}

// IsInUse reports whether a Service holds an address with a confirmed claim.
func (l *View) IsInUse(address netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	holders, _ := l.alloc.Holders(address)
	return slices.ContainsFunc(holders, func(h ipam.Holding) bool {
		_, confirmed := l.confirmed[assignment{address, h.Service}]
		return confirmed
	})
}

// Holders returns the Services that hold an address, and whether it is taken: held or reserved.
func (l *View) Holders(address netip.Addr) (holders []ipam.Holding, taken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.Holders(address)
}

// PoolOf returns the name of the pool that gives an address. The address may be free or in use.
func (l *View) PoolOf(address netip.Addr) (lb.PoolName, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.PoolOf(address)
}

// HeldBy returns the addresses that a Service uses, and those that are only reserved for it.
func (l *View) HeldBy(service lb.ServiceKey) (used, reserved []ipam.Holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.alloc.HeldBy(service) {
		if l.alloc.IsReservedFor(h) {
			reserved = append(reserved, h)
		} else {
			used = append(used, h)
		}
	}
	return used, reserved
}

// AdoptShown records that a Service holds addresses that are in its status, and returns how many are new; see
// ipam.Allocator.AdoptShown.
func (l *View) AdoptShown(req ipam.Request) (adopted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.AdoptShown(req)
}

// ServicesWithReservations returns the Services of a namespace that hold addresses which are only reserved
// for them.
func (l *View) ServicesWithReservations(namespace string) (services []lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for service := range l.alloc.HoldingServices() {
		if service.Namespace != namespace {
			continue
		}
		if _, reserved := l.holdingsOf(service); len(reserved) > 0 {
			services = append(services, service)
		}
	}
	return services
}

// Outcome is a decision of the allocator, with additional facts about it.
type Outcome struct {
	ipam.Decision
	// PassedPools has the pools that were tried before the pool of a new address, and why each of them gave
	// no address.
	PassedPools []ipam.PoolResult
	// TakenUp has the addresses of Decision.Keep that are reserved for the Service and whose claims already
	// name it. They stay reserved until the status of the Service has them; see View.TakeUp.
	TakenUp []netip.Addr
	// Attempts is the number of consecutive decisions that did not meet the request in full.
	Attempts int
}

// Assign gives a Service what it requests; see ipam.Allocator.Assign. If the request is refused, or met for
// only one of two families, the Service joins the queue. When the pools change, or an address that the
// Service can use becomes free, the view gives it the address and wakes it.
func (l *View) Assign(req ipam.Request) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alloc.AdoptShown(req)
	before, reserved := l.holdingsOf(req.Service)
	changed := slices.ContainsFunc(before, func(h ipam.Holding) bool {
		return !reflect.DeepEqual(l.alloc.SharingTerms(h.Address, h.Service), req.Terms)
	})
	o := Outcome{Decision: l.alloc.Assign(req)}
	for _, h := range o.Keep {
		if slices.Contains(reserved, h) {
			o.TakenUp = append(o.TakenUp, h.Address)
			l.alloc.ReserveFor(h.Address, h.Service) // until the status has the address, see TakenUp
		}
		if !slices.Contains(before, h) {
			o.PassedPools = append(o.PassedPools, l.passedPools(req, h)...)
		}
	}
	switch {
	case o.Refusal != nil:
		o.Attempts = l.addWaiter(req, o.Refusal.Reason, o.Refusal)
	case o.Missing != nil:
		o.Attempts = l.addWaiter(req, reasonPartlyAllocated, o.Missing)
	default:
		l.queue.leave(req.Service)
	}
	l.noteShown(req.Service, req.Shows)
	for _, h := range before {
		if changed {
			l.serveFreed(h.Address, lb.ServiceKey{}) // with its new terms, other Services may be able to share the address
		}
	}
	return o
}

// passedPools returns the pools that were tried before the pool that gave an address, and why each of them
// gave none. No other pool was tried if the Service requests the address or the pool, or had the address
// before lbstack was removed (req.Kept).
func (l *View) passedPools(req ipam.Request, given ipam.Holding) (passedPools []ipam.PoolResult) {
	if len(req.Addresses) > 0 || req.Pool != "" || slices.Contains(req.Kept, given.Address) {
		return nil
	}
	for _, v := range l.alloc.Explain(req, lb.FamilyOf(given.Address)) {
		if v.Pool == given.Pool {
			break
		}
		if v.Reason != "" {
			passedPools = append(passedPools, v)
		}
	}
	return passedPools
}

// Release frees an address of a Service, and gives it to Services that wait for it.
func (l *View) Release(address netip.Addr, service lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alloc.Release(address, service)
	l.forgetClaim(address, service)
	l.serveFreed(address, service)
}

// TakeUp records that the status of a Service has an address that was reserved for it. It is called after the
// status is written. If it were called earlier and the write failed, the next reconcile would set the state
// of the claim to InUse. After a restart, the controller could then not distinguish the new address of the
// Service from the one that the Service is about to lose.
func (l *View) TakeUp(address netip.Addr, service lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alloc.MarkInUse(address, service)
}

// Reserve records that a Service has released an address, which stays reserved for it.
func (l *View) Reserve(address netip.Addr, service lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alloc.ReserveFor(address, service)
	l.forgetClaim(address, service)
}

// forgetClaim removes what the view has recorded about a Service in the claim of an address.
func (l *View) forgetClaim(address netip.Addr, service lb.ServiceKey) {
	delete(l.confirmed, assignment{address, service})
	l.clearRefusal(address, service)
}

// clearRefusal removes the record that a claim names a Service which cannot have the address.
func (l *View) clearRefusal(address netip.Addr, service lb.ServiceKey) {
	list := slices.DeleteFunc(l.refused[service], func(a netip.Addr) bool { return a == address })
	if len(list) == 0 {
		delete(l.refused, service)
	} else {
		l.refused[service] = list
	}
}

// PoolStates returns the state of every pool.
func (l *View) PoolStates() map[lb.PoolName]ipam.PoolState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.PoolStates()
}

// SharingTerms returns the terms on which a Service shares an address.
func (l *View) SharingTerms(address netip.Addr, service lb.ServiceKey) lb.Sharing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alloc.SharingTerms(address, service)
}
