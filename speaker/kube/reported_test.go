package kube

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/bgp"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
)

// has is what routers have, in a simple form.
type has map[bgp.PeerName]map[netip.Prefix]bool

// lines returns which peers have each prefix.
func (h has) lines() map[string][]bgp.PeerName {
	lines := map[string][]bgp.PeerName{}
	for _, peer := range slices.Sorted(maps.Keys(h)) {
		for prefix := range h[peer] {
			lines[prefix.String()] = append(lines[prefix.String()], peer)
		}
	}
	return lines
}

func (t *reportedRoutes) lines() map[string][]bgp.PeerName {
	lines := map[string][]bgp.PeerName{}
	for _, routes := range t.slices {
		for prefix, peers := range routes {
			lines[prefix.String()] = peers
		}
	}
	return lines
}

func prefixOf(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 32)
}

func TestReportedIsTheSumOfAllChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, got := has{}, &reportedRoutes{}
		for range rapid.IntRange(1, 30).Draw(t, "rounds") {
			changes := map[bgp.PeerName]speakerbgp.RouteChanges{}
			before := has{}
			for peer, prefixes := range want {
				before[peer] = maps.Clone(prefixes)
			}
			clear(want)
			for p := range rapid.IntRange(0, 3).Draw(t, "peers") {
				peer := bgp.PeerName(fmt.Sprint("peer-", p))
				_, known := before[peer]
				n := speakerbgp.RouteChanges{Whole: !known || rapid.Bool().Draw(t, "whole")}
				now := map[netip.Prefix]bool{}
				for i := range 6 {
					prefix := prefixOf(i)
					had := !n.Whole && before[peer][prefix]
					if rapid.Bool().Draw(t, "announced") {
						now[prefix] = true
						n.Announced = append(n.Announced, prefix)
					} else if had && rapid.Bool().Draw(t, "withdrawn") {
						n.Withdrawn = append(n.Withdrawn, prefix)
					} else if had {
						now[prefix] = true
					}
				}
				want[peer], changes[peer] = now, n
			}
			was, places := got.lines(), maps.Clone(got.place)
			clear(got.dirty)
			got.noteChanges(changes)
			if diff := cmp.Diff(want.lines(), got.lines()); diff != "" {
				t.Fatalf("routes (-want +got):\n%s", diff)
			}
			if got.countPrefixes() != len(want.lines()) {
				t.Fatalf("count: got %d, want %d", got.countPrefixes(), len(want.lines()))
			}
			for i := range 6 {
				prefix := prefixOf(i)
				at, listed := got.place[prefix]
				if key := prefix.String(); !slices.Equal(was[key], got.lines()[key]) && (listed && !got.dirty[at] || !listed && !got.dirty[places[prefix]]) {
					t.Fatalf("%s has changed, and its slice is not to be written", key)
				}
			}
		}
	})
}

func TestAChangeConcernsOneSlice(t *testing.T) {
	var list []netip.Prefix
	for i := range 1000 {
		list = append(list, prefixOf(i))
	}
	reported := &reportedRoutes{}
	reported.noteChanges(map[bgp.PeerName]speakerbgp.RouteChanges{"a": {Whole: true, Announced: list}})
	for i, routes := range reported.slices {
		if want := min(maxRoutesPerSlice, 1000-i*maxRoutesPerSlice); len(routes) != want {
			t.Errorf("slice %d has %d of 1000 routes, want %d", i, len(routes), want)
		}
	}
	clear(reported.dirty)
	reported.noteChanges(map[bgp.PeerName]speakerbgp.RouteChanges{"a": {Withdrawn: list[:1]}})
	reported.noteChanges(map[bgp.PeerName]speakerbgp.RouteChanges{"a": {Announced: []netip.Prefix{prefixOf(2000)}}}) // there is room again
	if diff := cmp.Diff(map[int]bool{0: true}, reported.dirty); diff != "" || len(reported.slices[0]) != maxRoutesPerSlice {
		t.Errorf("slice 0 has %d routes; slices to be written (-want +got):\n%s", len(reported.slices[0]), diff)
	}
	reported.retainPeers(map[bgp.PeerName]bool{"b": true})
	if reported.countPrefixes() != 0 {
		t.Errorf("%d routes are left of a peer whose router keeps none", reported.countPrefixes())
	}
}

func TestReported_Since(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reported, prefix := &reportedRoutes{}, prefixOf(1)
		change := func(n speakerbgp.RouteChanges, peer bgp.PeerName) {
			time.Sleep(time.Minute)
			reported.noteChanges(map[bgp.PeerName]speakerbgp.RouteChanges{"a": {}, "b": {}, peer: n})
		}
		since := func() time.Time { return reported.routesOfSlice(0)[0].Since.Time }
		add, remove := speakerbgp.RouteChanges{Announced: []netip.Prefix{prefix}}, speakerbgp.RouteChanges{Withdrawn: []netip.Prefix{prefix}}
		change(add, "a")
		first := time.Now()
		change(add, "b")
		change(remove, "a")
		if got := since(); !got.Equal(first) {
			t.Errorf("one router after the other has it: got since %v, want %v", got, first)
		}
		change(remove, "b")
		change(add, "b")
		if got := since(); !got.Equal(time.Now()) {
			t.Errorf("after no router had it: got since %v, want %v", got, time.Now())
		}
	})
}
