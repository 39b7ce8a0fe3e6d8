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
	// startWithin is how long speakers that start are elected for an address that no node ever
	// had, so that those that start together share such addresses. After that only speakers that run are.
	startWithin = 600 * time.Millisecond
)

// unclaimed is what is known of a wanted address that another node was elected for, and that
// nobody has claimed.
type unclaimed struct {
	// first is when the election began.
	first time.Time
	// elected is the node whose turn it is, since the time since.
	elected lb.NodeName
	since   time.Time
	// passed are the nodes that were elected and did not claim the address in their turn.
	passed []lb.NodeName
}

// next returns when the election changes if nothing else happens.
func (u unclaimed) next(now time.Time) time.Time {
	if at := u.first.Add(startWithin); at.After(now) {
		return at
	}
	return u.since.Add(actWithin)
}

// noteUnclaimed records which addresses other nodes were elected for. While this node is elected for one and asks the
// segment about it, its own turn does not end. While this node may take no address, the turns of others do not count:
// the speakers of a group that gives way to a larger one take none either.
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

// passed returns, for each address, the elected nodes that have not claimed it in their turn, and the addresses for which
// starting speakers are not elected any more (startWithin, or this node is asking the segment already). When a node has had its turn a second time, the turns begin anew
// after it.
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
	for address := range e.minority.queries {
		overdue[address] = true
	}
	return passed, overdue
}
