package allocations

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// reasonPartlyAllocated is the reason with which a Service waits if it has an address of one family, and
// requests one of the other family as well.
const reasonPartlyAllocated ipam.Reason = "PartlyAllocated"

// maxListedPerNamespace is how many Services of one namespace waitQueue.list may have. It is limited, since
// each address that becomes free costs a pass over the whole list. Further Services wait in
// namespaceShare.apart, and move to the list when a Service of their namespace leaves it.
const maxListedPerNamespace = 256

// waitQueue has the Services that wait for addresses, in the order in which they joined.
type waitQueue struct {
	at   map[lb.ServiceKey]*waiter
	list []*waiter                  // also waiters that have left, until leave removes many of them at once
	of   map[string]*namespaceShare // by namespace
	// invalid are requests that cannot be parsed; they are not queued.
	invalid map[lb.ServiceKey]ipam.Request
}

// namespaceShare has the waiters of one namespace.
type namespaceShare struct {
	listed int       // how many of the waiters are in waitQueue.list
	apart  []*waiter // the other waiters; also those that have left, until leave removes many of them
	waits  int       // how many waiters in apart have not left
}

type waiter struct {
	req      ipam.Request
	reason   ipam.Reason
	attempts int
	left     bool
	// listed means that the waiter is in waitQueue.list.
	listed bool
	// served means that the view has all addresses that the Service requests; the next reconcile only
	// has to write them to the Service.
	served bool
	// quota means that a pool gives the Service no address because of the quota of its namespace.
	quota bool
}

func newWaitQueue() waitQueue {
	return waitQueue{at: map[lb.ServiceKey]*waiter{}, of: map[string]*namespaceShare{}, invalid: map[lb.ServiceKey]ipam.Request{}}
}

func (q *waitQueue) join(service lb.ServiceKey) *waiter {
	w, ok := q.at[service]
	if !ok {
		w = &waiter{}
		q.at[service] = w
		s := q.of[service.Namespace]
		if s == nil {
			s = &namespaceShare{}
			q.of[service.Namespace] = s
		}
		s.apart, s.waits = append(s.apart, w), s.waits+1
		q.fillList(s)
	}
	return w
}

func (q *waitQueue) leave(service lb.ServiceKey) {
	delete(q.invalid, service)
	w, ok := q.at[service]
	if !ok {
		return
	}
	w.left = true
	delete(q.at, service)
	s := q.of[service.Namespace]
	if w.listed {
		s.listed--
		q.fillList(s)
	} else if s.waits--; len(s.apart) > 2*s.waits+16 {
		s.apart = slices.DeleteFunc(s.apart, func(w *waiter) bool { return w.left })
	}
	if s.listed+s.waits == 0 {
		delete(q.of, service.Namespace)
	}
	if len(q.list) > 2*len(q.at)+16 {
		q.list = slices.DeleteFunc(q.list, func(w *waiter) bool { return w.left })
	}
}

// fillList moves waiters of a namespace from apart to the list, up to maxListedPerNamespace.
func (q *waitQueue) fillList(s *namespaceShare) {
	for len(s.apart) > 0 && s.listed < maxListedPerNamespace {
		w := s.apart[0]
		s.apart = s.apart[1:]
		if !w.left {
			w.listed = true
			q.list = append(q.list, w)
			s.listed, s.waits = s.listed+1, s.waits-1
		}
	}
}

// addWaiter adds a Service to the queue, or updates its request there, and returns the number of consecutive
// decisions that did not meet the request in full.
func (l *View) addWaiter(req ipam.Request, reason ipam.Reason, why *ipam.Refusal) (attempts int) {
	delete(l.queue.invalid, req.Service)
	w := l.queue.join(req.Service)
	w.req, w.reason, w.served = req, reason, false
	w.quota = why.Reason == ipam.ReasonQuotaExceeded ||
		slices.ContainsFunc(why.Pools, func(v ipam.PoolResult) bool { return v.Reason == ipam.ReasonQuotaExceeded })
	w.attempts++
	return w.attempts
}

// Forget removes a Service from the queue when the Service no longer requests addresses. The Service still
// holds the addresses that it was given while it waited: the caller releases them.
func (l *View) Forget(service lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.leave(service)
}

// RefuseInvalid returns the outcome of an invalid request: the Service gets no new address, and keeps those
// that its terms and the pools allow. The Service does not wait in the queue, since only an edit of the
// Service can make its request valid.
func (l *View) RefuseInvalid(req ipam.Request, refusal *ipam.Refusal) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.leave(req.Service)
	l.queue.invalid[req.Service] = req
	l.alloc.AdoptShown(req)
	d := l.alloc.DecideInvalid(req, refusal)
	l.noteShown(req.Service, req.Shows)
	return Outcome{Decision: d}
}

// serveWaiter gives a waiting Service the addresses that it can have now, and reports whether the caller must
// wake the Service. Services that are woken are reconciled at the same time: if their reconciles gave the
// addresses, they would not do so in the order of the queue.
func (l *View) serveWaiter(w *waiter) (gains bool) {
	l.alloc.AdoptShown(w.req)
	before, reserved := l.holdingsOf(w.req.Service)
	d := l.alloc.Assign(w.req)
	for _, h := range d.Keep {
		gains = gains || !slices.Contains(before, h)
		if slices.Contains(reserved, h) {
			l.alloc.ReserveFor(h.Address, h.Service) // until the reconcile of the Service calls TakeUp
		}
	}
	w.served = d.Refusal == nil && d.Missing == nil
	return gains || w.served
}

// holdingsOf returns all addresses that a Service holds, and those of them that are only reserved for it.
func (l *View) holdingsOf(service lb.ServiceKey) (all, reserved []ipam.Holding) {
	all = l.alloc.HeldBy(service)
	for _, h := range all {
		if l.alloc.IsReservedFor(h) {
			reserved = append(reserved, h)
		}
	}
	return all, reserved
}

// serveQueue gives addresses to the waiting Services in the list, in order, and wakes all waiting Services.
// Before that, every waiting Service adopts the addresses in its own status, so that no other Service gets
// them.
func (l *View) serveQueue() {
	for _, w := range l.queue.list {
		if !w.left {
			l.alloc.AdoptShown(w.req)
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(l.queue.of)) {
		for _, w := range l.queue.of[namespace].apart {
			if !w.left {
				l.alloc.AdoptShown(w.req)
			}
		}
	}
	for service, req := range l.queue.invalid {
		if l.alloc.AdoptShown(req) > 0 {
			l.wake(service)
		}
	}
	for _, w := range l.queue.list {
		if !w.left {
			l.serveWaiter(w)
			l.wake(w.req.Service)
		}
	}
	for service, w := range l.queue.at {
		if !w.listed {
			l.wake(service)
		}
	}
}

// serveFreed gives a freed address to the first waiting Service that can use it, or to several if they can
// share it. The parameter by is the Service that freed the address; its namespace now uses less of its quota.
// serveFreed therefore also serves the Services of this namespace that wait because of the quota.
func (l *View) serveFreed(address netip.Addr, by lb.ServiceKey) {
	taken := l.isUnavailable(address)
	for _, w := range l.queue.list {
		if w.left || w.served {
			continue
		}
		quota := w.quota && w.req.Service.Namespace == by.Namespace
		if !quota && (taken || !l.alloc.CanGet(w.req, address)) {
			continue
		}
		if l.serveWaiter(w) {
			l.wake(w.req.Service)
			taken = l.isUnavailable(address)
		}
	}
}

// isUnavailable reports whether an address is reserved, or held by a Service that does not share it.
func (l *View) isUnavailable(address netip.Addr) bool {
	holders, taken := l.alloc.Holders(address)
	return taken && (len(holders) == 0 || l.alloc.SharingTerms(address, holders[0].Service).Key == "")
}

// CountWaiting counts the Services that wait for addresses, by the reason why they wait.
func (l *View) CountWaiting() map[ipam.Reason]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := map[ipam.Reason]int{}
	if n := len(l.queue.invalid); n > 0 {
		count[ipam.ReasonInvalidRequest] = n
	}
	for _, w := range l.queue.at {
		count[w.reason]++
	}
	return count
}
