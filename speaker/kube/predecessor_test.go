package kube

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// Two speakers of a node follow each other; the route of the first one is an hour old.
func TestRouteSince_AfterARestart(t *testing.T) {
	one, two := prefixOf(1), prefixOf(2)
	const restartTime = 2 * time.Minute
	for _, tt := range []struct {
		name     string
		killed   bool
		graceful bool // of the first session
		away     time.Duration
		restart  time.Duration // of the second session
		route    netip.Prefix  // of the second speaker
		keeps    bool
	}{
		{name: "router kept the route", graceful: true, away: time.Minute, restart: restartTime, route: one, keeps: true},
		{name: "speaker came too late", graceful: true, away: 3 * time.Minute, restart: restartTime, route: one},
		{name: "router has no graceful restart any more", graceful: true, away: time.Minute, route: one},
		{name: "router had none", away: time.Minute, restart: restartTime, route: one},
		{name: "speaker was killed", killed: true, graceful: true, away: time.Minute, restart: restartTime, route: one},
		{name: "another route", graceful: true, away: time.Minute, restart: restartTime, route: two},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u"}})
				begins := func(route netip.Prefix, graceful bool, restart time.Duration) (*StateWriter, RoutingState) {
					w := NewStateWriter(s, s, "n1", logr.Discard())
					w.latest = &layer2.Report{Phase: "Active", Live: 1}
					negotiated := &session.Negotiated{Remote: bgp.Open{RouterID: netip.MustParseAddr("192.0.2.1")}}
					if graceful {
						negotiated.GracefulRestart = &bgp.GracefulRestart{}
					}
					r := RoutingState{
						Path:     func(bgp.PeerName) (speakerbfd.Status, bool) { return speakerbfd.Status{}, false },
						Sessions: []speakerbgp.Status{{Peer: "tor", State: session.Idle, Since: time.Now()}},
						Changes:  map[bgp.PeerName]speakerbgp.RouteChanges{"tor": {Whole: true}},
					}
					w.Routing = func() RoutingState { return r }
					writes(t, w) // nothing is up yet
					r.Sessions = []speakerbgp.Status{{Peer: "tor", State: session.Established, Since: time.Now(), Prefixes: 1, Negotiated: negotiated}}
					r.Changes = map[bgp.PeerName]speakerbgp.RouteChanges{"tor": {Whole: true, Announced: []netip.Prefix{route}, Since: time.Now(), RestartTime: restart}}
					writes(t, w)
					r.Changes = map[bgp.PeerName]speakerbgp.RouteChanges{"tor": {}}
					return w, r
				}
				since := func() time.Time {
					var list v1beta1.SpeakerRouteSliceList
					if err := s.List(t.Context(), &list); err != nil || len(list.Items) != 1 || len(list.Items[0].Routes) != 1 {
						t.Fatalf("got %+v and error %v, want one route", list.Items, err)
					}
					return list.Items[0].Routes[0].Since.Time
				}
				first, last := begins(one, tt.graceful, restartTime)
				announced := since()
				time.Sleep(time.Hour)
				if !tt.killed {
					if err := first.Leave(t.Context(), last); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(tt.away)
				began := time.Now()
				begins(tt.route, tt.restart > 0, tt.restart)
				want := began
				if tt.keeps {
					want = announced
				}
				if got := since(); !got.Equal(want) {
					t.Errorf("got since %s, want %s", got, want)
				}
			})
		})
	}
}

func writes(t *testing.T, w *StateWriter) {
	t.Helper()
	if err := w.writeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}
