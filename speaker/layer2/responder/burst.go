package responder

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"
)

// bursts are the times after a take-over at which the address is announced: at once; again
// soon, because one frame may be lost; and then spread over seconds, because Linux ignores an
// update within a second of the last one (neigh locktime) and switches may still be learning.
var bursts = [...]time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 1100 * time.Millisecond, 2200 * time.Millisecond, 5 * time.Second}

const (
	// chunk is how many addresses of a burst are announced before the next wait for the rate
	// limiter: as many as BurstRate allows in a millisecond, since timers are no finer.
	chunk = 16
	// together is how many addresses begin a burst at once when all are announced again.
	together = 25
)

// turn is one burst, or one series of probes, of an address. It is over when entry.turn is no
// longer its number.
type turn struct {
	*entry
	number uint64
}

// burst is a series of announcements of addresses on the port only, or on all ports if only is
// nil.
type burst struct {
	start time.Time
	turns []turn
	only  *port
}

// begin prepares a burst, which the caller has to run. The caller holds the lock. A
// burst on all ports ends an earlier one of the same address.
func (r *Responder) begin(entries []*entry, only *port) *burst {
	slices.SortFunc(entries, lastMovedFirst)
	b := &burst{start: time.Now(), only: only}
	for _, e := range entries {
		if only == nil {
			e.turn++
		}
		b.turns = append(b.turns, turn{entry: e, number: e.turn})
	}
	return b
}

func lastMovedFirst(x, y *entry) int {
	return cmp.Or(cmp.Compare(y.moved, x.moved), x.address.Compare(y.address))
}

// run announces all rounds of a burst.
func (r *Responder) run(b *burst) {
	r.announceOnce(b)
	r.follow(b)
}

// follow announces all rounds but the first one.
func (r *Responder) follow(b *burst) {
	for _, at := range bursts[1:] {
		if !r.sleep(at-time.Since(b.start)) || r.announceOnce(b) == 0 {
			return // all of its turns are over
		}
	}
}

// announceOnce announces the addresses of a burst whose turn is not over, and returns their
// number.
func (r *Responder) announceOnce(b *burst) (current int) {
	for some := range slices.Chunk(b.turns, chunk) {
		if r.pace.WaitN(r.ctx, len(some)) != nil {
			return 0
		}
		for _, t := range some {
			if r.announce(t, b.only) {
				current++
			}
		}
	}
	return current
}

// announce announces an address if its turn is not over. It holds the lock while it sends, so
// that an address that was given up is not announced any more when SetOwned has returned: the
// next owner may have announced it already.
func (r *Responder) announce(t turn, only *port) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries[t.address] != t.entry || t.phase != announced {
		return false
	}
	if only == nil {
		if t.turn != t.number {
			return false
		}
		r.announceNow(t.entry)
		return true
	}
	if only.closed.Load() || !only.has(t.entry) {
		return false
	}
	r.announceOn(only, t.address)
	return true
}

// announceNow announces an address on all its ports. The caller holds the lock.
func (r *Responder) announceNow(e *entry) {
	for _, p := range r.portsOf(e) {
		r.announceOn(p, e.address)
	}
}

func (r *Responder) announceOn(p *port, address netip.Addr) {
	if !r.mayAnswer() {
		return
	}
	if err := p.conn.Announce(address); err != nil {
		r.log.V(1).Info("an announcement was not sent", "link", p.Name, "address", address, "why", err.Error())
		return
	}
	r.metrics.Announcements.Inc()
}

// portsOf returns the open ports of an address. The caller holds the lock.
func (r *Responder) portsOf(e *entry) []*port {
	var ports []*port
	for _, at := range e.places {
		if p, ok := r.ports[portKey{link: at.link, v6: e.address.Is6()}]; ok {
			ports = append(ports, p)
		}
	}
	return ports
}

// repeat begins bursts for addresses, at the rate of refreshes.
func (r *Responder) repeat(entries []*entry) {
	for some := range slices.Chunk(r.ordered(entries), together) {
		if r.refresh.WaitN(r.ctx, len(some)) != nil {
			return
		}
		r.mu.Lock()
		b := r.begin(some, nil)
		r.mu.Unlock()
		go r.run(b)
	}
}

// ordered returns the entries that are announced, those that moved last first.
func (r *Responder) ordered(entries []*entry) []*entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*entry
	for _, e := range entries {
		if e.phase == announced && !e.covering() && r.entries[e.address] == e {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, lastMovedFirst)
	return list
}

// keepRefreshing announces all owned addresses at each refresh.
func (r *Responder) keepRefreshing() {
	for r.sleep(r.timing.untilRefresh()) {
		r.mu.Lock()
		var all []*entry
		for _, e := range r.entries {
			all = append(all, e)
		}
		r.mu.Unlock()
		for _, e := range r.ordered(all) {
			if r.refresh.Wait(r.ctx) != nil {
				return
			}
			r.refreshOne(e)
		}
	}
}

func (r *Responder) refreshOne(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries[e.address] == e {
		r.announceNow(e)
	}
}

// sleep waits, and reports whether the responder still runs.
func (r *Responder) sleep(d time.Duration) bool { return wait(r.ctx, d) }

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
