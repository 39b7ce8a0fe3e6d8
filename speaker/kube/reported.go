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

const (
	// maxRoutesPerSlice is how many routes a SpeakerRouteSlice lists at most. It bounds the cost of writing a
	// change of one route, however many routes the node has.
	maxRoutesPerSlice = 64
	// maxPeersPerRoute is how many peers of a route a SpeakerRouteSlice lists at most.
	maxPeersPerRoute = 16
)

// reportedRoutes are the routes that routers have received from this node, grouped by the SpeakerRouteSlice
// that lists them. The zero value is ready to use.
type reportedRoutes struct {
	slices []map[netip.Prefix][]bgp.PeerName // peers in order, at least one
	place  map[netip.Prefix]int              // index of the slice that lists a prefix
	counts map[bgp.PeerName]int              // number of prefixes that the router of a peer has
	since  map[netip.Prefix]time.Time        // when the first router got a prefix
	dirty  map[int]bool                      // indexes of slices to be written
	before predecessorReport
}

// noteChanges records changes of routes. If the map has no entry for a peer, the router of that peer has no
// routes any more.
func (t *reportedRoutes) noteChanges(changes map[bgp.PeerName]speakerbgp.RouteChanges) {
	if t.counts == nil {
		t.counts, t.place, t.dirty = map[bgp.PeerName]int{}, map[netip.Prefix]int{}, map[int]bool{}
		t.since = map[netip.Prefix]time.Time{}
	}
	for peer, count := range t.counts {
		if n, there := changes[peer]; (!there || n.Whole) && count > 0 {
			t.dropPeer(peer)
		}
	}
	for peer, n := range changes {
		for _, prefix := range n.Withdrawn {
			t.setRoute(prefix, peer, false)
		}
		for _, prefix := range n.Announced {
			t.setRoute(prefix, peer, true)
		}
		t.resumeTimes(peer, n)
	}
}

// dropPeer records that the router of a peer has no routes any more.
func (t *reportedRoutes) dropPeer(peer bgp.PeerName) {
	for prefix, i := range t.place {
		if _, has := slices.BinarySearch(t.slices[i][prefix], peer); has {
			t.setRoute(prefix, peer, false)
		}
	}
	delete(t.counts, peer)
}

func (t *reportedRoutes) setRoute(prefix netip.Prefix, peer bgp.PeerName, has bool) {
	i, listed := t.place[prefix]
	if !listed {
		if !has {
			return
		}
		i = t.sliceWithRoom()
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

// sliceWithRoom returns the index of the first slice that can list one more route.
func (t *reportedRoutes) sliceWithRoom() int {
	i := slices.IndexFunc(t.slices, func(routes map[netip.Prefix][]bgp.PeerName) bool { return len(routes) < maxRoutesPerSlice })
	if i < 0 {
		i = len(t.slices)
		t.slices = append(t.slices, map[netip.Prefix][]bgp.PeerName{})
	}
	return i
}

// retainPeers drops all peers that are not in the set stays (see dropPeer).
func (t *reportedRoutes) retainPeers(stays map[bgp.PeerName]bool) {
	for _, peer := range slices.Collect(maps.Keys(t.counts)) {
		if !stays[peer] {
			t.dropPeer(peer)
		}
	}
}

// countPrefixes returns how many prefixes at least one router has.
func (t *reportedRoutes) countPrefixes() int { return len(t.place) }

// markAll makes the next write compare every slice with the one on the API server.
func (t *reportedRoutes) markAll() {
	for i := range t.slices {
		t.dirty[i] = true
	}
}

// routesOfSlice returns the routes of a slice, ordered by prefix.
func (t *reportedRoutes) routesOfSlice(i int) []v1beta1.SpeakerBGPRoute {
	var list []v1beta1.SpeakerBGPRoute
	for _, prefix := range slices.SortedFunc(maps.Keys(t.slices[i]), netip.Prefix.Compare) {
		peers, since := t.slices[i][prefix], truncateToSecond(t.since[prefix])
		route := v1beta1.SpeakerBGPRoute{Prefix: prefix.String(), Since: &since}
		for _, peer := range peers[:min(len(peers), maxPeersPerRoute)] {
			route.Peers = append(route.Peers, v1beta1.ObjectName(peer))
		}
		list = append(list, route)
	}
	return list
}
