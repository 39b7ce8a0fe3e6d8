package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// network is many machines and what lies between them.
type network struct {
	now      time.Time
	names    []lb.NodeName
	machines map[lb.NodeName]*Machine
	dead     map[lb.NodeName]bool
	cut      func(from, to lb.NodeName) bool
	filtered func(from, to lb.NodeName) bool // datagrams are lost
	way      []hop                           // messages that arrive with the next step
	sent     int
	// convicted are who has counted whom as dead so far.
	convicted map[[2]lb.NodeName]bool
	seen      map[lb.NodeName]uint64 // versions of the views
}

type hop struct {
	from lb.NodeName
	send Send
}

const step = 5 * ms

func connect(timings ...Timing) *network {
	n := &network{now: time.Unix(1000, 0), machines: map[lb.NodeName]*Machine{}, dead: map[lb.NodeName]bool{}, seen: map[lb.NodeName]uint64{}, cut: func(_, _ lb.NodeName) bool { return false }, filtered: func(_, _ lb.NodeName) bool { return false }}
	for i, timing := range timings {
		name := lb.NodeName(fmt.Sprintf("node%02d", i))
		n.names = append(n.names, name)
		n.machines[name] = New(name, 1, timing)
	}
	for _, name := range n.names {
		n.start(name)
	}
	n.passes(standard.Silence)
	n.convicted = map[[2]lb.NodeName]bool{}
	return n
}

func (n *network) start(name lb.NodeName) {
	m := n.machines[name]
	n.post(name, m.SetPeers(n.now, n.names))
	n.post(name, m.Publish(n.now, wire.State{Phase: ownership.Active}))
}

func (n *network) post(from lb.NodeName, sends []Send) {
	n.sent += len(sends)
	for _, send := range n.machines[from].Ways(n.now, sends) {
		if !n.filtered(from, send.To) {
			n.way = append(n.way, hop{from, send})
		}
		if send.Stream {
			send.Message = send.Streamed()
			n.way = append(n.way, hop{from, send})
		}
	}
}

func (n *network) passes(d time.Duration) {
	for end := n.now.Add(d); n.now.Before(end); {
		n.now = n.now.Add(step)
		arriving := n.way
		n.way = nil
		for _, h := range arriving {
			if !n.dead[h.from] && !n.dead[h.send.To] && !n.cut(h.from, h.send.To) {
				n.post(h.send.To, n.machines[h.send.To].Receive(n.now, h.send.Message))
			}
		}
		for _, name := range n.names {
			if n.dead[name] {
				continue
			}
			n.post(name, n.machines[name].Tick(n.now))
			if n.machines[name].Version() == n.seen[name] {
				continue
			}
			n.seen[name] = n.machines[name].Version()
			for _, missing := range n.machines[name].View().Missing {
				if n.convicted != nil {
					n.convicted[[2]lb.NodeName{name, missing.Node}] = true
				}
			}
		}
	}
}

// agreed fails unless all who live count exactly those who live.
func (n *network) agreed(t *testing.T) {
	t.Helper()
	for _, name := range n.names {
		if n.dead[name] {
			continue
		}
		var want []lb.NodeName
		for _, other := range n.names {
			if other != name && !n.dead[other] {
				want = append(want, other)
			}
		}
		if diff := cmp.Diff(want, live(n.machines[name].View())); diff != "" {
			t.Fatalf("who lives as %s sees it (-want +got):\n%s", name, diff)
		}
	}
}

func same(timing Timing, count int) []Timing { return slices.Repeat([]Timing{timing}, count) }

func TestUpTo25SpeakersAllWatchAllAndBeyondEightWatchEach(t *testing.T) {
	for count, want := range map[int]int{2: 1, 3: 2, 24: 23, 25: 24, 26: 8} {
		n := connect(same(standard, count)...)
		for _, watched := range n.names {
			first := n.machines[n.names[0]].watchersOf(watched)
			if len(first) != want || slices.Contains(first, watched) {
				t.Errorf("%d speakers: %s is watched by %v, want %d others", count, watched, first, want)
			}
			for _, name := range n.names {
				if got := n.machines[name].watchersOf(watched); want == 8 && !slices.Equal(got, first) {
					t.Errorf("%d speakers: %s is watched by %v, says %s; %v, says %s", count, watched, got, name, first, n.names[0])
				}
				if got, want := n.machines[name].watches(watched), slices.Contains(first, name); name != n.names[0] && want != got && name != watched && len(first) == 8 {
					t.Errorf("%d speakers: %s watches %s: got %v, want %v", count, name, watched, got, want)
				}
			}
		}
	}
}

func TestOneDiesAmongMany(t *testing.T) {
	for _, count := range []int{3, 24, 30} {
		n := connect(same(standard, count)...)
		n.dead["node01"] = true
		n.passes(standard.Silence - standard.Beat - 2*step)
		for pair := range n.convicted {
			t.Errorf("%d speakers: %s counts %s as dead before the detection time", count, pair[0], pair[1])
		}
		n.passes(standard.Beat + 6*step)
		n.agreed(t)
		n.passes(5 * time.Second)
		n.agreed(t)
		for pair := range n.convicted {
			if pair[1] != "node01" {
				t.Errorf("%d speakers: %s counted %s as dead", count, pair[0], pair[1])
			}
		}
	}
}

func TestTwoWhoWatchAreBelieved(t *testing.T) {
	n := connect(same(standard, 30)...)
	accused := lb.NodeName("node05")
	by := n.machines["node00"].watchersOf(accused)
	var other lb.NodeName // watches not
	for _, name := range n.names {
		if name != accused && !slices.Contains(by, name) {
			other = name
			break
		}
	}
	m := n.machines[other]
	n.dead[accused] = true
	n.now = n.now.Add(standard.Silence + standard.Beat)
	var plain lb.NodeName
	for _, name := range n.names {
		if name != accused && name != other && !slices.Contains(by, name) {
			plain = name
			break
		}
	}
	says := func(from lb.NodeName) bool {
		m.Receive(n.now, &wire.Message{Kind: wire.KindBeat, From: from, Incarnation: 1, Sequence: 1, Interval: standard.Beat, Suspects: []lb.NodeName{accused}})
		return slices.Contains(live(m.View()), accused)
	}
	for range 2 {
		if !says(by[0]) {
			t.Error("the word of one was enough, want two")
		}
	}
	if !says(plain) {
		t.Error("the word of one who watches not was counted")
	}
	if says(by[1]) {
		t.Error("the word of two who watch was not enough")
	}
	m.Receive(n.now, &wire.Message{Kind: wire.KindAck, From: accused, Incarnation: 1, Sequence: 1, Interval: standard.Beat})
	if !says(plain) {
		t.Error("one that was heard just now was convicted for what others said before")
	}
}

func TestMemberlistIsBelievedByWhoWatchesNot(t *testing.T) {
	n := connect(same(standard, 30)...)
	by := n.machines["node00"].watchersOf("node05")
	for _, name := range n.names {
		if name == "node05" {
			continue
		}
		m := n.machines[name]
		m.Gone(n.now, "node05")
		if got, want := slices.Contains(live(m.View()), "node05"), slices.Contains(by, name); got != want {
			t.Errorf("%s, which watches node05: %v, counts it: %v", name, want, got)
		}
	}
}

func TestMemberlistIsNotBelievedOfOneThatRestarts(t *testing.T) {
	n := connect(same(standard, 30)...)
	for _, m := range n.machines {
		m.Receive(n.now, &wire.Message{
			Kind: wire.KindState, From: "node05", Incarnation: 1, Sequence: 2, Interval: standard.Beat,
			State: wire.State{Phase: ownership.Restarting, Back: time.Minute},
		})
		m.Gone(n.now, "node05")
		if got := live(m.View()); m.self != "node05" && !slices.Contains(got, "node05") {
			t.Errorf("%s counts only %v", m.self, got)
		}
	}
}

func TestOneOfManyAsksAllBeforeItCountsThemAsDead(t *testing.T) {
	var others []lb.NodeName
	for i := range 29 {
		others = append(others, lb.NodeName(fmt.Sprintf("node%02d", i)))
	}
	for _, answers := range []bool{true, false} {
		s := begin(t, others...)
		s.passes(standard.Silence - step)
		s.takes(wire.KindPull)
		s.passes(step)
		if got := s.takes(wire.KindPull); len(got) != len(others) || len(live(s.m.View())) != len(others) {
			t.Errorf("asked %d of %d, which live: %v", len(got), len(others), live(s.m.View()))
		}
		s.passes(2 * step)
		if answers {
			for _, node := range others {
				if !s.m.watches(node) {
					s.says(node, 1, 1, wire.State{Phase: ownership.Active})
					break
				}
			}
		}
		s.passes(standard.Beat)
		if got := live(s.m.View()); (len(got) > 0) != answers {
			t.Errorf("one that it does not watch answers: %v, got %v, which live", answers, got)
		}
	}
}

func TestWhoWatchesWhomIsFixed(t *testing.T) {
	// It is part of the protocol, as the order of an election.
	n := connect(same(standard, 30)...)
	for node, want := range map[lb.NodeName][]lb.NodeName{"node05": {"node29", "node09", "node00", "node27", "node12", "node24", "node11", "node08"}, "node29": {"node19", "node22", "node08", "node07", "node02", "node12", "node14", "node05"}} {
		if diff := cmp.Diff(want, n.machines["node00"].watchersOf(node)); diff != "" {
			t.Errorf("who watches %s (-want +got):\n%s", node, diff)
		}
	}
	long := lb.NodeName("worker-17.rack-3.example.com")
	if got, want := addressFor(long), netip.AddrFrom16([16]byte{151, 214, 70, 86, 168, 62, 223, 84, 215, 245, 61, 44, 99, 107, 45, 51}); got != want {
		t.Errorf("%s stands in the order as %s, want %s", long, got, want)
	}
}

func TestProfilesMixWithoutSuspicion(t *testing.T) {
	n := connect(relaxed, standard, fast, relaxed, fast)
	n.passes(10 * time.Second)
	for pair := range n.convicted {
		t.Errorf("%s counted %s as dead", pair[0], pair[1])
	}
	// The dead one is found by what it said of its own interval.
	n.dead["node03"] = true
	n.passes(650 * ms)
	for pair := range n.convicted {
		t.Errorf("%s counts %s as dead after less than three of its beats", pair[0], pair[1])
	}
	n.passes(2 * time.Second)
	n.agreed(t)
}

func TestOneIsNotConvictedByOneWhoHearsItNotWhileOthersDo(t *testing.T) {
	tests := []struct {
		name    string
		timings []Timing
	}{
		{"three", same(standard, 3)},
		{"twenty-four", same(standard, 24)},
		{"thirty, of which eight watch", same(standard, 30)},
		{"the other one's beats are slow", []Timing{fast, fast, relaxed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := connect(tt.timings...)
			from, to := n.unheard()
			for range 8 { // at different moments between two beats
				n.cut = func(f, t lb.NodeName) bool { return f == from && t == to }
				n.passes(700 * ms)
				n.cut = func(_, _ lb.NodeName) bool { return false }
				n.passes(335 * ms)
			}
			for pair := range n.convicted {
				t.Errorf("%s counted %s as dead, want nobody: only from %s to %s nothing arrives", pair[0], pair[1], from, to)
			}
		})
	}
}

// unheard returns a speaker and one that watches it and, when they are many, gets
// no beats from the others that do.
func (n *network) unheard() (from, to lb.NodeName) {
	m := n.machines[n.names[0]]
	for _, from := range n.names {
		for _, to := range m.watchersOf(from) {
			if !slices.ContainsFunc(m.watchersOf(from), func(w lb.NodeName) bool { return slices.Contains(m.watchersOf(w), to) }) {
				return from, to
			}
		}
	}
	return n.names[1], n.names[0]
}

func BenchmarkTick(b *testing.B) {
	for _, count := range []int{3, 24, 100} {
		b.Run(fmt.Sprintf("%d-speakers", count), func(b *testing.B) {
			n := connect(same(standard, count)...)
			m := n.machines["node00"]
			b.ReportAllocs()
			for b.Loop() {
				m.Tick(n.now)
			}
		})
	}
}
