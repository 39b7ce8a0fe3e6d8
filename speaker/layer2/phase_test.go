package layer2_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
)

func TestIsolatedSpeakerAnswersNothing(t *testing.T) {
	tests := []struct {
		name string
		down map[lb.NodeName]bool
	}{
		{name: "all peers are lost"},
		{name: "one lost peer is down, and the other lost peer is half of the rest", down: map[lb.NodeName]bool{"p1": true}},
		{name: "all lost peers are down", down: map[lb.NodeName]bool{"p1": true, "p2": true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil))
				b.want.Down = tt.down
				b.inform()
				b.forget()
				b.lose("p1", "p2")
				b.after(time.Minute)
				b.same("what was probed", []string{"ask []", "ask [] and await [192.168.1.1]"}, b.calls("ask"))
				b.silentNow("when all peers are lost")
				b.same("the reported phase", "Isolated", b.reports[len(b.reports)-1].Phase)
				addresses, _ := b.engine.CountOwned()
				b.same("number of owned addresses", 0, addresses)
				b.same("the claims that are saved", ownership.Claims(nil), b.saved[len(b.saved)-1].Claims)
			})
		})
	}
}

// The API server may report the missing nodes as NotReady because it runs on this node, which receives nothing from the segment.
// So a link on which no host answers stops the announcements then too.
func TestOthersAreNotReady(t *testing.T) {
	late := peer("p2", nil)
	late.Late = true
	for _, tt := range []struct {
		name                   string
		down                   map[lb.NodeName]bool
		view                   mesh.View
		reached, serves, alone bool
	}{
		{"all", map[lb.NodeName]bool{"p1": true, "p2": true}, mesh.View{Missing: missing("p1", "p2")}, true, true, true},
		{"all, and no host answers", map[lb.NodeName]bool{"p1": true, "p2": true}, mesh.View{Missing: missing("p1", "p2")}, false, false, true},
		{"one of two", map[lb.NodeName]bool{"p1": true}, mesh.View{Missing: missing("p1", "p2")}, true, true, false},
		{"all, and one of them sends to self", map[lb.NodeName]bool{"p1": true, "p2": true, "p3": true}, mesh.View{Missing: missing("p1", "p2", "p3"), Unreached: []lb.NodeName{"p1"}}, true, false, false},
		{"the missing peer, and the other peer is late", map[lb.NodeName]bool{"p1": true}, mesh.View{Missing: missing("p1"), Peers: []mesh.Peer{late}}, true, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil))
				b.want.Down = tt.down
				b.inform()
				b.view = tt.view
				b.view.Checked = true
				b.receive(tt.view.Peers...)
				if tt.reached {
					b.reach("eth0")
				}
				b.after(500 * time.Millisecond)
				_, serves := b.owned[a1]
				b.same("self announces the address", tt.serves, serves)
				b.same("the report", tt.alone, b.reports[len(b.reports)-1].Alone)
			})
		})
	}
}

// Peers that receive nothing from self take the addresses of self. Self receives from the peers and from
// hosts. The report distinguishes this case of Isolated.
func TestSpeakerThatNoPeerReceivesFromAnswersNothing(t *testing.T) {
	for _, tt := range []struct {
		name      string
		peers     []mesh.Peer
		unreached []lb.NodeName
	}{
		{"no peer receives from self", nil, []lb.NodeName{"p1", "p2"}},
		{"one of two peers receives, so that self is in a majority", []mesh.Peer{peer("p1", nil)}, nil},
		{"all have died", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil))
				b.view.Missing, b.view.Unreached = missing("p1", "p2")[len(tt.peers):], tt.unreached
				b.receive(tt.peers...)
				b.reach("eth0")
				_, serves := b.owned[a1]
				b.same("self announces its address", len(tt.unreached) == 0, serves)
				b.same("reported peers that do not receive", tt.unreached, b.reports[len(b.reports)-1].Unreached)
			})
		})
	}
}

func TestAnIsolationEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(*bed)
	}{
		{name: "when a host asks for an address", end: func(b *bed) { b.reach("eth0") }},
		{name: "when a peer is received from, and then self probes the segment", end: func(b *bed) {
			b.view.Missing = missing("p2")
			b.receive(peer("p1", nil))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil))
				b.lose("p1", "p2")
				b.after(time.Minute)
				b.silentNow("while self is isolated")
				tt.end(b)
				b.settle()
				b.serves("before the segment was probed", nil)
				b.free(a1)
				b.claims("in the end", ownership.Active, ownership.Claims{a1: 2})
			})
		})
	}
}

func TestDrain_NodeOwnsItsAddressesUntilOthersClaimThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self, "p1"), wanted(a2, "p1", self)), peer("p1", ownership.Claims{a2: 1}))
		addresses, draining := b.engine.CountOwned()
		b.same("before: addresses", 1, addresses)
		b.same("before: draining", false, draining)
		b.want.Draining = map[lb.NodeName]bool{self: true}
		b.inform()
		b.after(time.Minute)
		b.serves("while no peer claims the address", on0(true, a1))
		b.claims("while no peer claims the address", ownership.Draining, ownership.Claims{a1: 1})
		b.same("the reported phase", "Draining", b.reports[len(b.reports)-1].Phase)
		addresses, draining = b.engine.CountOwned()
		b.same("meanwhile: addresses", 1, addresses)
		b.same("meanwhile: draining", true, draining)
		b.receive(peer("p1", ownership.Claims{a1: 2, a2: 1}))
		b.serves("when p1 claims the address", nil)
		addresses, draining = b.engine.CountOwned()
		b.same("afterwards: addresses", 0, addresses)
		b.same("afterwards: draining", true, draining)
		b.receive()
		b.after(time.Minute)
		b.claims("when p1 is lost", ownership.Draining, nil)
	})
}

func TestOwning_IsZeroBeforeTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addresses, draining := newBed(t).engine.CountOwned()
		if addresses != 0 || draining {
			t.Errorf("got %d addresses, draining: %t", addresses, draining)
		}
	})
}

func TestRestart_IsPublishedAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// p1 can take the addresses, and self is drained as well. The restart comes before the drain.
		b := running(t, want(wanted(a1, self, "p1")), peer("p1", nil))
		b.want.Draining = map[lb.NodeName]bool{self: true}
		b.inform()
		b.forget()
		b.engine.Restart(t.Context(), 20*time.Second)
		b.look()
		b.same("what was published when Restart returns", []string{"publish Restarting [192.168.1.1]"}, b.calls("publish"))
		b.same("published time until the restart ends", 20*time.Second, b.states[0].Back)
		b.settle()
		b.same("what was announced", []string(nil), b.calls("owned", "repeat"))
		b.serves("while self restarts", on0(true, a1))
		b.same("the reported phase", "Active", b.reports[len(b.reports)-1].Phase)
		b.receive(peer("p1", nil))
		b.after(10 * time.Second)
		b.same("published states meanwhile", 1, len(b.states))
		b.after(10 * time.Second)
		b.receive(peer("p1", nil))
		b.claims("when the time is up and self still runs", ownership.Draining, ownership.Claims{a1: 1})
	})
}

func TestRestart_IsNotPublishedBeforeTheSpeakerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self)))
		b.view.Checked = false
		b.receive()
		returned := make(chan struct{})
		go func() { b.engine.Restart(t.Context(), time.Minute); close(returned) }()
		b.after(time.Second)
		select {
		case <-returned:
			t.Error("Restart returned before it was published")
		default:
		}
		b.view.Checked = true
		b.receive()
		select {
		case <-returned:
		default:
			t.Error("Restart did not return after it was published")
		}
		b.same("published time until the restart ends", 59*time.Second, b.states[len(b.states)-1].Back)
	})
}

func TestRestart_ThatCannotBePublishedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		b.engine.Restart(ctx, time.Minute)
		b.same("duration of the call", time.Second, time.Since(start))
	})
}
