package mesh

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// way says how a message to another one goes now.
func (s *script) way(node lb.NodeName) (stream, deaf bool) {
	send := s.m.Ways(s.now, []Send{{To: node, Message: s.m.Own(s.now)}})[0]
	return send.Stream, send.Deaf
}

// streams has another one send its beats over a connection from now on.
func (s *script) streams(node lb.NodeName, deaf bool) {
	s.said[node].Stream, s.said[node].Deaf = true, deaf
}

// goes fails unless a message to another one goes as it should.
func (s *script) goes(when string, node lb.NodeName, stream, deaf bool) {
	s.t.Helper()
	if gotStream, gotDeaf := s.way(node); gotStream != stream || gotDeaf != deaf {
		s.t.Errorf("%s: to %s over a connection: %v, deaf: %v, want %v, %v", when, node, gotStream, gotDeaf, stream, deaf)
	}
}

func TestWhoseDatagramsAreMissedIsToldOverAConnectionBeforeItIsSuspected(t *testing.T) {
	s := begin(t, "b", "c")
	s.passes(standard.Silence, "b", "c")
	s.goes("all are heard", "b", false, false)
	s.passes(standard.Beat, "c")
	s.goes("one beat is missed", "b", false, false)
	s.passes(standard.Silence-standard.Beat-20*ms, "c")
	s.goes("beats are missed", "b", true, true)
	s.goes("it is heard", "c", false, false)
	s.lives("beats are missed", "b", "c")
	s.beats("b")
	s.goes("it is heard again", "b", false, false)
}

func TestWhoSaysThatItIsDeafIsToldOverAConnection(t *testing.T) {
	s := begin(t, "b", "c")
	s.passes(standard.Silence, "b", "c")
	s.streams("b", true)
	s.beats("b")
	s.goes("it says that it is deaf", "b", true, false)
	s.streams("b", false)
	s.passes(2*standard.Silence, "b", "c")
	s.goes("it says so no more, and its datagrams do not come", "b", true, true)
	s.lives("it is heard over a connection", "b", "c")
	s.said["b"].Stream = false
	s.passes(standard.Silence, "b", "c")
	s.goes("its datagrams come", "b", false, false)
}

func TestWhoIsDeafIsAnsweredAtOnce(t *testing.T) {
	s := begin(t, "b", "c")
	s.passes(standard.Silence, "b", "c")
	s.takes(wire.KindBeat)
	s.streams("b", true)
	for i, want := range []int{1, 0} {
		s.beats("b")
		if got := s.takes(wire.KindBeat); len(got) != want || want == 1 && got["b"] == nil {
			t.Errorf("b says the time no. %d that it is deaf: beats for %v, want %d", i+1, got, want)
		}
	}
	s.goes("the answer", "b", true, false)
}

func TestDatagramsThatAreLostForLongAreTold(t *testing.T) {
	s := begin(t, "b", "c")
	lost := func() (nodes []lb.NodeName) {
		for _, p := range s.m.View().Peers {
			if p.Lost {
				nodes = append(nodes, p.Node)
			}
		}
		return nodes
	}
	s.streams("b", true)
	s.passes(lostFor*standard.Silence-standard.Beat, "b", "c")
	if got := lost(); got != nil {
		t.Errorf("a moment later, the datagrams of %v count as lost", got)
	}
	before := s.m.Version()
	s.passes(2*standard.Beat, "b", "c")
	if diff := cmp.Diff([]lb.NodeName{"b"}, lost()); diff != "" || s.m.Version() == before {
		t.Errorf("whose datagrams are lost (-want +got), the version went from %d to %d:\n%s", before, s.m.Version(), diff)
	}
	s.said["b"].Stream = false
	s.passes(2*standard.Beat, "b", "c")
	if got := lost(); got != nil {
		t.Errorf("the datagrams of %v count as lost although they come", got)
	}
}

func TestOneThatIsDeadIsAskedOverConnectionsAndToldNoBeats(t *testing.T) {
	s := begin(t, "b", "c")
	s.suspects["c"] = []lb.NodeName{"b"}
	s.passes(4*standard.Silence, "c")
	s.lives("b is dead", "c")
	s.goes("a state", "b", true, true)
	beat := s.m.Ways(s.now, s.m.beats(s.now, []lb.NodeName{"b"}))[0]
	if beat.Stream {
		t.Error("a beat goes over a connection")
	}
}

func TestWhoRestartsIsNotCalledOverConnections(t *testing.T) {
	s := begin(t, "b", "c")
	s.says("b", 1, 2, wire.State{Phase: ownership.Restarting, Back: 100 * standard.Silence})
	s.passes(4*standard.Silence, "c")
	s.goes("it restarts", "b", false, false)
}

func TestWhoIsWatchedInALargeClusterLearnsThatItIsNotHeard(t *testing.T) {
	n := connect(slices.Repeat([]Timing{standard}, fullMesh+16)...)
	one := n.machines[n.names[0]]
	mutual := !slices.ContainsFunc(one.watchersOf(one.self), func(by lb.NodeName) bool { return !slices.Contains(one.watchersOf(by), one.self) })
	if mutual {
		t.Fatal("all who watch it are watched by it")
	}
	n.filtered = func(from, _ lb.NodeName) bool { return from == one.self }
	n.passes(20 * standard.Silence)
	n.agreed(t)
	if len(n.convicted) > 0 {
		t.Errorf("convicted: %v", n.convicted)
	}
}
