package mesh

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

func TestSilentPeer_IsConfirmedUnlessRefuted(t *testing.T) {
	suspecting := func(by, suspect lb.NodeName) func(*script) {
		return func(s *script) { s.peers[by].suspects = []lb.NodeName{suspect} }
	}
	tests := []struct {
		name   string
		others []lb.NodeName // besides b, which is silent
		change func(*script)
		// after which silence of b it is dead, at the earliest and at the latest; zero: never
		after, before time.Duration
	}{
		{name: "there is no other watcher", after: 295 * ms, before: 305 * ms},
		{name: "another one suspects it as well", others: []lb.NodeName{"c"}, after: 295 * ms, before: 400 * ms, change: suspecting("c", "b")},
		{name: "one of two others suspects it as well", others: []lb.NodeName{"c", "d"}, after: 295 * ms, before: 400 * ms, change: suspecting("d", "b")},
		{name: "another one receives from it", others: []lb.NodeName{"c"}},
		{name: "another one suspects a third", others: []lb.NodeName{"c"}, change: suspecting("c", "x")},
		{name: "another one is alive and sends no heartbeats", others: []lb.NodeName{"c"}, after: 595 * ms, before: 610 * ms, change: func(s *script) { s.peers["c"].acksOnly = true }},
		{name: "another one suspected it long ago", others: []lb.NodeName{"c"}, after: 595 * ms, before: 610 * ms, change: func(s *script) {
			suspecting("c", "b")(s)
			s.heartbeat("c")
			s.peers["c"].acksOnly = true
			s.pass(time.Second, "b", "c")
			s.heartbeat("b")
		}},
		{name: "the only other watcher restarts", others: []lb.NodeName{"c"}, after: 295 * ms, before: 305 * ms, change: func(s *script) { s.publish("c", restartingFor(time.Minute)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all := append([]lb.NodeName{"b"}, tt.others...)
			s := begin(t, all...)
			if tt.change != nil {
				tt.change(s)
			}
			if tt.before == 0 {
				s.pass(5*time.Second, tt.others...)
				s.alive("after 5 s", all...)
				return
			}
			s.pass(tt.after, tt.others...)
			s.alive(fmt.Sprint("after ", tt.after), all...)
			s.pass(tt.before-tt.after, tt.others...)
			s.alive(fmt.Sprint("after ", tt.before), tt.others...)
		})
	}
}

func TestSuspicion_IsSentToAllAtOnce(t *testing.T) {
	s := begin(t, "b", "c", "d")
	s.pass(295*ms, "c", "d")
	if got := s.named(); len(got) > 0 {
		t.Errorf("after 295 ms the heartbeats name %v, want nobody", got)
	}
	s.pass(5*ms, "c", "d")
	want := map[lb.NodeName][]wire.NodeID{"b": ids("b"), "c": ids("b"), "d": ids("b")}
	if diff := cmp.Diff(want, s.named()); diff != "" {
		t.Errorf("whom the heartbeats name when b is suspected (-want +got):\n%s", diff)
	}
	s.heartbeat("b")
	s.pass(step, "c", "d")
	if got := s.take(wire.KindHeartbeat); len(got) != 3 || len(got["c"].Suspects) > 0 {
		t.Errorf("when b is received from: got heartbeats %v, want one that names nobody for each", got)
	}
}

func TestSilentPeer_IsAskedBeforeItIsSuspected(t *testing.T) {
	s := begin(t, "b", "c")
	s.pass(standard.Timeout-standard.Interval-step, "c")
	if got := s.take(wire.KindPull); len(got) > 0 {
		t.Errorf("asked %v, want nobody so early", got)
	}
	s.pass(2*step, "c")
	got := s.take(wire.KindPull)
	if len(got) != 1 || got["b"] == nil || len(got["b"].Missing) != 1 || got["b"].MissingOf != 1 {
		t.Errorf("asked %v, want b, for one piece of what is known", got)
	}
	s.deliver("b", wire.Message{Kind: wire.KindAck})
	s.pass(standard.Timeout-standard.Interval-step, "c")
	if got := s.named(); len(got) > 0 {
		t.Errorf("after the answer the heartbeats name %v, want nobody", got)
	}
}

func TestDeadPeer_IsNamedUntilItIsMet(t *testing.T) {
	s := begin(t, "b", "c")
	s.peers["c"].suspects = []lb.NodeName{"b"}
	s.pass(time.Second, "c")
	s.alive("after a second", "c")
	if diff := cmp.Diff(ids("b"), s.named()["c"]); diff != "" {
		t.Errorf("whom the heartbeat names (-want +got):\n%s", diff)
	}
	s.peers["c"].suspects = nil
	s.heartbeat("b")
	s.alive("as soon as it is received from", "b", "c")
	s.take(wire.KindHeartbeat)
	s.pass(standard.Interval, "b", "c")
	if got := s.named(); len(got) > 0 {
		t.Errorf("the heartbeats name %v, want nobody any more", got)
	}
}

func TestDeadPeer_ComesBackWithItsLatestState(t *testing.T) {
	s := begin(t, "b", "c")
	s.peers["c"].suspects = []lb.NodeName{"b"}
	s.pass(time.Second, "c")
	s.peers["c"].suspects = nil
	s.take(wire.KindPull)
	s.peers["b"].sequence = 2
	s.heartbeat("b")
	s.alive("as long as only an old state is known", "c")
	if got := s.take(wire.KindPull); got["b"] == nil {
		t.Error("b was not asked for its state")
	}
	for _, msg := range pieces(active, 0) {
		s.deliver("b", msg)
	}
	s.alive("when its state has come", "b", "c")
}

func TestAbsentPeer_IsNamedAfterTheTimeout(t *testing.T) {
	for name, sends := range map[string]bool{"it is silent": false, "it sends heartbeats and no state": true} {
		s := begin(t, "b")
		s.setPeers("b", "c")
		sending, want := []lb.NodeName{"b"}, ids("c")
		if sends {
			sending, want = append(sending, "c"), nil
		}
		s.pass(standard.Timeout-standard.Interval, sending...)
		if got := s.named(); len(got) > 0 {
			t.Errorf("%s: the heartbeats name %v before the timeout", name, got)
		}
		s.pass(2*standard.Interval, sending...)
		if diff := cmp.Diff(want, s.named()["b"]); diff != "" {
			t.Errorf("%s: whom the heartbeats name (-want +got):\n%s", name, diff)
		}
		s.alive(name, "b")
	}
}

func TestAllSilent(t *testing.T) {
	three := []lb.NodeName{"b", "c", "d"}
	for _, tt := range []struct {
		name string
		does func(*script)
		want []lb.NodeName
	}{
		{"all are lost after the timeout", func(s *script) { s.pass(310 * ms) }, nil},
		{"none is lost before", func(s *script) { s.pass(205 * ms) }, three},
		{"all but one are lost", func(s *script) { s.peers["d"].suspects = three[:2]; s.pass(5*time.Second, "d") }, three[2:]},
		{"a restarting one is not lost with the others", func(s *script) { s.publish("b", restartingFor(time.Minute)); s.pass(310 * ms) }, three[:1]},
		{"one is alive again when it is received from", func(s *script) { s.pass(time.Second); s.heartbeat("c") }, three[1:2]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, three...)
			s.pass(time.Second, three...)
			tt.does(s)
			s.alive("in the end", tt.want...)
		})
	}
}

func TestNewProcess_RefutesNothingAfterTheTimeout(t *testing.T) {
	s := begin(t, "b", "c")
	s.restart("c")
	s.heartbeat("c") // what it published was lost
	s.alive("once c is another process", "b")
	s.pass(2*standard.Timeout, "c")
	s.alive("when only c is received from, which names nobody", "b")
	s.peers["c"].suspects = []lb.NodeName{"b"}
	s.pass(standard.Interval, "c")
	s.alive("once c names it as well")
}

func TestOwnStall_IsExcused(t *testing.T) {
	s := begin(t, "b", "c")
	s.pass(time.Second, "b", "c")
	s.now = s.now.Add(10 * time.Second)
	s.note(s.m.Tick(s.now))
	s.alive("after the stall", "b", "c")
	if got := s.named(); len(got) > 0 {
		t.Errorf("the heartbeats name %v, want nobody", got)
	}
	s.pass(310*ms, "c")
	if diff := cmp.Diff(ids("b"), s.named()["c"]); diff != "" {
		t.Errorf("whom the heartbeats name when b is silent after the stall as well (-want +got):\n%s", diff)
	}
}

func TestReceived_OfMissingPeersIsNotChanged(t *testing.T) {
	for name, does := range map[string]func(*script){
		"a stall": func(s *script) { s.now = s.now.Add(10 * time.Second); s.note(s.m.Tick(s.now)) },
		"a check": func(s *script) { s.note(s.m.Recheck(s.now, 0)) },
	} {
		s := begin(t, "b", "c", "d")
		s.setPeers("b", "c", "d", "x")
		received := s.now
		s.peers["c"].suspects, s.peers["d"].suspects = []lb.NodeName{"b"}, []lb.NodeName{"b"}
		s.pass(time.Second, "c", "d")
		does(s)
		if diff := cmp.Diff([]MissingPeer{{Node: "b", Received: received}, {Node: "x"}}, s.m.View().Missing); diff != "" {
			t.Errorf("%s: who is missing (-want +got):\n%s", name, diff)
		}
	}
}

func TestNext(t *testing.T) {
	t.Run("a clock that ticks only when it is due finds the same", func(t *testing.T) {
		s := begin(t, "b")
		begun := s.now
		for ticks := 0; len(s.m.View().Peers) > 0; ticks++ {
			next := s.m.Next(s.now)
			if !next.After(s.now) || ticks > 100 {
				t.Fatalf("after tick %d at %s the next is due at %s", ticks, s.now, next)
			}
			s.now = next
			s.note(s.m.Tick(s.now))
		}
		if got := s.now.Sub(begun); got != standard.Timeout {
			t.Errorf("b is lost after %s, want %s", got, standard.Timeout)
		}
	})
	t.Run("it is always later, also when a suspicion is refuted for long", func(t *testing.T) {
		s := begin(t, "b", "c")
		for range 300 {
			s.pass(step, "c")
			if next := s.m.Next(s.now); !next.After(s.now) {
				t.Fatalf("at %s the next tick is due at %s", s.now, next)
			}
		}
		s.alive("c refutes it", "b", "c")
	})
	t.Run("a restarting one is lost at its time", func(t *testing.T) {
		s := begin(t, "b", "c")
		s.publish("b", restartingFor(1001*ms))
		begun := s.now
		for len(s.m.View().Peers) > 1 {
			s.now = s.m.Next(s.now)
			s.heartbeat("c")
			s.note(s.m.Tick(s.now))
		}
		if got := s.now.Sub(begun); got != 1001*ms {
			t.Errorf("b is lost after %s, want 1.001s", got)
		}
	})
}

func TestHeartbeats_OfOneProfileAreAligned(t *testing.T) {
	for _, timing := range []Timing{relaxed, standard, fast} {
		for i := range 20 {
			m, now := New("a", timing), time.Unix(1000, 0).Add(time.Duration(i)*7*ms)
			m.Tick(now)
			first := m.Next(now)
			if wait := first.Sub(now); wait <= 0 || wait > timing.Interval || !first.Equal(first.Truncate(timing.Interval)) {
				t.Errorf("at %s the first heartbeat is due at %s, want a multiple of %s", now, first, timing.Interval)
			}
			m.Tick(first)
			if wait := m.Next(first).Sub(first); wait != timing.Interval {
				t.Errorf("the second heartbeat follows after %s, want %s", wait, timing.Interval)
			}
		}
	}
}

func TestPeers_ComeAndGo(t *testing.T) {
	s := begin(t, "b")
	s.setPeers("b", "c")
	if diff := cmp.Diff([]MissingPeer{{Node: "c"}}, s.m.View().Missing); diff != "" {
		t.Errorf("who is missing (-want +got):\n%s", diff)
	}
	s.setPeers()
	s.alive("although it should not be there", "b")
	if got := s.m.Peers(); !slices.Equal(got, []lb.NodeName{"b"}) {
		t.Errorf("Peers: got %v, want b", got)
	}
	s.pass(time.Second)
	s.alive("after it fell silent")
	if v := s.m.View(); len(v.Missing) > 0 || len(s.m.Peers()) > 0 {
		t.Errorf("Missing: %v, Peers: %v, want none", v.Missing, s.m.Peers())
	}
	if got := s.m.NoteMet(s.now, "stranger", wire.Instance{1}); got != nil {
		t.Errorf("Met with a stranger: got %v, want nothing sent", got)
	}
	if got := s.m.Receive(s.now, "stranger", wire.Instance{1}, &wire.Message{Kind: wire.KindPull}); got != nil {
		t.Errorf("Receive from a stranger: got %v, want nothing sent", got)
	}
}

func TestRelayedState(t *testing.T) {
	first, second := wire.Instance{1}, wire.Instance{2}
	silent := func(s *script, d time.Duration) { s.pass(d, "c", "d") }
	relay := func(s *script, instance wire.Instance, sequence uint64, state wire.State) {
		for _, msg := range relayedPieces("b", instance, sequence, state) {
			s.deliver("c", msg)
		}
	}
	other := wire.State{Phase: ownership.Active, Claims: ownership.Claims{vip: 9}}
	for _, tt := range []struct {
		name string
		does func(*script)
		want *wire.State // of b; nil: it is dead
	}{
		{"of a peer that is received from is ignored", func(s *script) { relay(s, first, 9, other) }, &active},
		{"of a peer that is suspected is taken", func(s *script) { silent(s, standard.Timeout); relay(s, first, 2, other) }, &other},
		{"that is older than what is known is ignored", func(s *script) {
			s.publish("b", active)
			silent(s, standard.Timeout)
			relay(s, first, 1, other)
		}, &active},
		{"of a new instance is taken", func(s *script) { silent(s, standard.Timeout); relay(s, second, 1, other) }, &other},
		{"of an instance that has been replaced is ignored", func(s *script) {
			s.restart("b")
			s.publish("b", active)
			silent(s, standard.Timeout)
			relay(s, first, 9, other)
		}, &active},
		{"keeps a peer alive as long as another one receives from it", func(s *script) {
			silent(s, standard.Timeout)
			relay(s, first, 2, other)
			silent(s, 5*time.Second)
		}, &other},
		{"does so no longer when all suspect it", func(s *script) {
			silent(s, standard.Timeout)
			relay(s, first, 2, other)
			s.peers["c"].suspects = []lb.NodeName{"b"}
			silent(s, standard.Interval)
		}, nil},
		{"does not bring back a peer that others call dead", func(s *script) {
			s.peers["d"].suspects = []lb.NodeName{"b"}
			silent(s, standard.Timeout+standard.Interval)
			for range 20 {
				relay(s, first, 2, other)
				silent(s, standard.Interval)
			}
		}, nil},
		{"brings back a peer that nobody calls dead any more", func(s *script) {
			s.peers["d"].suspects = []lb.NodeName{"b"}
			silent(s, standard.Timeout+standard.Interval)
			s.peers["d"].suspects = nil
			silent(s, standard.Interval)
			relay(s, first, 2, other)
		}, &other},
		{"of this speaker is ignored", func(s *script) {
			for _, msg := range relayedPieces("a", first, 9, other) {
				s.deliver("c", msg)
			}
		}, &active},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c", "d")
			tt.does(s)
			got, is := s.state("b")
			if is != (tt.want != nil) {
				t.Fatalf("b is alive: %v, want %v", is, tt.want != nil)
			}
			if is {
				if diff := cmp.Diff(*tt.want, got, byValue, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("the state of b (-want +got):\n%s", diff)
				}
			}
			if s.flips["b"] > 2 {
				t.Errorf("b became alive or dead %d times, want at most 2", s.flips["b"])
			}
		})
	}
}

func TestSuspicionOfAPeer_IsRefutedWithItsState(t *testing.T) {
	s := begin(t, "b", "c")
	s.peers["c"].suspects = []lb.NodeName{"b"}
	s.heartbeat("c")
	if got := s.take(wire.KindState)["c"]; got == nil || got.Piece.About != wire.IDOf("b") || got.Piece.Sequence != 1 {
		t.Errorf("sent %+v, want the state of b", got)
	}
	s.heartbeat("c")
	if len(s.sent) > 0 {
		t.Errorf("sent %v at the same moment, want nothing more", s.sent)
	}
	s.pass(standard.Interval, "b")
	s.sent = nil
	s.heartbeat("c")
	got := s.take(wire.KindHeartbeat)
	if known := []wire.KnownState{s.m.peers["b"].knownState()}; len(got) != 1 || !slices.Equal(got["c"].Known, known) {
		t.Errorf("later: sent %+v, want a heartbeat to c that names the state of b", got)
	}
	s.pass(standard.Interval, "b")
	s.sent = nil
	s.heartbeat("c")
	if states := s.take(wire.KindState); len(states) > 0 {
		t.Errorf("later: states %v, want none again", states)
	}
}

func TestRefutation_NamesManyStatesInTurn(t *testing.T) {
	others := nodes(20)
	s := begin(t, append([]lb.NodeName{"c"}, others...)...)
	s.peers["c"].suspects = others
	named := map[wire.NodeID]bool{}
	for range 3 {
		s.pass(standard.Interval, others...)
		s.sent = nil
		s.heartbeat("c")
		for _, known := range s.take(wire.KindHeartbeat)["c"].Known[:wire.MaxKnownStates] {
			named[known.ID] = true
		}
	}
	if len(named) != len(others) {
		t.Errorf("three heartbeats name %d states, want %d", len(named), len(others))
	}
}

func TestUnreached_WhileGreetingsBecomeRare(t *testing.T) {
	s := begin(t, "b", "c", "d")
	s.pass(standard.Timeout, "c", "d")
	is := func() bool { return slices.Contains(s.m.View().Unreached, "b") }
	pause := 300 * ms
	for begun := s.now; s.now.Sub(begun) < 20*time.Second; pause = min(2*pause, 2*time.Second) {
		for range 2 { // one for each key
			s.m.NoteGreeted(s.now, "b", s.peers["b"].instance, false)
		}
		for at := s.now; s.now.Sub(at) < pause; {
			s.pass(50*ms, "c", "d")
			if s.now.Sub(begun) > time.Second && !is() {
				t.Fatalf("b is not unreached %s after its last greeting, with pauses of %s", s.now.Sub(at), pause)
			}
		}
	}
	s.pass(5*time.Second, "c", "d")
	if is() {
		t.Error("b is unreached 7 s after its last greeting")
	}
	s.m.NoteGreeted(s.now, "b", s.peers["b"].instance, false)
	s.heartbeat("b")
	s.pass(standard.Interval, "c", "d")
	if is() {
		t.Error("b is unreached although a heartbeat came")
	}
}

// A silent peer may receive from no speaker. That does not show that the messages of this speaker are lost.
func TestUnreached_SilentPeerIsNot(t *testing.T) {
	s := begin(t, "b", "c", "d")
	s.pass(standard.Timeout, "c", "d")
	for _, silent := range []bool{false, true, false} {
		for range 10 {
			s.m.NoteGreeted(s.now, "b", s.peers["b"].instance, silent)
			s.pass(200*ms, "c", "d")
		}
		if got := slices.Contains(s.m.View().Unreached, "b"); got == silent {
			t.Errorf("b greets, silent: %v: got unreached: %v", silent, got)
		}
	}
}

// Two recordings that were made long apart are no series of greetings.
func TestUnreached_GreetingsFarApart(t *testing.T) {
	s := begin(t, "b", "c", "d")
	for range 2 {
		s.pass(10*time.Second, "c", "d")
		s.m.NoteGreeted(s.now, "b", s.peers["b"].instance, false)
	}
	s.pass(500*ms, "c", "d")
	if got := s.m.View().Unreached; len(got) > 0 {
		t.Errorf("unreached: got %v, want nobody", got)
	}
}

// A process that stood still receives greetings from before at once.
func TestUnreached_AfterAStall(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first func(*script) // of what is due when the process runs again
	}{
		{"a greeting comes first", func(s *script) { s.m.NoteGreeted(s.now, "b", s.peers["b"].instance, false) }},
		{"the machine ticks first", func(s *script) { s.m.Tick(s.now); s.m.NoteGreeted(s.now, "b", s.peers["b"].instance, false) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c", "d")
			s.pass(standard.Timeout, "c", "d")
			for range 10 {
				s.m.NoteGreeted(s.now, "b", s.peers["b"].instance, false)
				s.pass(300*ms, "c", "d")
			}
			if !slices.Contains(s.m.View().Unreached, "b") {
				t.Fatal("b is not unreached while it asks for a session")
			}
			s.now = s.now.Add(6 * time.Second)
			tt.first(s)
			s.pass(unreachedTime+standard.Interval, "c", "d")
			if slices.Contains(s.m.View().Unreached, "b") {
				t.Error("b is unreached although it has not asked for a second: got the pause of 6 s as one between greetings")
			}
		})
	}
}

// A speaker that restarts where its frames reach others and theirs do not reach it never has a session
// with them. The peers that it reaches have its process from a third speaker.
func TestUnreached_ProcessThatWasNeverMet(t *testing.T) {
	for _, tt := range []struct {
		name             string
		vouched, greeted byte
		want             bool
	}{
		{"another speaker has vouched for the process", 2, 2, true},
		{"recording of another process", 2, 3, false},
		{"nobody has vouched for it", 1, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c", "d")
			s.pass(standard.Timeout, "c", "d")
			if b := s.m.peers["b"]; tt.vouched != 1 {
				s.m.renewInstance(s.now, b, wire.Instance{tt.vouched})
			}
			for range 5 {
				s.m.NoteGreeted(s.now, "b", wire.Instance{tt.greeted}, false)
				s.pass(300*ms, "c", "d")
			}
			if got := slices.Contains(s.m.View().Unreached, "b"); got != tt.want {
				t.Errorf("got unreached: %v, want %v", got, tt.want)
			}
		})
	}
}
