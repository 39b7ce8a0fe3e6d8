package mesh

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

func TestOneThatDiesWhileAnotherStartsIsLost(t *testing.T) {
	n := connect(same(standard, 3)...)
	n.dead["node00"] = true
	n.passes(50 * ms)
	n.dead["node01"] = true
	n.passes(50 * ms)
	delete(n.dead, "node00")
	n.machines["node00"] = New("node00", 2, standard)
	n.start("node00")
	n.passes(3 * time.Second)
	n.agreed(t)
}

func TestAllAgreeAgainWhenTheNetworkHeals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := connect(same(standard, rapid.IntRange(2, 6).Draw(t, "speakers"))...)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			cut := map[[2]lb.NodeName]bool{}
			for range rapid.IntRange(0, 8).Draw(t, "cuts") {
				cut[[2]lb.NodeName{rapid.SampledFrom(n.names).Draw(t, "from"), rapid.SampledFrom(n.names).Draw(t, "to")}] = true
			}
			n.cut = func(from, to lb.NodeName) bool { return cut[[2]lb.NodeName{from, to}] }
			name := rapid.SampledFrom(n.names).Draw(t, "who dies or starts")
			if n.dead[name] {
				delete(n.dead, name)
				n.machines[name] = New(name, n.machines[name].incarnation+1, standard)
				n.start(name)
			} else {
				n.dead[name] = true
			}
			n.passes(time.Duration(rapid.IntRange(1, 20).Draw(t, "for")) * 50 * ms)
		}
		n.cut = func(_, _ lb.NodeName) bool { return false }
		n.passes(2 * time.Second)
		n.agreedBy(t)
	})
}

func (n *network) agreedBy(t *rapid.T) {
	for _, name := range n.names {
		for _, p := range n.machines[name].View().Peers {
			if !n.dead[name] && n.dead[p.Node] {
				t.Fatalf("%s counts %s, which is dead", name, p.Node)
			}
		}
		if v := n.machines[name].View(); !n.dead[name] && len(v.Peers) != len(n.names)-len(n.dead)-1 {
			t.Fatalf("%s counts %v", name, live(v))
		}
	}
}

func TestWhoWasNeverHeardStaysSo(t *testing.T) {
	for name, does := range map[string]func(*script){
		"a stall": func(s *script) {
			s.passes(time.Second, "b")
			s.now = s.now.Add(10 * time.Second)
			s.note(s.m.Tick(s.now))
		},
		"a check": func(s *script) { s.note(s.m.Recheck(s.now)) },
	} {
		s := begin(t, "b")
		s.note(s.m.SetPeers(s.now, []lb.NodeName{"a", "b", "c"}))
		does(s)
		if got := s.m.View().Missing; len(got) != 1 || !got[0].Heard.IsZero() {
			t.Errorf("%s: got %v, want c never heard", name, got)
		}
	}
}

func TestWhenADeadOneWasHeardIsNotForgotten(t *testing.T) {
	s := begin(t, "b", "c")
	s.suspects["c"] = []lb.NodeName{"b"}
	heard := s.now
	s.passes(time.Second, "c")
	s.note(s.m.Recheck(s.now))
	if got := s.m.View().Missing; len(got) != 1 || !got[0].Heard.Equal(heard) {
		t.Errorf("got %v, want b heard at %s", got, heard)
	}
}

func TestAStrangerIsNotMissing(t *testing.T) {
	s := begin(t, "b")
	s.hears(&wire.Message{Kind: wire.KindBeat, From: "x", Incarnation: 1, Interval: standard.Beat})
	if got := s.m.View().Missing; len(got) > 0 {
		t.Errorf("missing: got %v, want nobody: nobody expects x", got)
	}
}

func TestWhoSaidDuringAnOwnStallThatHeIsBackIsNotLost(t *testing.T) {
	s := begin(t, "b", "c")
	s.says("b", 1, 2, wire.State{Phase: ownership.Restarting, Back: 5 * time.Second})
	s.passes(time.Second, "c")
	s.now = s.now.Add(10 * time.Second)
	s.note(s.m.Tick(s.now)) // what b said meanwhile waits to be read
	s.lives("after the stall", "b", "c")
}

func TestTwoWhoSuspectAndDenyDoNotFloodEachOther(t *testing.T) {
	n := connect(same(standard, 4)...)
	n.cut = func(from, to lb.NodeName) bool {
		return from == "node02" && to == "node00" || from == "node03" && to == "node01"
	}
	before := n.sent
	n.passes(2 * time.Second)
	// Four tell three, every 90 ms; what is said on top comes from the suspicions.
	regular := 4 * 3 * int(2*time.Second/standard.Beat)
	if got := n.sent - before; got > 2*regular {
		t.Errorf("%d messages in 2 s, want at most twice the %d beats", got, regular)
	}
	for pair := range n.convicted {
		t.Errorf("%s counted %s as dead, which others hear", pair[0], pair[1])
	}
}

func TestOneWhoIsNotHeardFromTheBeginningIsAccusedAfterTheSilence(t *testing.T) {
	accused := func(s *script) []lb.NodeName { return s.takes(wire.KindBeat)["b"].Suspects }
	for name, tt := range map[string]struct {
		beats bool
		want  []lb.NodeName
	}{
		"it is silent":                      {want: []lb.NodeName{"c"}},
		"it beats and has not said a state": {beats: true},
	} {
		s := begin(t, "b")
		s.note(s.m.SetPeers(s.now, []lb.NodeName{"a", "b", "c"}))
		heard := []lb.NodeName{"b"}
		if tt.beats {
			s.said["c"] = &wire.Message{Kind: wire.KindBeat, From: "c", Incarnation: 1, Sequence: 1, Interval: standard.Beat}
			heard = append(heard, "c")
		}
		s.passes(standard.Silence-standard.Beat, heard...)
		if got := accused(s); got != nil {
			t.Errorf("%s: %v are accused before the silence is over", name, got)
		}
		s.passes(2*standard.Beat, heard...)
		if diff := cmp.Diff(tt.want, accused(s)); diff != "" {
			t.Errorf("%s: who is accused (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhoStartsIsAskedBeforeAnotherOneCountsAsDead(t *testing.T) {
	s := begin(t, "b", "c")
	// c is a new process, and what it says of itself was lost on the way.
	s.hears(&wire.Message{Kind: wire.KindBeat, From: "c", Incarnation: 2, Sequence: 1, Interval: standard.Beat})
	s.said["c"].Incarnation = 2
	s.lives("once c is another process", "b")
	s.passes(2*standard.Silence, "c")
	s.lives("when only c is heard, which accuses nobody", "b")
	s.suspects["c"] = []lb.NodeName{"b"}
	s.passes(standard.Beat, "c")
	s.lives("once c accuses it as well")
}

func TestWhoWasHeardLongAgoIsNotAsked(t *testing.T) {
	s := begin(t, "b", "c")
	s.hears(&wire.Message{Kind: wire.KindBeat, From: "c", Incarnation: 2, Sequence: 1, Interval: standard.Beat})
	s.passes(time.Second, "b")
	s.passes(standard.Silence + 5*ms)
	s.lives("after its silence")
}
