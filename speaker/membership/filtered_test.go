package membership

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// undisturbed fails unless every address is answered for by whom it was, at every moment.
func undisturbed(t *testing.T, w *world, before map[string]lb.NodeName, since time.Time) {
	t.Helper()
	if diff := cmp.Diff(before, settled(t, w)); diff != "" {
		t.Errorf("owners (-before +after):\n%s", diff)
	}
	if gap, twice := w.longestGap(since), w.longestTwice(since); gap > 0 || twice > 0 {
		t.Errorf("nobody answered for %s, and two for %s", gap, twice)
	}
}

// streams counts the speakers that another one is told over a connection now.
func (w *world) streams() (count int) {
	for _, name := range w.names {
		var sends []mesh.Send
		for _, other := range w.names {
			sends = append(sends, mesh.Send{To: other, Message: &wire.Message{Kind: wire.KindState}})
		}
		w.nodes[name].p.runner.do(func(now time.Time, m *mesh.Machine) []mesh.Send {
			for _, s := range m.Ways(now, sends) {
				if s.Stream {
					count++
				}
			}
			return nil
		})
	}
	return count
}

func TestNothingMovesWhenDatagramsAreLost(t *testing.T) {
	for name, tt := range map[string]struct {
		nodes int
		lose  func(*world)
	}{
		"of one node":               {4, func(w *world) { w.filter([]lb.NodeName{"n2"}, []lb.NodeName{"n1", "n3", "n4"}, true) }},
		"that one node sends":       {4, func(w *world) { w.filter([]lb.NodeName{"n2"}, []lb.NodeName{"n1", "n3", "n4"}, false) }},
		"that are sent to one":      {4, func(w *world) { w.filter([]lb.NodeName{"n1", "n3", "n4"}, []lb.NodeName{"n2"}, false) }},
		"between two of four":       {4, func(w *world) { w.filter([]lb.NodeName{"n2"}, []lb.NodeName{"n3"}, true) }},
		"between halves":            {4, func(w *world) { w.filter([]lb.NodeName{"n1", "n2"}, []lb.NodeName{"n3", "n4"}, true) }},
		"everywhere":                {5, func(w *world) { w.filter(w.names, w.names, true) }},
		"between the two there are": {2, func(w *world) { w.filter(w.names, w.names, true) }},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, tt.nodes, 12, func(t *testing.T, w *world) {
				before, at := settled(t, w), time.Now()
				if n := w.streams(); n != 0 {
					t.Errorf("%d connections are used although nothing is lost", n)
				}
				tt.lose(w)
				w.pass(10 * time.Second)
				undisturbed(t, w, before, at)
				if w.streams() == 0 {
					t.Error("no connection is used although datagrams are lost")
				}
				w.heal()
				w.pass(2 * time.Second)
				undisturbed(t, w, before, at)
				if n := w.streams(); n != 0 {
					t.Errorf("%d connections are used although nothing is lost any more", n)
				}
			})
		})
	}
}

func TestACrashedOwnerIsReplacedWhileDatagramsAreLost(t *testing.T) {
	var gaps []time.Duration
	defer func() { t.Logf("nobody answered: %s", quantiles(gaps)) }()
	each(t, 4, 12, func(t *testing.T, w *world) {
		w.filter(w.names, w.names, true)
		w.pass(calm)
		at := time.Now()
		w.crash("n2", true)
		w.pass(2 * time.Second)
		settled(t, w)
		gap, twice := w.longestGap(at), w.longestTwice(at)
		gaps = append(gaps, gap)
		if most := w.timing.Silence + 150*time.Millisecond; gap == 0 || gap >= most || twice > 50*time.Millisecond {
			t.Errorf("nobody answered for %s, want less than %s, and two for %s", gap, most, twice)
		}
	})
}

func TestASpeakerThatStartsWhileItsDatagramsAreLostTakesNothing(t *testing.T) {
	each(t, 3, 12, func(t *testing.T, w *world) {
		w.crash("n2", false)
		w.pass(calm)
		w.filter([]lb.NodeName{"n2"}, []lb.NodeName{"n1", "n3"}, true)
		before, at := settled(t, w), time.Now()
		w.run("n2")
		w.pass(10 * time.Second)
		undisturbed(t, w, before, at)
	})
}

func TestARestartWhileDatagramsAreLostMovesNothing(t *testing.T) {
	each(t, 3, 12, func(t *testing.T, w *world) {
		w.filter(w.names, w.names, true)
		w.pass(calm)
		before := settled(t, w)
		w.leave("n2")
		w.pass(3 * time.Second)
		w.run("n2")
		w.pass(calm)
		if diff := cmp.Diff(before, settled(t, w)); diff != "" {
			t.Errorf("owners (-before +after):\n%s", diff)
		}
	})
}

func TestWithoutConnectionsManyAddressesHaveOneOwnerEach(t *testing.T) {
	each(t, 3, 0, func(t *testing.T, w *world) {
		w.refuse()
		w.wants(400) // a state of which is too long for a packet
		w.run(w.names...)
		w.pass(10 * time.Second)
		before := settled(t, w)
		w.crash("n2", false)
		w.pass(10 * time.Second)
		for a, owner := range settled(t, w) {
			if before[a] != "n2" && owner != before[a] {
				t.Errorf("%s moved from %s to %s, which has nothing to do with n2", a, before[a], owner)
			}
		}
	})
}
