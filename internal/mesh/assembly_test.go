package mesh

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// claiming returns an active state with that many claims.
func claiming(count int) wire.State {
	s := wire.State{Phase: ownership.Active, Claims: ownership.Claims{}}
	for i := range count {
		s.Claims[netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})] = ownership.Epoch(count)
	}
	return s
}

// claims returns how many claims of a peer are in the view.
func (s *script) claims(node lb.NodeName) int {
	state, _ := s.state(node)
	return len(state.Claims)
}

func TestPieces_AnyOrderAndTwice(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := begin(t, "b", "c")
		var messages []wire.Message
		for i, state := range []wire.State{claiming(1000), claiming(2000), claiming(500)} {
			split := pieces(state, 0)
			for _, msg := range append(split, split[rng.IntN(len(split))]) {
				msg.Sequence = uint64(i + 2)
				messages = append(messages, msg)
			}
		}
		rng.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
		for range 2 { // states that were displaced by others come again, as they are asked for
			for _, msg := range messages {
				s.deliver("b", msg)
			}
			slices.SortStableFunc(messages, func(x, y wire.Message) int { return int(x.Sequence) - int(y.Sequence) })
		}
		if got := s.claims("b"); got != 500 || s.m.assembling != 0 || s.m.MalformedStates() != 0 {
			t.Fatalf("seed %d: got %d claims, %d bytes left over, %d malformed, want the latest state, with 500", seed, got, s.m.assembling, s.m.MalformedStates())
		}
	}
}

func TestPieces_EachOneLost(t *testing.T) {
	state := claiming(1000)
	split := pieces(state, 0)
	for lost := range split {
		s := begin(t, "b", "c")
		s.peers["b"].sequence = 2
		for i, msg := range split {
			if i != lost {
				s.deliver("b", msg)
			}
		}
		if got := s.claims("b"); got != 0 {
			t.Fatalf("piece %d is lost: got %d claims", lost, got)
		}
		s.sent = nil
		s.heartbeat("b")
		if got := s.take(wire.KindPull); len(got) > 0 {
			t.Errorf("piece %d is lost: asked %v while pieces arrive", lost, got)
		}
		s.pass(standard.Interval, "b", "c")
		got := s.take(wire.KindPull)["b"]
		if got == nil || got.MissingOf != 2 || !slices.Equal(got.Missing, []uint16{uint16(lost)}) {
			t.Fatalf("piece %d is lost: asked %+v, want only that piece of state 2", lost, got)
		}
		s.deliver("b", split[lost])
		if got := s.claims("b"); got != 1000 || s.m.assembling != 0 {
			t.Errorf("piece %d is lost: got %d claims and %d bytes left over, want 1000", lost, got, s.m.assembling)
		}
	}
}

func TestPieces_OfARelayedStateAreAskedForAgain(t *testing.T) {
	s := begin(t, "b", "c", "d")
	s.pass(standard.Timeout, "c", "d")
	split := relayedPieces("b", wire.Instance{1}, 2, claiming(1000))
	const lost = 3
	for i, msg := range split {
		if i != lost {
			s.deliver("c", msg)
		}
	}
	s.sent = nil
	s.pass(standard.Timeout, "c", "d")
	got := s.take(wire.KindPull)
	if c := got["c"]; c == nil || c.About != wire.IDOf("b") || c.MissingOf != 2 || !slices.Equal(c.Missing, []uint16{lost}) || got["d"] != nil {
		t.Fatalf("asked %+v, want c, for one piece of state 2 of b", got)
	}
	s.deliver("c", split[lost])
	if got := s.claims("b"); got != 1000 || s.m.assembling != 0 {
		t.Errorf("got %d claims and %d bytes left over, want 1000", got, s.m.assembling)
	}
	// One that never comes is not asked for without end, nor one of which a later state came.
	s.deliver("c", relayedPieces("b", wire.Instance{1}, 3, claiming(1000))[0])
	s.deliver("d", relayedPieces("b", wire.Instance{1}, 4, claiming(1000))[0])
	for _, msg := range relayedPieces("b", wire.Instance{1}, 3, claiming(500)) {
		s.deliver("c", msg)
	}
	s.pass((relayAgainTimeouts+1)*standard.Timeout, "c", "d")
	s.take(wire.KindPull)
	s.pass(standard.Timeout, "c", "d")
	if got := s.take(wire.KindPull); len(got) > 0 || s.m.assembling != 0 {
		t.Errorf("later: asked %v, %d bytes left over, want nobody", got, s.m.assembling)
	}
}

func TestPull_OfAnotherStateIsAnswered(t *testing.T) {
	s := begin(t, "b", "c", "d")
	for _, msg := range pieces(claiming(1000), 0) {
		msg.Sequence = 2
		s.deliver("b", msg)
	}
	for _, tt := range []struct {
		name string
		pull wire.Message
		want int // pieces
	}{
		{"all", wire.Message{About: wire.IDOf("b")}, 7},
		{"some pieces", wire.Message{About: wire.IDOf("b"), MissingOf: 2, Missing: []uint16{1, 3, 999}}, 2},
		{"some pieces of an earlier state", wire.Message{About: wire.IDOf("b"), MissingOf: 1, Missing: []uint16{0}}, 7},
		{"of one that is unknown", wire.Message{About: wire.IDOf("x")}, 0},
		{"of the one that asks", wire.Message{About: wire.IDOf("c")}, 0},
	} {
		s.sent = nil
		tt.pull.Kind = wire.KindPull
		s.deliver("c", tt.pull)
		got := 0
		for _, send := range s.sent {
			if p := send.Message.Piece; send.To == "c" && p.About == wire.IDOf("b") && p.Sequence == 2 && p.Instance == (wire.Instance{1}) {
				got++
			}
		}
		if got != tt.want || len(s.sent) != tt.want {
			t.Errorf("%s: sent %d pieces in %d messages, want %d", tt.name, got, len(s.sent), tt.want)
		}
	}
	s.pass(standard.Timeout, "c", "d")
	s.sent = nil
	s.deliver("c", wire.Message{Kind: wire.KindPull, About: wire.IDOf("b")})
	if len(s.sent) > 0 {
		t.Errorf("sent %v of a peer from which nothing comes, want nothing", s.sent)
	}
}

func TestPull_IsAnswered(t *testing.T) {
	s := begin(t, "b")
	s.note(s.m.Publish(s.now, claiming(1000)))
	count := len(s.m.pieces)
	if got := len(s.sent); got != count {
		t.Errorf("published %d pieces, want %d at once", got, count)
	}
	for _, tt := range []struct {
		name string
		pull wire.Message
		want []int
	}{
		{"all", wire.Message{Nonce: 42}, []int{0, 1, 2, 3, 4, 5, 6}},
		{"some pieces", wire.Message{Nonce: 42, MissingOf: 2, Missing: []uint16{1, 3, 999}}, []int{1, 3}},
		{"some pieces of an earlier state", wire.Message{Nonce: 42, MissingOf: 1, Missing: []uint16{0}}, []int{0, 1, 2, 3, 4, 5, 6}},
	} {
		s.sent = nil
		tt.pull.Kind = wire.KindPull
		s.deliver("b", tt.pull)
		var got []int
		for _, send := range s.sent {
			if msg := send.Message; msg.Kind == wire.KindState && msg.Sequence == 2 && msg.Nonce == 42 && msg.Piece.Count == count && send.To == "b" {
				got = append(got, msg.Piece.Index)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: sent pieces %v of %d, want %v", tt.name, got, count, tt.want)
		}
	}
	s.sent = nil
	s.note(s.m.Publish(s.now, restartingFor(3*standard.Timeout)))
	s.pass(standard.Timeout, "b")
	s.sent = nil
	s.deliver("b", wire.Message{Kind: wire.KindPull})
	if got := s.take(wire.KindState)["b"]; got == nil || got.Piece.Back != 2*standard.Timeout {
		t.Errorf("restarting: sent %+v, want back in %s", got, 2*standard.Timeout)
	}
}

func TestMissedState_IsPulled(t *testing.T) {
	s := begin(t, "b")
	s.heartbeat("b")
	if got := s.take(wire.KindPull); len(got) > 0 {
		t.Errorf("asked %v, want nobody: nothing was missed", got)
	}
	s.peers["b"].sequence = 2
	for range 2 { // the first answer is lost
		s.heartbeat("b")
		if got := s.take(wire.KindPull); got["b"] == nil {
			t.Error("asked nobody, want the second state of b")
		}
	}
	for _, msg := range pieces(claiming(3), 0) {
		s.deliver("b", msg)
	}
	before := s.m.Version()
	for _, msg := range pieces(claiming(1), 0) {
		msg.Sequence = 1
		s.deliver("b", msg)
	}
	if got := s.claims("b"); got != 3 || s.m.Version() != before {
		t.Errorf("got %d claims, want the 3 of the later state although an earlier one came after it", got)
	}
	s.sent = nil
	s.heartbeat("b")
	if got := s.take(wire.KindPull); len(got) > 0 {
		t.Errorf("asked %v, want nobody any more", got)
	}
}

func TestUnknownState_IsPulledNowAndThen(t *testing.T) {
	s := begin(t, "b")
	s.setPeers("b", "c")
	s.heartbeat("c") // it has published nothing yet
	asked := 0
	for range 10 {
		s.sent = nil
		s.pass(standard.Timeout, "b", "c")
		if got := s.take(wire.KindPull); got["c"] != nil && got["b"] == nil {
			asked++
		}
	}
	if asked != 10 {
		t.Errorf("c was asked in %d of 10 times, want each time", asked)
	}
}

func TestMalformedState_IsCounted(t *testing.T) {
	s := begin(t, "b", "c")
	for i, piece := range []wire.Piece{
		{Count: 1, Data: []byte{9, 0, 0, 0}},
		{Count: 1, About: wire.IDOf("c"), Instance: wire.Instance{2}, Sequence: 2, Data: nil},
		{Count: 2, Index: 0, Data: []byte{9}}, {Count: 2, Index: 1, Data: []byte{9}},
	} {
		if piece.About != 0 {
			s.pass(standard.Timeout, "b")
		}
		s.deliver("b", wire.Message{Kind: wire.KindState, Sequence: uint64(i + 2), Piece: piece})
	}
	if got := s.m.MalformedStates(); got != 2 {
		t.Errorf("malformed: got %d, want 2: the third is not complete", got)
	}
	s.deliver("b", wire.Message{Kind: wire.KindState, Sequence: 5, Piece: wire.Piece{Count: 2, Index: 0, Data: []byte{9}}})
	if got := s.m.MalformedStates(); got != 3 || s.m.assembling != 0 {
		t.Errorf("malformed: got %d, %d bytes left over, want 3 and 0", got, s.m.assembling)
	}
	if got, _ := s.state("b"); got.Phase != ownership.Active {
		t.Errorf("the state of b: got %+v, want the one before", got)
	}
}

func TestAssembly_MemoryIsBounded(t *testing.T) {
	others := nodes(20)
	s := begin(t, others...)
	data := make([]byte, wire.PieceSize)
	for _, node := range others {
		s.peers[node].sequence = 2
		for i := range wire.MaxPieces - 1 { // the last one never comes
			s.m.Receive(s.now, node, wire.Instance{1}, &wire.Message{
				Kind: wire.KindState, Sequence: 2, Interval: standard.Interval, Piece: wire.Piece{Index: i, Count: wire.MaxPieces, Data: data},
			})
		}
	}
	held := 0
	for _, p := range s.m.peers {
		held += cap(p.assembly.pieces) * 24
		for _, piece := range p.assembly.pieces {
			held += cap(piece)
		}
	}
	if held > maxAssemblyBytes || s.m.assembling > maxAssemblyBytes {
		t.Errorf("incomplete states take %d bytes, counted as %d, want at most %d", held, s.m.assembling, maxAssemblyBytes)
	}
	// Those that stay incomplete make room.
	s.pass(10*standard.Timeout, others...)
	for _, msg := range pieces(claiming(50000), 0) {
		msg.Sequence = 3
		s.deliver(others[19], msg)
	}
	if got := s.claims(others[19]); got != 50000 {
		t.Errorf("a state that comes later: got %d claims, want 50000", got)
	}
	for _, node := range others[:19] {
		s.restart(node)
		s.heartbeat(node)
	}
	if s.m.assembling != 0 {
		t.Errorf("%d bytes are counted when there are no incomplete states, want 0", s.m.assembling)
	}
}

func TestRemovedPeer_LeavesNothing(t *testing.T) {
	s := begin(t, "b", "c", "d")
	s.peers["c"].suspects = []lb.NodeName{"b"}
	s.peers["d"].suspects = []lb.NodeName{"b"}
	s.pass(standard.Timeout/2, "b", "c", "d") // c is sent the state of b
	s.deliver("d", relayedPieces("b", wire.Instance{2}, 1, claiming(1000))[0])
	s.pass(standard.Timeout+standard.Interval, "c", "d")
	s.deliver("d", relayedPieces("b", wire.Instance{2}, 1, claiming(1000))[0])
	b := s.m.peers["b"]
	s.setPeers("c", "d")
	s.peers["c"].suspects, s.peers["d"].suspects = nil, nil
	s.pass(removalDelay+standard.Interval, "c", "d")
	for name, p := range s.m.peers {
		if _, is := p.accusers[b]; is || p == b {
			t.Errorf("%s still has b among those that suspect it", name)
		}
		if _, is := p.relayed[b]; is {
			t.Errorf("%s still has the relayed state of b", name)
		}
		if p.assembly.about == b {
			t.Errorf("%s still has pieces of the state of b", name)
		}
	}
	if slices.Contains(s.m.inDoubt, b) || slices.Contains(s.m.inRingOrder(), b) || slices.Contains(s.m.watchedPeers(), b) || s.m.assembling != 0 {
		t.Errorf("b is still in doubt, in the ring or watched, or %d bytes of it are counted", s.m.assembling)
	}
}
