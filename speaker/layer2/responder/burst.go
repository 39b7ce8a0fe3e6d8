package responder

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"
)

// burstTimes are the times, counted from a take-over, at which the address is announced. The first
// announcements follow each other quickly, because a frame may be lost. The others are spread over seconds,
// because Linux ignores an update within a second of the last update (sysctl neigh locktime), and switches
// may still be learning.
var burstTimes = [...]time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 1100 * time.Millisecond, 2200 * time.Millisecond, 5 * time.Second}

const (
	// burstChunkSize is how many addresses of a burst are announced before the next wait for the rate limiter.
	// BurstRate allows this number in a millisecond, and timers are not more precise than that.
	burstChunkSize = 16
	// refreshGroupSize is how many addresses begin a burst at once when all addresses are announced again.
	refreshGroupSize = 25
)

// entryTurn is one burst, or one series of probes, of an address. The turn is over when addressEntry.turn is
// no longer equal to number.
type entryTurn struct {
	*addressEntry
	number uint64
}

// burst is a series of announcements of addresses. They are sent on one port, the one in the struct field
// only, or on all ports if that field is nil.
type burst struct {
	start time.Time
	turns []entryTurn
	only  *port
}

// beginBurst prepares a burst, which the caller has to run. The caller holds the lock. A burst on all ports
// ends an earlier burst of the same address.
func (r *Responder) beginBurst(entries []*addressEntry, only *port) *burst {
	slices.SortFunc(entries, compareMoved)
	b := &burst{start: time.Now(), only: only}
	for _, e := range entries {
		if only == nil {
			e.turn++
		}
		b.turns = append(b.turns, entryTurn{addressEntry: e, number: e.turn})
	}
	return b
}

func compareMoved(x, y *addressEntry) int {
	return cmp.Or(cmp.Compare(y.moved, x.moved), x.address.Compare(y.address))
}

// runBurst announces all rounds of a burst.
func (r *Responder) runBurst(b *burst) {
	r.announceOnce(b)
	r.runLaterRounds(b)
}

// runLaterRounds announces all rounds but the first one.
func (r *Responder) runLaterRounds(b *burst) {
	for _, at := range burstTimes[1:] {
		if !r.sleep(at-time.Since(b.start)) || r.announceOnce(b) == 0 {
			return // all of its turns are over
		}
	}
}

// announceOnce announces the addresses of a burst whose turn is not over, and returns their
// number.
func (r *Responder) announceOnce(b *burst) (current int) {
	for some := range slices.Chunk(b.turns, burstChunkSize) {
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

// announce announces an address if its turn is not over. It holds the lock while it sends: after SetServed
// has returned, an address that was given up must not be announced any more, since the next owner may have
// announced it already.
func (r *Responder) announce(t entryTurn, only *port) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries[t.address] != t.addressEntry || t.phase != phaseAnnounced {
		return false
	}
	if only == nil {
		if t.turn != t.number {
			return false
		}
		r.announceNow(t.addressEntry)
		return true
	}
	if only.closed.Load() || !only.servesEntry(t.addressEntry) {
		return false
	}
	r.announceOn(only, t.address)
	return true
}

// announceNow announces an address on all its ports. The caller holds the lock.
func (r *Responder) announceNow(e *addressEntry) {
	for _, p := range r.portsOf(e) {
		r.announceOn(p, e.address)
	}
}

func (r *Responder) announceOn(p *port, address netip.Addr) {
	if !r.mayAnswer() {
		return
	}
	if err := p.conn.Announce(address); err != nil {
		r.log.V(1).Info("an announcement was not sent", "link", p.Name, "address", address, "error", err.Error())
		return
	}
	r.metrics.Announcements.Inc()
}

// portsOf returns the open ports on which an address is served. The caller holds the lock.
func (r *Responder) portsOf(e *addressEntry) []*port {
	var ports []*port
	for _, at := range e.places {
		if p, ok := r.ports[portKey{link: at.link, v6: e.address.Is6()}]; ok {
			ports = append(ports, p)
		}
	}
	return ports
}

// announceAgain begins bursts for addresses, at the rate Timing.RefreshRate.
func (r *Responder) announceAgain(entries []*addressEntry) {
	for some := range slices.Chunk(r.sortedAnnounced(entries), refreshGroupSize) {
		if r.refresh.WaitN(r.ctx, len(some)) != nil {
			return
		}
		r.mu.Lock()
		b := r.beginBurst(some, nil)
		r.mu.Unlock()
		go r.runBurst(b)
	}
}

// sortedAnnounced returns those of the entries that are announced. The addresses that this node took over
// last come first.
func (r *Responder) sortedAnnounced(entries []*addressEntry) []*addressEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*addressEntry
	for _, e := range entries {
		if e.phase == phaseAnnounced && !e.isCovering() && r.entries[e.address] == e {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, compareMoved)
	return list
}

// keepRefreshing announces all owned addresses at each refresh.
func (r *Responder) keepRefreshing() {
	for r.sleep(r.timing.refreshWait()) {
		r.mu.Lock()
		var all []*addressEntry
		for _, e := range r.entries {
			all = append(all, e)
		}
		r.mu.Unlock()
		for _, e := range r.sortedAnnounced(all) {
			if r.refresh.Wait(r.ctx) != nil {
				return
			}
			r.refreshEntry(e)
		}
	}
}

func (r *Responder) refreshEntry(e *addressEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries[e.address] == e {
		r.announceNow(e)
	}
}

// sleep waits, and reports whether the responder still runs.
func (r *Responder) sleep(d time.Duration) bool { return sleepContext(r.ctx, d) }

func sleepContext(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
