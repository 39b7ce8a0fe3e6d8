package announcement

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// missingGracePeriod concerns a node or a router that no longer takes part in the announcement of an address
// by BGP, while others still do. It is how long the condition still names such a node or router. Without this
// time, each restart of a speaker, whose sessions come back within seconds, would cause two writes of each
// Service.
const missingGracePeriod = 30 * time.Second

// namedAnnouncers are the nodes and routers that the condition names for an address. The value is the time
// since which the node or router has been missing; zero: it takes part in the announcement.
type namedAnnouncers struct {
	nodes map[lb.NodeName]time.Time
	peers map[bgp.PeerName]time.Time
	// prefix is the longest announced prefix that contains the address.
	prefix netip.Prefix
	// since is the time since which the address has been announced to routers without a known break.
	since time.Time
}

// addMissing adds missing nodes and routers to the facts about each address that is still announced by BGP. A
// node or router is missing if it no longer takes part in the announcement, but did so less than
// missingGracePeriod ago. It does not add nodes that have left, see Reports.HasLeft. It returns the nodes and
// routers that the condition should name, and how long to wait before the next reconcile; zero: no wait is
// needed.
func addMissing(m serviceRecord, list []addressFacts, left func(lb.NodeName) bool, at time.Time) (next map[netip.Addr]namedAnnouncers, again time.Duration) {
	next = map[netip.Addr]namedAnnouncers{}
	for i := range list {
		f := &list[i]
		if !f.routed.exists() {
			continue
		}
		before := m.routers[f.address]
		if before.dropLeft(left) && before.prefix.Bits() > f.routed.prefix.Bits() {
			before.prefix = f.routed.prefix
		}
		nodes, nodesAgain := mergeMissing(before.nodes, f.routed.nodes, at)
		peers, peersAgain := mergeMissing(before.peers, f.routed.peers, at)
		wait := backoff.ShorterWait(nodesAgain, peersAgain)
		if wait > 0 && before.prefix.Bits() > f.routed.prefix.Bits() {
			f.routed.prefix = before.prefix // a missing node announced this longer prefix
		}
		f.routed.nodes, f.routed.peers = slices.Sorted(maps.Keys(nodes)), slices.Sorted(maps.Keys(peers))
		f.routed.since = earlierTime(before.since, f.routed.since)
		next[f.address] = namedAnnouncers{nodes, peers, f.routed.prefix, f.routed.since}
		again = backoff.ShorterWait(again, wait)
	}
	return next, again
}

// dropLeft drops the nodes that have left, and reports whether it dropped one. If it did, it also drops all
// peers, since the record does not show which peers received the announcement only from these nodes.
func (t *namedAnnouncers) dropLeft(left func(lb.NodeName) bool) bool {
	before := len(t.nodes)
	t.nodes = maps.Clone(t.nodes)
	maps.DeleteFunc(t.nodes, func(node lb.NodeName, _ time.Time) bool { return left(node) })
	if len(t.nodes) == before {
		return false
	}
	t.peers = nil
	return true
}

// mergeMissing returns the present items (now) together with the former items (before) that have been missing
// for less than missingGracePeriod. again is the time until the first of the missing items must be dropped.
func mergeMissing[T ~string](before map[T]time.Time, now []T, at time.Time) (next map[T]time.Time, again time.Duration) {
	next = map[T]time.Time{}
	for _, name := range now {
		next[name] = time.Time{}
	}
	for name, since := range before {
		if _, there := next[name]; there {
			continue
		}
		if since.IsZero() {
			since = at
		}
		if left := missingGracePeriod - at.Sub(since); left > 0 {
			next[name] = since
			again = backoff.ShorterWait(again, left)
		}
	}
	return next, again
}
