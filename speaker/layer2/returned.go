package layer2

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// A speaker that covers an address for a restarting node still covers it after the restart. It stops when it
// receives, on the segment, an announcement or an answer of the node for the address. If the node does not
// return in the time that it published (wire.State.Back) and another node takes the address, the speaker
// covers for that node in the same way. So addresses stay reachable if their owner's speaker claims them but
// sends nothing to the segment: all answers have the hardware address of the owner, and the kernel of the
// owner forwards the traffic.

// announceTimeout is how long a node may take to announce an address after a restart. After that this speaker
// reports that the node does not announce the address. By then the node should have sent its burst of
// announcements, and answers to several probes.
const announceTimeout = 5 * time.Second

// takeTimeout is for how long this speaker tracks an address that it covered and that has lost its owner: if
// another node takes the address within this time, this speaker covers for that node. If this speaker loses
// the last link in common with a node within announceTimeout, it goes on covering the node's addresses for
// the same time.
const takeTimeout = 10 * time.Second

// lostLinkReportTime is how long this speaker goes on reporting that a node does not announce addresses,
// after this speaker has lost the last link in common with that node. It is longer than the time that the
// rollout of a new version waits for announcements.
const lostLinkReportTime = 10 * time.Minute

// awaitedAddress is an address that a node has to announce after a restart.
type awaitedAddress struct {
	// since is when the wait began.
	since time.Time
	// cut is since when this speaker has no link in common with the node; zero: it has one.
	cut time.Time
}

// reportTime returns when to report that the node does not announce the address; zero: this is not reported,
// because the last link in common with the node was lost before that time.
func (a awaitedAddress) reportTime() time.Time {
	at := a.since.Add(announceTimeout)
	if !a.cut.IsZero() && a.cut.Before(at) {
		return time.Time{}
	}
	return at
}

// waitEnd returns when the wait for the announcement ends; zero: it ends only with the announcement. A link
// that is lost for a moment does not end the wait: it shows nothing about the node.
func (a awaitedAddress) waitEnd() time.Time {
	switch {
	case a.cut.IsZero():
		return time.Time{}
	case a.reportTime().IsZero():
		return a.cut.Add(takeTimeout)
	}
	return a.cut.Add(lostLinkReportTime)
}

// continueWait returns the state of the wait after the last link in common with the node was lost or came
// back. The parameter receives is true if this speaker can receive announcements of the node. If that link
// was lost before reportTime, the wait begins anew when the link is back.
func (a awaitedAddress) continueWait(now time.Time, receives bool) awaitedAddress {
	switch {
	case !receives && a.cut.IsZero():
		a.cut = now
	case receives && !a.cut.IsZero():
		if a.reportTime().IsZero() {
			a.since = now
		}
		a.cut = time.Time{}
	}
	return a
}

// CoveredNode is a node that owns addresses and does not announce them. Its speaker runs again after a
// restart, or has taken the addresses from a node that restarted. This speaker answers for the addresses
// with the hardware address of the node.
type CoveredNode struct {
	Node lb.NodeName
	// Count is the number of the addresses.
	Count int
	// First is the lowest of the addresses.
	First netip.Addr
	// Since is when this speaker began to wait for the announcements.
	Since time.Time
}

// AddAnnounced records that a node for which this speaker covers an address has announced that
// address, or answered for it.
func (e *Engine) AddAnnounced(address netip.Addr) {
	e.updateInbox(func(in *inbox) {
		if in.announced == nil {
			in.announced = map[netip.Addr]struct{}{}
		}
		in.announced[address] = struct{}{}
	})
}

// noteReturns records which covered addresses have an owner whose speaker runs again, and which of them the
// owner has announced.
func (e *Engine) noteReturns(v *roundView) {
	for address := range v.in.announced {
		if _, awaited := e.returned[address]; awaited {
			delete(e.returned, address)
			delete(e.covering, address)
			e.owners.Reexamine(address)
		}
	}
	e.followMoves(v)
	for address, holder := range e.covering {
		before, known := e.returned[address]
		next, back := awaitedAddress{since: v.now}, v.hasReturned(holder, address) && !e.doubted[address]
		if receives := back && e.isVerifiable(v, holder, address); known {
			next = before.continueWait(v.now, receives)
			back = back && (next.cut.IsZero() || v.now.Before(next.waitEnd()))
		} else {
			back = receives
		}
		switch {
		case back && next != before:
			e.returned[address] = next
			e.owners.Reexamine(address)
		case !back && known:
			delete(e.returned, address)
			e.owners.Reexamine(address)
		}
	}
}

// followMoves makes this speaker go on covering an address when another node takes it: from then on it
// covers for the new owner.
func (e *Engine) followMoves(v *roundView) {
	maps.DeleteFunc(e.uncovered, func(_ netip.Addr, at time.Time) bool { return v.now.Sub(at) >= takeTimeout })
	for address := range e.uncovered {
		owner := v.owners.Owner(address)
		if owner != "" {
			delete(e.uncovered, address)
		}
		if owner != e.Self && v.hasReturned(owner, address) {
			e.covering[address] = owner
		}
	}
	for address, holder := range e.covering {
		if owner := v.owners.Owner(address); owner != holder && owner != e.Self && v.hasReturned(owner, address) {
			e.covering[address] = owner
			delete(e.returned, address)
		}
	}
}

// stopCovering ends all covering for other nodes.
func (e *Engine) stopCovering() {
	e.covering = map[netip.Addr]lb.NodeName{}
	clear(e.returned)
	clear(e.uncovered)
}

// hasReturned reports whether the speaker of a node runs and owns the address. It is also true if the node
// has taken the address from a node that restarted.
func (v *roundView) hasReturned(node lb.NodeName, address netip.Addr) bool {
	if !v.isWanted(address) || v.owners.Owner(address) != node {
		return false
	}
	p := v.peer(node)
	return p != nil && (p.State.Phase == ownership.Active || p.State.Phase == ownership.Draining)
}

// isVerifiable reports whether this speaker can find out that another node announces an address which this
// speaker covers. It can if one of the links on which it covers the address has a subnet in common with that
// node.
func (e *Engine) isVerifiable(v *roundView, node lb.NodeName, address netip.Addr) bool {
	on := e.coveringAnswers(v, node, address).For
	return slices.ContainsFunc(v.links, func(l wire.Link) bool { return on[l.Name] != nil && len(l.Prefixes) > 0 })
}

// awaits reports whether the owner of the address has restarted and has not announced it yet.
func (e *Engine) awaits(address netip.Addr) bool {
	_, awaited := e.returned[address]
	return awaited
}

// coveredNodes returns the nodes that have not announced their addresses in time, sorted by name, for the
// Report.
func (e *Engine) coveredNodes(now time.Time) (list []CoveredNode) {
	nodes := map[lb.NodeName]CoveredNode{}
	for _, address := range slices.SortedFunc(maps.Keys(e.returned), netip.Addr.Compare) {
		a := e.returned[address]
		if at := a.reportTime(); at.IsZero() || now.Before(at) {
			continue
		}
		c, known := nodes[e.covering[address]]
		if !known {
			c = CoveredNode{Node: e.covering[address], First: address, Since: a.since}
		}
		c.Count++
		if a.since.Before(c.Since) {
			c.Since = a.since
		}
		nodes[c.Node] = c
	}
	return slices.SortedFunc(maps.Values(nodes), func(x, y CoveredNode) int { return cmp.Compare(x.Node, y.Node) })
}

// nextCoverTime returns when the next node is to be reported or the next wait for an address ends, whichever is
// earlier; zero: no such time is ahead.
func (e *Engine) nextCoverTime(now time.Time) (next time.Time) {
	for _, a := range e.returned {
		for _, at := range []time.Time{a.reportTime(), a.waitEnd()} {
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next
}
