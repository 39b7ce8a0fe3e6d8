package layer2_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func resuming(claims ownership.Claims) func(*layer2.Config) {
	return func(c *layer2.Config) { c.Resume.Claims = claims }
}

func TestSpeakerTakesUpTheAddressesOfItsPredecessor(t *testing.T) {
	before := ownership.Claims{a1: 7}
	tests := []struct {
		name  string
		want  []ownership.Address
		peers []mesh.Peer
		claim ownership.Claims
	}{
		// p1 is preferred: what self has, it has since it resumed it.
		{name: "with the epoch it had", want: want(wanted(a1, "p1", self)), peers: []mesh.Peer{peer("p1", nil)}, claim: ownership.Claims{a1: 7}},
		{name: "not what is not wanted any more", want: want(wanted(a2, "p1", self)), peers: []mesh.Peer{peer("p1", nil)}},
		{name: "not what somebody else claims by now", want: want(wanted(a1, "p1", self)), peers: []mesh.Peer{peer("p1", ownership.Claims{a1: 8})}},
		{name: "not even if the other one claims it with a lower epoch", want: want(wanted(a1, self, "p1")), peers: []mesh.Peer{peer("p1", ownership.Claims{a1: 6})}},
		{name: "not what this node may not own any more", want: want(wanted(a1, "p1")), peers: []mesh.Peer{in(ownership.Draining, peer("p1", nil))}},
		{name: "and nothing else", want: want(wanted(a1, self), wanted(a2, "p1", self)), peers: []mesh.Peer{peer("p1", ownership.Claims{a2: 1})}, claim: ownership.Claims{a1: 7}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, start := newBed(t, resuming(before)), time.Now()
				b.want.Addresses, b.view.Peers = tt.want, tt.peers
				b.inform()
				b.claims("when it has started", ownership.Active, tt.claim)
				b.same("the metrics", map[string]float64{}, b.counted())
				for a := range tt.claim {
					b.same("it is probed", false, b.owned[a].First)
					b.same("since when it is owned", start, b.reports[0].Owned[0].Since)
				}
			})
		})
	}
}

func TestTheEpochOfTheLastSpeakerIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, resuming(ownership.Claims{a1: 7}))
		b.want.Addresses, b.view.Peers = want(wanted(a1, self)), []mesh.Peer{peer("p1", ownership.Claims{a1: 3})}
		b.inform()
		b.claims("when another one, that may not own it, claims it", ownership.Active, ownership.Claims{a1: 8})
	})
}

func TestResumedAddressesAreForgottenAfterAnIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, resuming(ownership.Claims{a1: 7}))
		b.want.Addresses, b.view.Peers = want(wanted(a1, "p1", self)), []mesh.Peer{peer("p1", nil), peer("p2", nil)}
		b.inform()
		b.claims("at first", ownership.Active, ownership.Claims{a1: 7})
		b.lose("p1", "p2")
		b.silentNow("while it is cut off")
		b.view.Missing = nil
		b.receive(peer("p1", nil), peer("p2", nil))
		b.claims("afterwards", ownership.Active, nil)
	})
}

// A speaker that starts receives from the others one after the other, so that it is in a minority
// at first. It takes up what it had when it is not any more, although a node is down.
func TestSpeakerThatStartsWhileANodeIsDownTakesUpItsFormerAddresses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		down  map[lb.NodeName]bool
		waits time.Duration
	}{
		{"the API server calls it NotReady", map[lb.NodeName]bool{"p3": true}, 0},
		{"the API server does not yet", nil, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, resuming(ownership.Claims{a1: 7}))
				b.want.Addresses, b.want.Down, b.view.Missing = want(wanted(a1, self, "p1")), tt.down, missing("p1", "p2", "p3")
				b.inform()
				b.after(70 * time.Millisecond)
				b.view.Missing = missing("p3")
				b.receive(peer("p1", nil), peer("p2", nil))
				b.after(max(0, tt.waits-70*time.Millisecond))
				b.claims("", ownership.Active, ownership.Claims{a1: 7})
				b.serves("", on0(false, a1))
			})
		})
	}
}

// What it had may have been taken by one that it has not met yet.
func TestSpeakerThatIsIsolatedAtItsStartProbesItsFormerAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, resuming(ownership.Claims{a1: 7}))
		b.want.Addresses, b.view.Missing = want(wanted(a1, "p3", self)), missing("p1", "p2", "p3")
		b.inform()
		b.after(3 * time.Second)
		b.view.Missing = missing("p3")
		b.receive(peer("p1", nil), peer("p2", nil))
		b.serves("before the segment was asked", nil)
		b.after(400 * time.Millisecond)
		b.reach("eth0", a1)
		b.claims("when no host has answered", ownership.Active, ownership.Claims{a1: 8})
	})
}

func TestSpeakerThatIsIsolatedAtItsStartWaitsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, resuming(ownership.Claims{a1: 7}))
		b.want.Addresses, b.view.Missing = want(wanted(a1, "p3", self)), missing("p1", "p2", "p3")
		b.inform()
		b.after(500 * time.Millisecond)
		b.inform() // a round in which it is isolated
		b.after(time.Second)
		b.view.Missing = missing("p3")
		b.receive(peer("p1", nil), peer("p2", nil))
		b.after(499 * time.Millisecond)
		b.serves("while it waits", nil)
		b.after(time.Millisecond)
		b.claims("two seconds after it started", ownership.Active, ownership.Claims{a1: 7})
	})
}

// A processor that others take away can keep the first answers from a speaker that starts for
// longer than it waits for them. It has not run yet, so that other nodes still answer on its
// behalf for what it had.
func TestStartingSpeaker_TakesUpItsFormerAddressesAfterLateAnswers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		peers []mesh.Peer
		want  ownership.Claims
	}{
		{"no other node has it", []mesh.Peer{peer("p1", nil), peer("p2", nil)}, ownership.Claims{a1: 7}},
		{"another node has taken it", []mesh.Peer{peer("p1", ownership.Claims{a1: 8}), peer("p2", nil)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, resuming(ownership.Claims{a1: 7}))
				b.want.Addresses, b.view.Missing = want(wanted(a1, "p1", self)), missing("p1", "p2", "p3")
				b.inform()
				b.after(400 * time.Millisecond)
				b.view.Missing = missing("p2", "p3")
				b.receive(tt.peers[0])
				b.view.Missing = nil
				b.receive(append(tt.peers, peer("p3", nil))...)
				b.after(time.Second)
				b.claims("when it has started", ownership.Active, tt.want)
			})
		})
	}
}
