package layer2

import (
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/ownership"
)

const (
	// actWithin is how long an elected node has to claim an address before the next
	// one in order may.
	actWithin = 2 * time.Second
	// startWithin is how long an address waits for speakers that start, which nobody ever had:
	// those that start together share it. After that it is one of those that run.
	startWithin = 600 * time.Millisecond
)

// unclaimed is what is known of a wanted address that another node was elected for, and that
// nobody has claimed.
type unclaimed struct {
	// first is when that began.
	first time.Time
	// able are the nodes that can be elected, and since when they have been the same: what others
	// did that were elected among other nodes, or while this node drained, does not count.
	able  string
	since time.Time
}

// next returns when time alone has another node elected.
func (u unclaimed) next(now time.Time) time.Time {
	if at := u.first.Add(startWithin); at.After(now) {
		return at
	}
	return u.since.Add((now.Sub(u.since)/actWithin + 1) * actWithin)
}

// noteUnclaimed notes which addresses other nodes were elected for. What this node was elected for
// in their place and asks the segment about has no owner yet either.
func (e *Engine) noteUnclaimed(now time.Time, list []ownership.Unclaimed) {
	all := make(map[netip.Addr]unclaimed, len(list))
	for _, u := range list {
		known, is := e.unclaimed[u.Address]
		if !is {
			known = unclaimed{first: now}
		}
		if known.able != u.Able {
			known.able, known.since = u.Able, now
		}
		all[u.Address] = known
	}
	for address := range e.minority.queries {
		if known, is := e.unclaimed[address]; is {
			all[address] = known
		}
	}
	e.unclaimed = all
}

// passed counts how many elected nodes have let an address wait, and returns which addresses
// have waited for speakers that start for long enough.
func (e *Engine) passed(now time.Time) (passed map[netip.Addr]int, overdue map[netip.Addr]bool) {
	passed, overdue = map[netip.Addr]int{}, map[netip.Addr]bool{}
	for address, u := range e.unclaimed {
		if turns := int(now.Sub(u.since) / actWithin); turns > 0 {
			passed[address] = turns
		}
		if now.Sub(u.first) >= startWithin {
			overdue[address] = true
		}
	}
	return passed, overdue
}
