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
		name   string
		down   map[lb.NodeName]bool
		silent bool
	}{
		{name: "all are lost", silent: true},
		{name: "one of those that are lost is down, and the other is half of those that are left", down: map[lb.NodeName]bool{"p1": true}, silent: true},
		{name: "all that are lost are down", down: map[lb.NodeName]bool{"p1": true, "p2": true}},
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
				if !tt.silent {
					b.serves("when all are lost", on0(true, a1))
					b.same("what was published and asked", []string{"ask []"}, b.calls("publish", "ask"))
					return
				}
				b.same("what was asked", []string{"ask []", "ask [] and await [192.168.1.1]"}, b.calls("ask"))
				b.silentNow("when all are lost")
				b.same("the phase that is reported", "Isolated", b.reports[len(b.reports)-1].Phase)
				addresses, _ := b.engine.Owning()
				b.same("how many addresses it owns", 0, addresses)
				b.same("the claims that are saved", ownership.Claims(nil), b.saved[len(b.saved)-1].Claims)
			})
		})
	}
}

// A link on which no host answers is no reason to be silent where there is no other node.
func TestNoLinkAnswersWhileOthersAreNotReady(t *testing.T) {
	late := peer("p2", nil)
	late.Late = true
	for _, tt := range []struct {
		name   string
		down   map[lb.NodeName]bool
		view   mesh.View
		serves bool
	}{
		{"all", map[lb.NodeName]bool{"p1": true, "p2": true}, mesh.View{Missing: missing("p1", "p2")}, true},
		{"one of two", map[lb.NodeName]bool{"p1": true}, mesh.View{Missing: missing("p1", "p2")}, false},
		{"all, and one of them sends to this one", map[lb.NodeName]bool{"p1": true, "p2": true, "p3": true}, mesh.View{Missing: missing("p1", "p2", "p3"), Unreached: []lb.NodeName{"p1"}}, false},
		{"those that are missing, and the other one is late", map[lb.NodeName]bool{"p1": true}, mesh.View{Missing: missing("p1"), Peers: []mesh.Peer{late}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil))
				b.want.Down = tt.down
				b.inform()
				b.view = tt.view
				b.view.Checked = true
				b.receive(tt.view.Peers...)
				b.after(time.Minute)
				_, serves := b.owned[a1]
				b.same("it announces the address", tt.serves, serves)
				b.same("the report", tt.serves, b.reports[len(b.reports)-1].Alone)
			})
		})
	}
}

// Others that receive nothing from this speaker take its addresses, and it receives from them and
// from hosts: the report says which case of Isolated this is.
func TestSpeakerThatNoPeerReceivesFromAnswersNothing(t *testing.T) {
	for _, tt := range []struct {
		name      string
		peers     []mesh.Peer
		unreached []lb.NodeName
	}{
		{"none receives from it", nil, []lb.NodeName{"p1", "p2"}},
		{"one of two does, and it is in a majority", []mesh.Peer{peer("p1", nil)}, nil},
		{"all have died", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := running(t, want(wanted(a1, self)), peer("p1", nil), peer("p2", nil))
				b.view.Missing, b.view.Unreached = missing("p1", "p2")[len(tt.peers):], tt.unreached
				b.receive(tt.peers...)
				b.reach("eth0")
				_, serves := b.owned[a1]
				b.same("it announces its address", len(tt.unreached) == 0, serves)
				b.same("who does not receive from it, as reported", tt.unreached, b.reports[len(b.reports)-1].Unreached)
			})
		})
	}
}

func TestAnIsolationEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(*bed)
	}{
		{name: "when the cluster says that all that are missing are down", end: func(b *bed) {
			b.want.Down = map[lb.NodeName]bool{"p1": true, "p2": true}
			b.engine.SetSnapshot(b.want)
		}},
		{name: "when one is received from, and then it asks the segment", end: func(b *bed) {
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
				b.silentNow("while it is isolated")
				tt.end(b)
				b.settle()
				b.serves("before the segment was asked", nil)
				b.free(a1)
				b.claims("in the end", ownership.Active, ownership.Claims{a1: 2})
			})
		})
	}
}

func TestDrain_NodeOwnsItsAddressesUntilOthersClaimThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := running(t, want(wanted(a1, self, "p1"), wanted(a2, "p1", self)), peer("p1", ownership.Claims{a2: 1}))
		addresses, draining := b.engine.Owning()
		b.same("before: addresses", 1, addresses)
		b.same("before: draining", false, draining)
		b.want.Draining = map[lb.NodeName]bool{self: true}
		b.inform()
		b.after(time.Minute)
		b.serves("while nobody claims it", on0(true, a1))
		b.claims("while nobody claims it", ownership.Draining, ownership.Claims{a1: 1})
		b.same("the phase that is reported", "Draining", b.reports[len(b.reports)-1].Phase)
		addresses, draining = b.engine.Owning()
		b.same("meanwhile: addresses", 1, addresses)
		b.same("meanwhile: draining", true, draining)
		b.receive(peer("p1", ownership.Claims{a1: 2, a2: 1}))
		b.serves("when p1 claims it", nil)
		addresses, draining = b.engine.Owning()
		b.same("afterwards: addresses", 0, addresses)
		b.same("afterwards: draining", true, draining)
		b.receive()
		b.after(time.Minute)
		b.claims("when p1 is lost", ownership.Draining, nil)
	})
}

func TestOwning_IsZeroBeforeTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addresses, draining := newBed(t).engine.Owning()
		if addresses != 0 || draining {
			t.Errorf("it owns %d addresses, draining: %t", addresses, draining)
		}
	})
}

func TestRestart_IsPublishedAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// p1 is there for those who restart, and self is drained too: to restart comes first.
		b := running(t, want(wanted(a1, self, "p1")), peer("p1", nil))
		b.want.Draining = map[lb.NodeName]bool{self: true}
		b.inform()
		b.forget()
		b.engine.Restart(t.Context(), 20*time.Second)
		b.look()
		b.same("what was said when it returns", []string{"publish Restarting [192.168.1.1]"}, b.calls("publish"))
		b.same("when it will be back", 20*time.Second, b.states[0].Back)
		b.settle()
		b.same("what was announced", []string(nil), b.calls("owned", "repeat"))
		b.serves("while it restarts", on0(true, a1))
		b.same("the phase that is reported", "Active", b.reports[len(b.reports)-1].Phase)
		b.receive(peer("p1", nil))
		b.after(10 * time.Second)
		b.same("what was said meanwhile", 1, len(b.states))
		b.after(10 * time.Second)
		b.receive(peer("p1", nil))
		b.claims("when the time is up and it still runs", ownership.Draining, ownership.Claims{a1: 1})
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
			t.Error("it returned although nothing was said")
		default:
		}
		b.view.Checked = true
		b.receive()
		select {
		case <-returned:
		default:
			t.Error("it did not return although it was said")
		}
		b.same("in which time it will be back", 59*time.Second, b.states[len(b.states)-1].Back)
	})
}

func TestRestart_ThatCannotBePublishedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		b.engine.Restart(ctx, time.Minute)
		b.same("how long it took", time.Second, time.Since(start))
	})
}
