package kube

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
)

// perSlice is how many routes a SpeakerRouteSlice lists at most: what one change costs to
// report, however many routes there are. maxTold is how many peers of each it lists.
const perSlice, maxPeersPerRoute = 64, 16

// reportedRoutes are the routes that routers have from this node, by the slice that lists them. The
// zero value is ready to use.
type reportedRoutes struct {
	slices []map[netip.Prefix][]bgp.PeerName // peers in order, at least one
	place  map[netip.Prefix]int              // the slice that lists a prefix
	counts map[bgp.PeerName]int              // of the prefixes that a router has
	since  map[netip.Prefix]time.Time        // when the first router got a prefix
	dirty  map[int]bool                      // to be written
	before predecessor
}

// note takes in what has changed. A peer that is not mentioned is gone.
func (t *reportedRoutes) note(news map[bgp.PeerName]speakerbgp.RouteChanges) {
	if t.counts == nil {
		t.counts, t.place, t.dirty = map[bgp.PeerName]int{}, map[netip.Prefix]int{}, map[int]bool{}
		t.since = map[netip.Prefix]time.Time{}
	}
	for peer, count := range t.counts {
		if n, there := news[peer]; (!there || n.Whole) && count > 0 {
			t.drop(peer)
		}
	}
	for peer, n := range news {
		for _, prefix := range n.Withdrawn {
			t.set(prefix, peer, false)
		}
		for _, prefix := range n.Announced {
			t.set(prefix, peer, true)
		}
		t.resume(peer, n)
	}
}

// drop forgets all that a peer's router has.
func (t *reportedRoutes) drop(peer bgp.PeerName) {
	for prefix, i := range t.place {
		if _, has := slices.BinarySearch(t.slices[i][prefix], peer); has {
			t.set(prefix, peer, false)
		}
	}
	delete(t.counts, peer)
}

func (t *reportedRoutes) set(prefix netip.Prefix, peer bgp.PeerName, has bool) {
	i, listed := t.place[prefix]
	if !listed {
		if !has {
			return
		}
		i = t.room()
		t.since[prefix] = time.Now()
	}
	peers := t.slices[i][prefix]
	at, had := slices.BinarySearch(peers, peer)
	if had == has {
		return
	}
	t.dirty[i] = true
	if has {
		t.slices[i][prefix], t.place[prefix] = slices.Insert(peers, at, peer), i
		t.counts[peer]++
		return
	}
	t.counts[peer]--
	if peers = slices.Delete(peers, at, at+1); len(peers) > 0 {
		t.slices[i][prefix] = peers
	} else {
		delete(t.slices[i], prefix)
		delete(t.place, prefix)
		delete(t.since, prefix)
	}
}

// room returns the first slice that can list one more.
func (t *reportedRoutes) room() int {
	i := slices.IndexFunc(t.slices, func(routes map[netip.Prefix][]bgp.PeerName) bool { return len(routes) < perSlice })
	if i < 0 {
		i = len(t.slices)
		t.slices = append(t.slices, map[netip.Prefix][]bgp.PeerName{})
	}
	return i
}

// retain forgets what the routers of other peers have.
func (t *reportedRoutes) retain(stays map[bgp.PeerName]bool) {
	for _, peer := range slices.Collect(maps.Keys(t.counts)) {
		if !stays[peer] {
			t.drop(peer)
		}
	}
}

// count is how many prefixes some router has.
func (t *reportedRoutes) count() int { return len(t.place) }

// all has every slice written that is not as it should be.
func (t *reportedRoutes) all() {
	for i := range t.slices {
		t.dirty[i] = true
	}
}

// routes are those of a slice, in order.
func (t *reportedRoutes) routes(i int) []v1beta1.SpeakerBGPRoute {
	var list []v1beta1.SpeakerBGPRoute
	for _, prefix := range slices.SortedFunc(maps.Keys(t.slices[i]), netip.Prefix.Compare) {
		peers, since := t.slices[i][prefix], second(t.since[prefix])
		route := v1beta1.SpeakerBGPRoute{Prefix: prefix.String(), Since: &since}
		for _, peer := range peers[:min(len(peers), maxPeersPerRoute)] {
			route.Peers = append(route.Peers, v1beta1.ObjectName(peer))
		}
		list = append(list, route)
	}
	return list
}
