package mesh

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

func TestRestart(t *testing.T) {
	claims := ownership.Claims{vip: 7}
	restarting := restartingFor(5 * time.Second)
	starting := wire.State{Claims: ownership.Claims{}}
	claiming := wire.State{Phase: ownership.Active, Claims: claims}
	tests := []struct {
		name string
		does func(*script)
		// what is known of b in the end; nil: it is dead
		want *wire.State
	}{
		{"its state stays until its time is up", func(s *script) { s.pass(4990*ms, "c") }, &restarting},
		{"it is lost when its time is up", func(s *script) { s.pass(5*time.Second, "c") }, nil},
		{"it is lost when its time is up, although its process still sends", func(s *script) { s.pass(8*time.Second, "b", "c") }, nil},
		{"its process publishes that it goes on after its time was up", func(s *script) {
			s.pass(8*time.Second, "b", "c")
			s.publish("b", claiming)
		}, &claiming},
		{"a new process that is starting keeps the state of the old one", func(s *script) {
			s.pass(time.Second, "c")
			s.restart("b")
			s.publish("b", starting)
			s.pass(time.Second, "b", "c")
		}, &restarting},
		{"a new process that sends only heartbeats keeps the state of the old one", func(s *script) { s.restart("b"); s.heartbeat("b") }, &restarting},
		{"a new process that stops while it is starting is lost when the time is up", func(s *script) {
			s.restart("b")
			s.publish("b", starting)
			s.pass(5*time.Second, "b", "c")
			s.pass(time.Second, "c")
		}, nil},
		{"a new process that is starting has only its own state when the time is up", func(s *script) {
			s.restart("b")
			s.publish("b", starting)
			s.pass(8*time.Second, "b", "c")
			for _, msg := range pieces(starting, 0) { // it is asked for it
				s.deliver("b", msg)
			}
			s.pass(time.Second, "b", "c")
		}, &starting},
		{"a new process publishes what it has", func(s *script) {
			s.restart("b")
			s.publish("b", starting)
			s.publish("b", claiming)
		}, &claiming},
		{"a crash ends at once what was there", func(s *script) {
			s.publish("b", claiming)
			s.restart("b")
			s.heartbeat("b")
		}, nil},
		{"after a crash it is alive again when it publishes something", func(s *script) {
			s.publish("b", claiming)
			s.restart("b")
			s.publish("b", starting)
		}, &starting},
		{"a dead kernel ends the wait when another one agrees", func(s *script) {
			s.peers["c"].suspects = []lb.NodeName{"b"}
			s.pass(standard.Timeout, "c")
			s.note(s.m.NoteVanished(s.now, "b"))
		}, nil},
		{"a dead kernel ends the wait when another one agrees later", func(s *script) {
			s.pass(standard.Timeout, "c")
			s.note(s.m.NoteVanished(s.now, "b"))
			s.pass(standard.Timeout/2, "c")
			s.peers["c"].suspects = []lb.NodeName{"b"}
			s.pass(standard.Interval, "c")
		}, nil},
		{"a dead kernel ends the wait when nobody is there to agree", func(s *script) {
			s.pass(2 * standard.Timeout)
			s.note(s.m.NoteVanished(s.now, "b"))
		}, nil},
		{"a kernel that answers others does not end the wait", func(s *script) {
			s.pass(standard.Timeout, "c")
			s.note(s.m.NoteVanished(s.now, "b"))
			s.pass(2*time.Second, "c")
		}, &restarting},
		{"a kernel that does not answer does not end it while the process sends", func(s *script) {
			for range 20 {
				s.pass(standard.Interval, "b", "c")
				s.note(s.m.NoteVanished(s.now, "b"))
			}
		}, &restarting},
		{"a dead kernel of an active one is not taken into account", func(s *script) {
			s.restart("b")
			s.publish("b", claiming)
			s.note(s.m.NoteVanished(s.now, "b"))
		}, &claiming},
		{"its silence is no suspicion", func(s *script) {
			s.sent = nil
			s.pass(2*time.Second, "c")
			if got := s.named(); len(got) > 0 {
				s.t.Errorf("the heartbeats name %v, want nobody", got)
			}
		}, &restarting},
		{"its time is up during an own stall: what it sent meanwhile is read first", func(s *script) {
			s.pass(time.Second, "c")
			s.now = s.now.Add(10 * time.Second)
			s.note(s.m.Tick(s.now)) // what b sent meanwhile waits to be read
		}, &restarting},
		{"its time is up during an own stall, and it sent nothing", func(s *script) {
			s.pass(time.Second, "c")
			s.now = s.now.Add(10 * time.Second)
			s.pass(standard.Timeout+step, "c")
		}, nil},
		{"its time is up when others count it as up, although this process stood still", func(s *script) {
			s.pass(time.Second, "c")
			s.now = s.now.Add(2 * time.Second)
			s.pass(2*time.Second, "c")
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c")
			s.publish("b", restarting)
			if diff := cmp.Diff([]lb.NodeName{"b"}, s.m.ProbedNodes()); diff != "" {
				t.Errorf("whose kernels are to be probed (-want +got):\n%s", diff)
			}
			tt.does(s)
			got, is := s.state("b")
			switch {
			case is != (tt.want != nil):
				t.Errorf("b is alive: %v, want %v", is, tt.want != nil)
			case is:
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

func TestStartingPeer_IsSentTheStateOfThoseThatRestart(t *testing.T) {
	for name, does := range map[string]func(*script){
		"it starts": func(s *script) { s.restart("c"); s.heartbeat("c") },
		"it pulls":  func(s *script) { s.deliver("c", wire.Message{Kind: wire.KindPull}) },
	} {
		s := begin(t, "b", "c", "d")
		s.publish("b", restartingFor(5*time.Second))
		s.pass(time.Second, "c", "d")
		s.sent = nil
		does(s)
		var got []OutgoingMessage
		for _, send := range s.sent {
			if send.Message.Piece.About != 0 {
				got = append(got, send)
			}
		}
		if len(got) != 1 || got[0].To != "c" {
			t.Fatalf("%s: got %v, want one state relayed to c", name, got)
		}
		piece := got[0].Message.Piece
		state, err := wire.JoinState([][]byte{piece.Data})
		if err != nil || piece.About != wire.IDOf("b") || piece.Sequence != 2 || piece.Back != 4*time.Second || state.Claims[vip] != 7 {
			t.Errorf("%s: relayed %+v, %+v, error %v, want the second state of b, back in 4 s", name, piece, state, err)
		}
	}
}

func TestSuspectedRestart_IsRelayed(t *testing.T) {
	for _, tt := range []struct {
		name string
		does func(*script)
		want int // states of b that are sent to c
	}{
		{"to one that suspects the peer", func(s *script) { s.pass(standard.Timeout, "c", "d") }, 1},
		{"again in case that it was lost", func(s *script) { s.pass((relayAgainTimeouts+1)*standard.Timeout, "c", "d") }, 2},
		{"not when its time is up", func(s *script) {
			s.peers["c"].suspects = nil
			s.pass(5*time.Second, "c", "d")
			s.sent, s.peers["c"].suspects = nil, []lb.NodeName{"b"}
			s.pass(standard.Timeout, "c", "d")
		}, 0},
		{"not when its kernel does not answer", func(s *script) {
			s.now = s.now.Add(standard.Timeout)
			s.note(s.m.NoteVanished(s.now, "b"))
			s.pass(standard.Timeout, "c", "d")
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c", "d")
			s.publish("b", restartingFor(5*time.Second))
			s.sent, s.peers["c"].suspects = nil, []lb.NodeName{"b"}
			tt.does(s)
			got := map[lb.NodeName]int{}
			for _, send := range s.sent {
				if send.Message.Piece.About == wire.IDOf("b") {
					got[send.To]++
				}
			}
			if diff := cmp.Diff(map[lb.NodeName]int{"c": tt.want}, got, cmpopts.IgnoreMapEntries(func(_ lb.NodeName, n int) bool { return n == 0 })); diff != "" {
				t.Errorf("states of b that are sent, by receiver (-want +got):\n%s", diff)
			}
		})
	}
}

// A peer has received nothing from a speaker before it restarts. Others relay the restart.
func TestRelayedRestart_IsJudgedByOthers(t *testing.T) {
	for _, tt := range []struct {
		name string
		does func(*script)
		want []lb.NodeName // that are alive
	}{
		{"it counts as restarting while one vouches for it", func(s *script) { s.peers["d"].suspects = []lb.NodeName{"b"} }, []lb.NodeName{"b", "c", "d"}},
		{"it is lost when all call it dead", func(s *script) { s.peers["c"].suspects, s.peers["d"].suspects = []lb.NodeName{"b"}, []lb.NodeName{"b"} }, []lb.NodeName{"c", "d"}},
		{"an own stall changes nothing", func(s *script) {
			s.now = s.now.Add(time.Second)
			s.note(s.m.Tick(s.now))
		}, []lb.NodeName{"b", "c", "d"}},
		{"neither does asking all anew", func(s *script) { s.note(s.m.Recheck(s.now, 0)) }, []lb.NodeName{"b", "c", "d"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c", "d")
			s.pass(standard.Timeout+standard.Interval, "c", "d")
			for _, msg := range relayedPieces("b", wire.Instance{1}, 2, restartingFor(5*time.Second)) {
				s.deliver("c", msg)
			}
			tt.does(s)
			s.pass(standard.Interval, "c", "d")
			s.sent = nil
			s.pass(standard.Interval, "c", "d")
			s.alive("in the end", tt.want...)
			if got := s.m.ProbedNodes(); len(got) > 0 {
				t.Errorf("the kernel of %v is probed, want none: it may be out of reach", got)
			}
			if got := s.named(); len(got) == 0 {
				t.Error("the heartbeats name nobody, want b: what it publishes next is relayed to those that name it")
			}
		})
	}
}

// A peer whose restart others still relay stays dead where its kernel does not answer.
func TestRelayedRestart_DoesNotBringBackADeadPeer(t *testing.T) {
	s := begin(t, "b", "c")
	s.publish("b", restartingFor(5*time.Second))
	relay := func(instance byte, sequence uint64, state wire.State) {
		for _, msg := range relayedPieces("b", wire.Instance{instance}, sequence, state) {
			s.deliver("c", msg)
		}
	}
	s.peers["c"].suspects = []lb.NodeName{"b"}
	s.pass(standard.Timeout, "c")
	s.note(s.m.NoteVanished(s.now, "b"))
	s.peers["c"].suspects = nil
	s.heartbeat("c")
	relay(1, 2, restartingFor(4*time.Second))
	s.alive("its restart is relayed", "c")
	s.sent = nil
	s.deliver("c", wire.Message{Kind: wire.KindHeartbeat, Known: []wire.KnownState{{ID: wire.IDOf("b"), Process: [4]byte{1}, Sequence: 2}}})
	s.pass(standard.Timeout, "c")
	if got := s.take(wire.KindPull)["c"]; got != nil {
		t.Errorf("c names its restart: c is asked for it (%+v), want no question", got)
	}
	relay(2, 1, active)
	s.alive("its next process is relayed", "b", "c")
}

// A speaker that is cut from all others loses a restarting peer as well, since the kernel of the peer is out of
// reach. Once it receives from others again, they relay the restart.
func TestRelayedRestart_BringsBackAPeerThatWasLostInACut(t *testing.T) {
	s := begin(t, "b", "c", "d")
	s.publish("b", restartingFor(5*time.Second))
	s.pass(standard.Timeout + standard.Interval) // c and d are lost
	s.note(s.m.NoteVanished(s.now, "b"))
	s.alive("during the cut")
	s.pass(standard.Interval)
	for _, msg := range relayedPieces("b", wire.Instance{1}, 2, restartingFor(4*time.Second)) {
		s.deliver("c", msg)
	}
	if got, is := s.state("b"); !is || got.Claims[vip] != 7 {
		t.Errorf("after the cut c relays the restart of b: got %+v, alive: %v, want the relayed state", got, is)
	}
}

// A peer restarts just after the end of a cut, before all others have received from it again: those still
// suspect it.
func TestRelayedRestart_IsAcceptedWhileOthersSuspectThePeer(t *testing.T) {
	s := begin(t, "b", "c", "d")
	s.peers["d"].suspects = []lb.NodeName{"b"}
	s.pass(standard.Timeout+standard.Interval, "c", "d")
	s.alive("during the cut", "c", "d")
	relay := func(state wire.State, sequence uint64) {
		for _, msg := range relayedPieces("b", wire.Instance{1}, sequence, state) {
			s.deliver("c", msg)
		}
	}
	relay(active, 2)
	s.alive("a state of b is relayed that does not restart", "c", "d")
	relay(restartingFor(4*time.Second), 3)
	s.alive("the restart of b is relayed", "b", "c", "d")
	s.peers["c"].suspects = []lb.NodeName{"b"}
	s.heartbeat("c")
	s.alive("all others find it dead", "c", "d")
}

func TestRelayedRestart_IsQueuedUntilItsTime(t *testing.T) {
	s := begin(t, "c")
	s.setPeers("b", "c")
	for _, msg := range relayedPieces("b", wire.Instance{1}, 2, restartingFor(time.Second)) {
		s.deliver("c", msg)
	}
	s.pass(995*ms, "c")
	if got, is := s.state("b"); !is || got.Claims[vip] != 7 {
		t.Errorf("before its time is up: got %+v, alive: %v, want the relayed state", got, is)
	}
	s.pass(step, "c")
	s.alive("when its time is up", "c")
}

func TestAcknowledged(t *testing.T) {
	s := begin(t, "b", "c")
	publish := func() { s.note(s.m.Publish(s.now, restartingFor(10*time.Second))) }
	ack := func(from lb.NodeName, sequence uint64) {
		s.deliver(from, wire.Message{Kind: wire.KindAck, Acked: sequence})
	}
	want := func(when string, want bool) {
		t.Helper()
		if got := s.m.IsAcknowledged(); got != want {
			t.Errorf("%s: acknowledged %v, want %v", when, got, want)
		}
	}
	publish()
	want("at first", false)
	ack("b", 2)
	want("after one of two", false)
	ack("c", 1)
	want("after the other acted on an earlier state", false)
	ack("c", 2)
	want("after both", true)
	ack("c", 1)
	want("after an ack came late", true)
	s.restart("c")
	s.publish("c", active)
	want("when one has started anew since", false)
	publish()
	want("after a new state", false)
	ack("b", 3)
	s.publish("c", restartingFor(time.Minute))
	want("when the other restarts itself", true)
}

func TestActed_SendsAcks(t *testing.T) {
	s := begin(t, "b", "c")
	old := s.m.View()
	s.publish("b", restartingFor(10*time.Second))
	view := s.m.View()
	for _, tt := range []struct {
		name string
		view View
		want int
	}{{"an old view", old, 0}, {"the view", view, 1}, {"the view once more", view, 0}} {
		s.sent = nil
		s.note(s.m.NoteActed(s.now, tt.view))
		if got := s.take(wire.KindAck); len(got) != tt.want || tt.want > 0 && (got["b"] == nil || got["b"].Acked != 2) {
			t.Errorf("acted on %s: sent %v, want %d acks, of the second state of b", tt.name, got, tt.want)
		}
	}
	s.heartbeat("b")
	if got := s.take(wire.KindAck); got["b"] == nil || got["b"].Acked != 2 {
		t.Errorf("b still sends heartbeats: sent %v, want the ack of its second state again", got)
	}
}

func TestRecheck(t *testing.T) {
	answer := func(s *script, from lb.NodeName, nonce uint64) {
		for _, msg := range pieces(active, nonce) {
			s.deliver(from, msg)
		}
	}
	for _, tt := range []struct {
		name string
		does func(*script, uint64)
		want bool
	}{
		{name: "nobody has answered", does: func(*script, uint64) {}},
		{name: "one has answered", does: func(s *script, n uint64) { answer(s, "b", n) }},
		{name: "all have answered", does: func(s *script, n uint64) { answer(s, "b", n); answer(s, "c", n) }, want: true},
		{name: "one answers with a new state", does: func(s *script, n uint64) { s.peers["b"].sequence = 2; answer(s, "b", n); answer(s, "c", n) }, want: true},
		{name: "an answer to an earlier question does not count", does: func(s *script, n uint64) { answer(s, "b", n); answer(s, "c", n-1) }},
		{name: "a state that was not asked for does not count", does: func(s *script, n uint64) { answer(s, "b", n); s.publish("c", active) }},
		{name: "heartbeats do not count", does: func(s *script, _ uint64) { s.pass(400*ms, "b", "c") }},
		{name: "peers that never answer are not waited for longer", does: func(s *script, _ uint64) { s.pass(2*standard.Timeout, "b", "c") }, want: true},
		{name: "one that dies meanwhile owes nothing", does: func(s *script, n uint64) {
			answer(s, "b", n)
			s.peers["b"].suspects = []lb.NodeName{"c"}
			s.pass(time.Second, "b")
		}, want: true},
		{name: "one that restarts meanwhile owes nothing", does: func(s *script, n uint64) { answer(s, "b", n); s.publish("c", restartingFor(time.Minute)) }, want: true},
		{name: "asked again, earlier answers do not count", does: func(s *script, n uint64) {
			answer(s, "b", n)
			answer(s, "c", n)
			s.note(s.m.Recheck(s.now, 0))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c")
			s.note(s.m.Recheck(s.now, 0))
			s.sent = nil
			s.note(s.m.Recheck(s.now, 0))
			asked := s.take(wire.KindPull)
			if len(asked) != 2 || asked["b"].Nonce == 0 || asked["b"].Nonce != asked["c"].Nonce {
				t.Fatalf("asked %v, want b and c with the same nonce", asked)
			}
			before := s.m.Version()
			tt.does(s, asked["b"].Nonce)
			if got := s.m.View().Checked; got != tt.want {
				t.Errorf("checked: got %v, want %v", got, tt.want)
			}
			if tt.want && s.m.Version() == before {
				t.Error("the view has no new version, want one as it is checked")
			}
			s.sent = nil
			s.pass(standard.Interval, alive(s.m.View())...)
			if got := s.take(wire.KindPull); (len(got) > 0) == tt.want {
				t.Errorf("an interval later %v is asked again, checked: %v", got, tt.want)
			}
		})
	}
}

func TestRecheck_GivesOthersTime(t *testing.T) {
	s := begin(t, "b", "c")
	s.pass(280*ms, "c")
	s.note(s.m.Recheck(s.now, 0))
	s.sent = nil
	s.pass(200*ms, "c")
	if got := s.named(); len(got) > 0 {
		t.Errorf("the heartbeats name %v, want nobody so soon", got)
	}
}

// Until the new process of a restarting speaker publishes a state, the state is that of the process before. It is not
// reported any more when the process does not send, or is replaced.
func TestStartingPeer_IsReported(t *testing.T) {
	for _, tt := range []struct {
		name string
		does func(*script)
		want bool
	}{
		{"as long as it sends", func(s *script) { s.pass(5*time.Second, "b", "c") }, true},
		{"not when it knows what it has", func(s *script) { s.publish("b", active) }, false},
		{"not when it sends no more", func(s *script) { s.pass(startTimeout+standard.Interval, "c") }, false},
		{"not when another process is there", func(s *script) { s.restart("b"); s.heartbeat("b") }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, "b", "c")
			s.publish("b", restartingFor(10*time.Second))
			starting := func() bool { return s.m.View().Peers[0].Starting }
			before := starting()
			s.restart("b")
			s.publish("b", wire.State{Phase: ownership.Starting})
			if phase := s.m.View().Peers[0].State.Phase; before || !starting() || phase != ownership.Restarting {
				t.Fatalf("starting before and while it starts: got %v, %v (%s), want false, true (Restarting)", before, starting(), phase)
			}
			tt.does(s)
			if got := starting(); got != tt.want {
				t.Errorf("starting in the end: got %v, want %v", got, tt.want)
			}
		})
	}
}

// What a process that stood still knows of a peer is of before: it refutes no suspicion with it.
func TestRecheck_RefutesNothingBeforeThePeerHasAnswered(t *testing.T) {
	s := begin(t, "b", "c")
	s.publish("b", active)
	s.pass(standard.Timeout, "b", "c")
	s.note(s.m.Recheck(s.now, 0))
	relayed := func() (states int) {
		s.sent, s.peers["c"].suspects = nil, []lb.NodeName{"b"}
		s.now = s.now.Add(standard.Interval)
		s.heartbeat("c")
		for _, send := range s.sent {
			if send.To == "c" && send.Message.Piece.About == wire.IDOf("b") {
				states++
			}
		}
		return states
	}
	if got := relayed(); got != 0 {
		t.Errorf("before b has answered: %d states of b are sent to c, which suspects it, want none", got)
	}
	for _, msg := range pieces(active, s.m.nonce) {
		s.deliver("b", msg)
	}
	if got := relayed(); got != 1 {
		t.Errorf("when b has answered: %d states of b are sent to c, want 1", got)
	}
}
