package layer2

import (
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

const (
	// claimTimeout is the length of a turn: if the elected node does not claim the address in this time, another
	// node is elected.
	claimTimeout = 2 * time.Second
	// starterTime is how long an election treats starting speakers like all other speakers, so that speakers
	// that start together share the addresses that no node ever had. After that a starting speaker is elected
	// only if no other speaker can be elected.
	starterTime = 600 * time.Millisecond
)

// unclaimedAddress is a wanted address for which another node was elected, and that no node has claimed.
type unclaimedAddress struct {
	// first is when the election began.
	first time.Time
	// elected is the node whose turn it is.
	elected lb.NodeName
	// since is when the turn began.
	since time.Time
	// passed are the nodes that were elected and did not claim the address in their turn.
	passed []lb.NodeName
}

// nextElection returns when the next step of the election is due if no input changes earlier.
func (u unclaimedAddress) nextElection(now time.Time) time.Time {
	if at := u.first.Add(starterTime); at.After(now) {
		return at
	}
	return u.since.Add(claimTimeout)
}

// noteUnclaimed records which addresses other nodes were elected for. While this node is elected for an
// address and asks the segment about it, its own turn does not end. While this node may take no address, it
// ends no turns of other nodes either: in a group that gives way to a larger group, no elected speaker takes
// an address.
func (e *Engine) noteUnclaimed(v *roundView, list []ownership.UnclaimedAddress) {
	if v.partitioned || v.phase != ownership.Active {
		clear(e.unclaimed)
	}
	all := make(map[netip.Addr]unclaimedAddress, len(list))
	for _, u := range list {
		known, is := e.unclaimed[u.Address]
		if !is {
			known = unclaimedAddress{first: v.now}
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

// endTurns ends the turns that are over. The result passed has, for each address, the elected nodes that have
// not claimed it in their turn. The result overdue has the addresses for which a starting speaker is elected
// only if no other speaker can be elected. That is so after starterTime, or when this node is already asking
// the segment about the address. When a node has had a second turn, the list of nodes that passed begins anew
// with this node.
func (e *Engine) endTurns(now time.Time) (passed map[netip.Addr][]lb.NodeName, overdue map[netip.Addr]bool) {
	passed, overdue = map[netip.Addr][]lb.NodeName{}, map[netip.Addr]bool{}
	for address, u := range e.unclaimed {
		if now.Sub(u.since) >= claimTimeout {
			if u.since = now; slices.Contains(u.passed, u.elected) {
				u.passed = nil
			}
			u.passed = append(slices.Clone(u.passed), u.elected)
			e.unclaimed[address] = u
		}
		passed[address] = u.passed
		overdue[address] = now.Sub(u.first) >= starterTime
	}
	for address := range e.minority.queries {
		overdue[address] = true
	}
	return passed, overdue
}
