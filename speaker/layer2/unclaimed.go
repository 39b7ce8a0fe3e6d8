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
	// able are the nodes that can be elected, and passed how many of these were and let it wait: what others
	// did that were elected among other nodes, or while this node drained or gave way to a larger group,
	// does not count.
	able   string
	passed int
	// since when the next one has its turn.
	since time.Time
}

// next returns when time alone has another node elected.
func (u unclaimed) next(now time.Time) time.Time {
	if at := u.first.Add(startWithin); at.After(now) {
		return at
	}
	return u.since.Add(actWithin)
}

// noteUnclaimed notes which addresses other nodes were elected for. While this node is elected in their
// place, and asks the segment, it is its turn.
func (e *Engine) noteUnclaimed(v *view, list []ownership.Unclaimed) {
	if v.partitioned {
		clear(e.unclaimed) // the others of its group do not act either
	}
	all := make(map[netip.Addr]unclaimed, len(list))
	for _, u := range list {
		known, is := e.unclaimed[u.Address]
		if !is {
			known = unclaimed{first: v.now}
		}
		if known.able != u.Able {
			known.able, known.passed, known.since = u.Able, 0, v.now
		}
		all[u.Address] = known
	}
	for address := range e.minority.queries {
		if known, is := e.unclaimed[address]; is {
			known.since = v.now
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
		if turns := now.Sub(u.since) / actWithin; turns > 0 {
			u.passed, u.since = u.passed+int(turns), u.since.Add(turns*actWithin)
			e.unclaimed[address] = u
		}
		passed[address] = u.passed
		if now.Sub(u.first) >= startWithin {
			overdue[address] = true
		}
	}
	return passed, overdue
}
