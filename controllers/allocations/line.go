package allocations

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// reasonPartly is why a Service waits that has an address and prefers another one
// besides.
const reasonPartly ipam.Reason = "PartlyAllocated"

// maxInLine is how many Services of one namespace are served in line. Each address that
// becomes free costs a look at all that are, so that one namespace must not fill it.
// Those beyond it wait apart, and join when one of their namespace leaves.
const maxInLine = 256

// line is the Services that wait, in the order in which they came.
type line struct {
	at   map[lb.ServiceKey]*waiter
	list []*waiter // with those that left, until it is swept
	of   map[string]*share
	// hopeless ask for something that means nothing: they stand in no line.
	hopeless map[lb.ServiceKey]ipam.Request
}

// share is what a namespace has of the line.
type share struct {
	listed int       // how many of it stand in the list
	apart  []*waiter // the others, with those that left, until it is swept
	waits  int       // how many of apart have not left
}

type waiter struct {
	req      ipam.Request
	reason   ipam.Reason
	attempts int
	left     bool
	// listed says that it stands in the list.
	listed bool
	// served says that it holds all that it asks for, and need only come for it.
	served bool
	// quota says that a pool would have given it an address but for the quota of its
	// namespace.
	quota bool
}

func newLine() line {
	return line{at: map[lb.ServiceKey]*waiter{}, of: map[string]*share{}, hopeless: map[lb.ServiceKey]ipam.Request{}}
}

func (q *line) join(service lb.ServiceKey) *waiter {
	w, ok := q.at[service]
	if !ok {
		w = &waiter{}
		q.at[service] = w
		s := q.of[service.Namespace]
		if s == nil {
			s = &share{}
			q.of[service.Namespace] = s
		}
		s.apart, s.waits = append(s.apart, w), s.waits+1
		q.fill(s)
	}
	return w
}

func (q *line) leave(service lb.ServiceKey) {
	delete(q.hopeless, service)
	w, ok := q.at[service]
	if !ok {
		return
	}
	w.left = true
	delete(q.at, service)
	s := q.of[service.Namespace]
	if w.listed {
		s.listed--
		q.fill(s)
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

// fill lets those of a namespace join that wait apart, as long as there is room.
func (q *line) fill(s *share) {
	for len(s.apart) > 0 && s.listed < maxInLine {
		w := s.apart[0]
		s.apart = s.apart[1:]
		if !w.left {
			w.listed = true
			q.list = append(q.list, w)
			s.listed, s.waits = s.listed+1, s.waits-1
		}
	}
}

// wait puts a Service into the line, or leaves it where it stands there, and
// returns how often in a row it was refused.
func (l *Ledger) wait(req ipam.Request, reason ipam.Reason, why *ipam.Refusal) (attempts int) {
	delete(l.line.hopeless, req.Service)
	w := l.line.join(req.Service)
	w.req, w.reason, w.served = req, reason, false
	w.quota = why.Reason == ipam.ReasonQuotaExceeded ||
		slices.ContainsFunc(why.Verdicts, func(v ipam.Verdict) bool { return v.Reason == ipam.ReasonQuotaExceeded })
	w.attempts++
	return w.attempts
}

// Forget drops a Service that asks for nothing any more. What it was given in line
// and has not come for it still holds: release that.
func (l *Ledger) Forget(service lb.ServiceKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line.leave(service)
}

// Refuse says what becomes of a Service that asks for something that means nothing:
// it keeps what it may, and waits for its owner alone.
func (l *Ledger) Refuse(req ipam.Request, refusal *ipam.Refusal) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line.leave(req.Service)
	l.line.hopeless[req.Service] = req
	l.adoptShown(req)
	d := l.alloc.Stand(req, refusal)
	l.noteShown(req.Service, req.Shows)
	return Outcome{Decision: d}
}

// serve gives a Service in line what there is for it now, before it is woken: when
// several are woken they come at once, and who is quick would be first. It reports
// whether the Service gains anything.
func (l *Ledger) serve(w *waiter) (gains bool) {
	l.adoptShown(w.req)
	before, kept := l.held(w.req.Service)
	d := l.alloc.Assign(w.req)
	for _, h := range d.Keep {
		gains = gains || !slices.Contains(before, h)
		if slices.Contains(kept, h) {
			l.alloc.Pledge(h.Address, h.Service) // to take it up is for its own decision
		}
	}
	w.served = d.Refusal == nil && d.Missing == nil
	return gains || w.served
}

// held returns all that a Service holds, and what of it is only kept for it.
func (l *Ledger) held(service lb.ServiceKey) (all, kept []ipam.Holding) {
	all = l.alloc.HeldBy(service)
	for _, h := range all {
		if l.alloc.Pledged(h) {
			kept = append(kept, h)
		}
	}
	return all, kept
}

// serveLine serves everybody, in line. What one shows is its own before another is
// given anything.
func (l *Ledger) serveLine() {
	for _, w := range l.line.list {
		if !w.left {
			l.adoptShown(w.req)
		}
	}
	for service, req := range l.line.hopeless {
		if l.adoptShown(req) > 0 {
			l.wake(service)
		}
	}
	for _, w := range l.line.list {
		if !w.left {
			l.serve(w)
			l.wake(w.req.Service)
		}
	}
	for service, w := range l.line.at {
		if !w.listed {
			l.wake(service)
		}
	}
}

// freed serves the first in line that could use an address, or the first ones if
// they share it; and those that their namespace's quota kept from another one.
func (l *Ledger) freed(address netip.Addr, by lb.ServiceKey) {
	taken := l.takenAlone(address)
	for _, w := range l.line.list {
		if w.left || w.served {
			continue
		}
		quota := w.quota && w.req.Service.Namespace == by.Namespace
		if !quota && (taken || !l.alloc.Could(w.req, address)) {
			continue
		}
		if l.serve(w) {
			l.wake(w.req.Service)
			taken = l.takenAlone(address)
		}
	}
}

// takenAlone says whether an address is reserved, or held by a Service that shares
// it with nobody.
func (l *Ledger) takenAlone(address netip.Addr) bool {
	holders, taken := l.alloc.Holders(address)
	return taken && (len(holders) == 0 || l.alloc.Terms(address, holders[0].Service).Key == "")
}

// Pending counts the Services that wait, by the reason.
func (l *Ledger) Pending() map[ipam.Reason]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := map[ipam.Reason]int{}
	if n := len(l.line.hopeless); n > 0 {
		count[ipam.ReasonInvalidRequest] = n
	}
	for _, w := range l.line.at {
		count[w.reason]++
	}
	return count
}
