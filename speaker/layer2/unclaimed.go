package layer2

import (
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
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
	// elected has its turn since a time.
	elected lb.NodeName
	since   time.Time
	// passed were elected, and let the address wait.
	passed []lb.NodeName
}

// next returns when time alone has another node elected.
func (u unclaimed) next(now time.Time) time.Time {
	if at := u.first.Add(startWithin); at.After(now) {
		return at
	}
	return u.since.Add(actWithin)
}

// noteUnclaimed notes which addresses other nodes were elected for. While this node is elected in their
// place, and asks the segment, it is its turn. What others do while this one takes no address shows nothing:
// it may be drained alone, and those of a group that gives way to a larger one do not act either.
func (e *Engine) noteUnclaimed(v *view, list []ownership.Unclaimed) {
	if v.partitioned || v.phase != ownership.Active {
		clear(e.unclaimed)
	}
	all := make(map[netip.Addr]unclaimed, len(list))
	for _, u := range list {
		known, is := e.unclaimed[u.Address]
		if !is {
			known = unclaimed{first: v.now}
		}
		if known.elected != u.Elected {
			known.elected, known.since = u.Elected, v.now
		}
		all[u.Address] = known
	}
	for address := range e.minority.queries {
		if known, is := e.unclaimed[address]; is {
			known.elected, known.since = e.Self, v.now
			all[address] = known
		}
	}
	e.unclaimed = all
}

// passed returns which elected nodes have let an address wait, and which addresses
// have waited for speakers that start for long enough. When all nodes have had their turn, the first is asked
// again.
func (e *Engine) passed(now time.Time) (passed map[netip.Addr][]lb.NodeName, overdue map[netip.Addr]bool) {
	passed, overdue = map[netip.Addr][]lb.NodeName{}, map[netip.Addr]bool{}
	for address, u := range e.unclaimed {
		if now.Sub(u.since) >= actWithin {
			if u.since = now; slices.Contains(u.passed, u.elected) {
				u.passed = nil
			}
			u.passed = append(slices.Clone(u.passed), u.elected)
			e.unclaimed[address] = u
		}
		passed[address] = u.passed
		overdue[address] = now.Sub(u.first) >= startWithin
	}
	return passed, overdue
}
