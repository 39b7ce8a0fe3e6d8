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

// nameMissingFor is how long the condition still names a node, or a router, that no longer takes part
// in announcing an address by BGP while others do. When speakers restart one after the other, their
// sessions come back within seconds: otherwise each Service would be written twice for each restart.
const nameMissingFor = 30 * time.Second

// namedAnnouncers are the nodes and routers that the condition names for an address, with the time since
// which they are missing; zero: they take part.
type namedAnnouncers struct {
	nodes map[lb.NodeName]time.Time
	peers map[bgp.PeerName]time.Time
	// prefix is the longest announced prefix that contains the address.
	prefix netip.Prefix
	// since when it has been announced to routers, without a known break.
	since time.Time
}

// addMissing adds to the facts the nodes and routers that no longer take part in announcing an address,
// but did so less than nameMissingFor ago, if others still do. It does not add nodes that are not
// expected back soon, see Reports.Left.
// It returns the announcers that the condition names then, and when to reconcile again; zero: never.
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
		nodes, nodesAgain := withMissing(before.nodes, f.routed.nodes, at)
		peers, peersAgain := withMissing(before.peers, f.routed.peers, at)
		wait := backoff.ShorterWait(nodesAgain, peersAgain)
		if wait > 0 && before.prefix.Bits() > f.routed.prefix.Bits() {
			f.routed.prefix = before.prefix // a missing node announced the longer one
		}
		f.routed.nodes, f.routed.peers = slices.Sorted(maps.Keys(nodes)), slices.Sorted(maps.Keys(peers))
		f.routed.since = earlierTime(before.since, f.routed.since)
		next[f.address] = namedAnnouncers{nodes, peers, f.routed.prefix, f.routed.since}
		again = backoff.ShorterWait(again, wait)
	}
	return next, again
}

// dropLeft drops the nodes that have left, and reports whether there was one. If so, it also drops
// all peers, since it is not known to which of them only these nodes announced.
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

// withMissing returns the present items (now) and those former ones (before) that have been missing for
// less than nameMissingFor, and how long until the first of these has been missing for so long.
func withMissing[T ~string](before map[T]time.Time, now []T, at time.Time) (next map[T]time.Time, again time.Duration) {
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
		if left := nameMissingFor - at.Sub(since); left > 0 {
			next[name] = since
			again = backoff.ShorterWait(again, left)
		}
	}
	return next, again
}
