package layer2_test

import (
	"maps"
	"slices"
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
		// p1 is preferred, so that self has only addresses that it resumed.
		{name: "with the epoch it had", want: want(wanted(a1, "p1", self)), peers: []mesh.Peer{peer("p1", nil)}, claim: ownership.Claims{a1: 7}},
		{name: "not an address that is not wanted any more", want: want(wanted(a2, "p1", self)), peers: []mesh.Peer{peer("p1", nil)}},
		{name: "not an address that another node claims by now", want: want(wanted(a1, "p1", self)), peers: []mesh.Peer{peer("p1", ownership.Claims{a1: 8})}},
		{name: "not even if the other node claims it with a lower epoch", want: want(wanted(a1, self, "p1")), peers: []mesh.Peer{peer("p1", ownership.Claims{a1: 6})}},
		{name: "not an address that self may not own any more", want: want(wanted(a1, "p1")), peers: []mesh.Peer{in(ownership.Draining, peer("p1", nil))}},
		{name: "no other address", want: want(wanted(a1, self), wanted(a2, "p1", self)), peers: []mesh.Peer{peer("p1", ownership.Claims{a2: 1})}, claim: ownership.Claims{a1: 7}},
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

// A node that starts at the same time takes the address as one that no node ever had, and probes it.
func TestSpeakerTakesUpAnAddressThatANodeProbesWhichStartedAtTheSameTime(t *testing.T) {
	for _, tt := range []struct {
		name  string
		epoch ownership.Epoch // of the other node
		claim ownership.Claims
	}{
		{"with a lower epoch", 1, ownership.Claims{a1: 7}},
		{"with the same epoch", 7, ownership.Claims{a1: 7}},
		{"not if it has had another owner since", 8, nil},
	} {
		for _, node := range []lb.NodeName{"p1", "p2", "p3", "p4"} { // some come before self in the order of election, and others after it
			t.Run(tt.name+", "+string(node), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBed(t, resuming(ownership.Claims{a1: 7}))
					b.want.Addresses, b.view.Missing = want(wanted(a1, self, node)), missing("p9")
					b.view.Peers = []mesh.Peer{in(ownership.Starting, peer(node, nil))}
					b.inform()
					b.receive(probing(node, a1, tt.epoch))
					b.after(time.Second)
					b.receive(probing(node, a1, tt.epoch))
					b.claims("when it has started", ownership.Active, tt.claim)
					b.same("what it does not announce", 0, len(b.states[len(b.states)-1].Held))
					b.serves("when it has started", on0(false, slices.Collect(maps.Keys(tt.claim))...))
				})
			})
		}
	}
}

// A node that has not started at the same time may not announce the address because another host uses it.
func TestSpeakerProbesAnAddressThatAnotherNodeDoesNotAnnounce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		epoch ownership.Epoch // of the other node
		claim ownership.Claims
	}{
		{"claimed with the first epoch", 1, ownership.Claims{a1: 8}},
		{"claimed with the same epoch", 7, ownership.Claims{a1: 8}},
		{"not if it has had another owner since", 8, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, resuming(ownership.Claims{a1: 7}))
				b.want.Addresses, b.view.Peers = want(wanted(a1, self, "p1")), []mesh.Peer{probing("p1", a1, tt.epoch)}
				b.inform()
				b.claims("when it has started", ownership.Active, tt.claim)
				b.same("what it does not announce", len(tt.claim), len(b.states[len(b.states)-1].Held))
				b.serves("when it has started", on0(true, slices.Collect(maps.Keys(tt.claim))...))
			})
		})
	}
}

func TestTheEpochOfTheLastSpeakerIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, resuming(ownership.Claims{a1: 7}))
		b.want.Addresses, b.view.Peers = want(wanted(a1, self)), []mesh.Peer{peer("p1", ownership.Claims{a1: 3})}
		b.inform()
		b.claims("when p1, which is no candidate, claims it", ownership.Active, ownership.Claims{a1: 8})
	})
}

func TestResumedAddressesAreForgottenAfterAnIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, resuming(ownership.Claims{a1: 7}))
		b.want.Addresses, b.view.Peers = want(wanted(a1, "p1", self)), []mesh.Peer{peer("p1", nil), peer("p2", nil)}
		b.inform()
		b.claims("at first", ownership.Active, ownership.Claims{a1: 7})
		b.lose("p1", "p2")
		b.silentNow("while self is isolated")
		b.view.Missing = nil
		b.receive(peer("p1", nil), peer("p2", nil))
		b.claims("afterwards", ownership.Active, nil)
	})
}

// A starting speaker receives from its peers one after the other, so that it is in a minority at first.
// Once in the majority it takes up its former addresses, although a node is down.
func TestSpeakerThatStartsWhileANodeIsDownTakesUpItsFormerAddresses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		down  map[lb.NodeName]bool
		waits time.Duration
	}{
		{"the node is NotReady", map[lb.NodeName]bool{"p3": true}, 0},
		{"the node is not NotReady yet", nil, 2 * time.Second},
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

// A node that self has not received from yet may have taken the former addresses.
func TestSpeakerThatIsIsolatedAtItsStartProbesItsFormerAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, resuming(ownership.Claims{a1: 7}))
		b.want.Addresses, b.view.Missing = want(wanted(a1, "p3", self)), missing("p1", "p2", "p3")
		b.inform()
		b.after(3 * time.Second)
		b.view.Missing = missing("p3")
		b.receive(peer("p1", nil), peer("p2", nil))
		b.serves("before the segment was probed", nil)
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
		b.inform() // a round in which self is isolated
		b.after(time.Second)
		b.view.Missing = missing("p3")
		b.receive(peer("p1", nil), peer("p2", nil))
		b.after(499 * time.Millisecond)
		b.serves("while self waits", nil)
		b.after(time.Millisecond)
		b.claims("two seconds after the start", ownership.Active, ownership.Claims{a1: 7})
	})
}

// On a busy processor a starting speaker may read the first answers later than it waits for answers.
// The speaker has not acted yet, so that other nodes still answer for its former addresses on its
// behalf.
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
