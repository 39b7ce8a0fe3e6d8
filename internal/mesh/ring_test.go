package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// rings are machines with sessions, without messages between them.
type rings struct {
	now        time.Time
	names      []lb.NodeName // of those that run
	machines   map[lb.NodeName]*Machine
	restarting map[lb.NodeName]bool
}

func meet(count int) *rings {
	r := &rings{now: time.Unix(1000, 0), names: nodes(count), machines: map[lb.NodeName]*Machine{}, restarting: map[lb.NodeName]bool{}}
	for _, name := range r.names {
		r.machines[name] = New(name, standard)
		r.machines[name].SetPeers(r.now, r.names)
	}
	r.each(func(m *Machine, p *peer) { m.NoteMet(r.now, p.node, wire.Instance{1}) })
	r.each(func(m *Machine, p *peer) { m.learnState(r.now, p, wire.Instance{1}, 1, active) })
	r.find()
	return r
}

// each does something for each pair of those that run.
func (r *rings) each(does func(*Machine, *peer)) {
	for _, a := range r.names {
		for _, b := range r.names {
			if p := r.machines[a].peers[b]; p != nil {
				does(r.machines[a], p)
			}
		}
	}
}

func (r *rings) find() {
	for _, name := range r.names {
		r.machines[name].findPairs(r.now)
	}
}

// check fails unless both ends of each pair compute the pair, and others compute the same watchers.
func (r *rings) check(t *testing.T, when string) {
	t.Helper()
	want := min(maxFullMesh, len(r.names)-1-len(r.restarting))
	if !r.machines[r.names[0]].isFullMesh() {
		want = min(watchersPerPeer, want)
	}
	r.each(func(m *Machine, p *peer) {
		sends := slices.ContainsFunc(r.machines[p.node].ring.receivers, func(to *peer) bool { return to.node == m.self })
		if p.arc != sends || slices.Contains(m.watchedPeers(), p) != sends {
			t.Errorf("%s: %s watches %s: %v, is sent heartbeats: %v", when, m.self, p.node, p.arc, sends)
		}
	})
	for _, name := range r.names {
		if r.restarting[name] {
			continue
		}
		var watching []lb.NodeName
		for _, to := range r.machines[name].ring.receivers {
			if !r.restarting[to.node] {
				watching = append(watching, to.node)
			}
		}
		if len(watching) != want {
			t.Errorf("%s: %d watch %s, want %d", when, len(watching), name, want)
		}
		slices.Sort(watching)
		r.each(func(m *Machine, p *peer) {
			if p.node != name || m.isFullMesh() || !slices.Contains(r.names[:5], m.self) {
				return
			}
			var got []lb.NodeName
			for _, w := range m.watchersOf(p) {
				got = append(got, w.node)
			}
			slices.Sort(got)
			others := slices.DeleteFunc(slices.Clone(watching), func(w lb.NodeName) bool { return w == m.self })
			if diff := cmp.Diff(others, got, cmpopts.EquateEmpty()); diff != "" && !r.restarting[m.self] {
				t.Errorf("%s: the other watchers of %s as %s finds them (-want +got):\n%s", when, name, m.self, diff)
			}
		})
	}
}

func TestRing_BothEndsFindTheSamePairs(t *testing.T) {
	for count := 2; count <= 40; count++ {
		rng := rand.New(rand.NewPCG(uint64(count), 1))
		r := meet(count)
		r.check(t, fmt.Sprintf("%d speakers", count))
		for change := range 4 {
			when := fmt.Sprintf("%d speakers, change %d", count, change)
			name := r.names[rng.IntN(len(r.names))]
			switch {
			case change%2 == 0 && len(r.names) > 2:
				when += ": " + string(name) + " dies"
				r.each(func(m *Machine, p *peer) {
					if p.node == name {
						m.lose(r.now, p)
					}
				})
				r.names = slices.DeleteFunc(r.names, func(other lb.NodeName) bool { return other == name })
				delete(r.restarting, name)
			case !r.restarting[name]:
				when += ": " + string(name) + " restarts"
				r.restarting[name] = true
				r.each(func(m *Machine, p *peer) {
					if p.node == name {
						m.learnState(r.now, p, wire.Instance{1}, p.sequence+1, restartingFor(time.Minute))
					}
				})
			}
			r.find()
			r.check(t, when)
		}
		added := lb.NodeName("another")
		r.machines[added] = New(added, standard)
		r.names = append(r.names, added)
		var all []lb.NodeName
		for name := range r.machines {
			all = append(all, name)
		}
		for _, name := range r.names {
			r.machines[name].SetPeers(r.now, all)
		}
		r.each(func(m *Machine, p *peer) {
			if m.self == added || p.node == added {
				m.NoteMet(r.now, p.node, wire.Instance{1})
				state := active
				if r.restarting[p.node] {
					state = restartingFor(time.Minute)
				}
				m.learnState(r.now, p, wire.Instance{1}, 1, state)
			}
		})
		r.find()
		r.check(t, fmt.Sprintf("%d speakers: one is added", count))
	}
}

func TestRing_IsFixed(t *testing.T) {
	// It is part of the protocol: all speakers have to find the same.
	m := meet(40).machines["node000"]
	var got []lb.NodeName
	for _, p := range m.ring.receivers {
		got = append(got, p.node)
	}
	want := []lb.NodeName{"node005", "node004", "node002", "node013", "node038", "node034", "node017", "node009"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who watches node000 (-want +got):\n%s", diff)
	}
}

// unwatched returns a script of many, and a peer that the machine does not watch with two of
// its watchers.
func unwatched(t *testing.T) (s *script, all []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
	all = nodes(40)
	s = begin(t, all...)
	for _, p := range s.m.inRingOrder() {
		if !p.arc {
			for _, w := range s.m.watchersOf(p) {
				by = append(by, w.node)
			}
			return s, all, p.node, by
		}
	}
	t.Fatal("the machine watches all")
	return nil, nil, "", nil
}

func TestUnwatchedPeer(t *testing.T) {
	without := func(all []lb.NodeName, node lb.NodeName) []lb.NodeName {
		return slices.DeleteFunc(slices.Clone(all), func(other lb.NodeName) bool { return other == node })
	}
	suspectedBy := func(s *script, node lb.NodeName, by ...lb.NodeName) {
		for _, name := range by {
			s.peers[name].suspects = []lb.NodeName{node}
			s.heartbeat(name)
		}
	}
	for _, tt := range []struct {
		name  string
		does  func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName)
		alive bool
		asked bool
	}{
		{name: "one calls it dead", alive: true, does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.pass(standard.Timeout, others...)
			suspectedBy(s, node, by[0])
			s.pass(5*time.Second, others...)
		}},
		{name: "most of its watchers call it dead", does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.pass(standard.Timeout, others...)
			suspectedBy(s, node, by[:5]...)
			s.pass(standard.Interval / 2)
		}},
		{name: "most call it dead a moment before its silence is over", does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.pass(standard.Timeout-2*step, others...)
			suspectedBy(s, node, by[:5]...)
			for _, name := range by {
				s.peers[name].suspects = nil // their heartbeats go to others
			}
			s.pass(2*step + standard.Interval/2)
		}},
		{name: "most call it dead, and it answers", alive: true, asked: true, does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.pass(standard.Timeout, others...)
			suspectedBy(s, node, by[:5]...)
			s.pass(step)
			s.deliver(node, wire.Message{Kind: wire.KindAck})
			suspectedBy(s, node, by[0])
			s.pass(standard.Interval)
		}},
		{name: "it restarts, and two call it dead", alive: true, does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.publish(node, restartingFor(time.Minute))
			s.pass(time.Second, others...)
			suspectedBy(s, node, by[:2]...)
			s.pass(time.Second, others...)
		}},
		{name: "it restarts, and most call it dead", does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.publish(node, restartingFor(time.Minute))
			for _, name := range by[:5] {
				s.pass(time.Second, others...)
				suspectedBy(s, node, name)
			}
		}},
		{name: "two call it dead, and it does not answer", asked: true, does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.pass(standard.Timeout, others...)
			suspectedBy(s, node, by[:2]...)
			s.pass(standard.Timeout, others...)
		}},
		{name: "two call it dead for long, and it answers", alive: true, asked: true, does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.pass(standard.Timeout, others...)
			suspectedBy(s, node, by[:2]...)
			for range 200 {
				s.pass(20*ms, others...)
				if s.take(wire.KindPull)[node] != nil {
					s.deliver(node, wire.Message{Kind: wire.KindAck})
					s.sent = append(s.sent, OutgoingMessage{To: node, Message: &wire.Message{Kind: wire.KindPull}})
				}
			}
		}},
		{name: "two that restart call it dead", alive: true, does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.pass(standard.Timeout, others...)
			suspectedBy(s, node, by[:2]...)
			for _, name := range by[:2] {
				s.publish(name, restartingFor(time.Minute))
			}
			s.pass(2*time.Second, others...)
		}},
		{name: "most called it dead before it was received from", alive: true, does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.pass(standard.Timeout/2, others...)
			suspectedBy(s, node, by[:5]...)
			s.pass(step)
			s.heartbeat(node)
			s.pass(standard.Timeout) // what ends the suspicions was lost
			suspectedBy(s, "another", by[0])
		}},
		{name: "it was asked, and then this speaker did not run for a while", alive: true, does: func(s *script, others []lb.NodeName, node lb.NodeName, by []lb.NodeName) {
			s.pass(standard.Timeout, others...)
			suspectedBy(s, node, by[:2]...)
			s.now = s.now.Add(10 * time.Second)
			s.note(s.m.Tick(s.now)) // its answer waits to be read
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, all, node, by := unwatched(t)
			s.sent = nil
			tt.does(s, without(all, node), node, by)
			_, is := s.state(node)
			if is != tt.alive {
				t.Errorf("alive: %v, want %v", is, tt.alive)
			}
			if tt.alive && s.flips[node] > 0 {
				t.Errorf("it became alive or dead %d times, want never", s.flips[node])
			}
			asked := slices.ContainsFunc(s.sent, func(send OutgoingMessage) bool { return send.To == node && send.Message.Kind == wire.KindPull })
			if tt.asked && !asked {
				t.Error("it was not asked")
			}
		})
	}
}

func TestManySilent_AreAskedBeforeTheyAreLost(t *testing.T) {
	for _, answers := range []bool{true, false} {
		s := begin(t, nodes(40)...)
		var other lb.NodeName // that it does not watch
		for _, p := range s.m.inRingOrder() {
			if !p.arc {
				other = p.node
			}
		}
		s.pass(standard.Timeout)
		if got := s.take(wire.KindPull); len(got) != 40 || len(s.m.View().Peers) != 40 {
			t.Errorf("asked %d of 40, %d are alive", len(got), len(s.m.View().Peers))
		}
		if answers {
			s.deliver(other, wire.Message{Kind: wire.KindAck})
		}
		s.pass(2 * standard.Interval)
		var want []lb.NodeName
		if answers {
			want = append(want, other)
		}
		s.alive(fmt.Sprintf("one answers: %v", answers), want...)
	}
}

// A heartbeat names 64 suspects at most. Those that a speaker watches are far fewer, even if a
// tenth of a thousand dies at once: the ring does not follow racks.
func TestSuspects_FitIntoAHeartbeat(t *testing.T) {
	for seed := range uint64(5) {
		m, now := among(1000)
		rng := rand.New(rand.NewPCG(seed, 1))
		order := slices.Clone(m.inRingOrder())
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, p := range order[:100] {
			m.lose(now, p)
		}
		m.findPairs(now)
		named := m.heartbeats(m.metPeers()[:1])[0].Message.Suspects
		if alive := len(m.watchedPeers()) - len(named); alive != watchersPerPeer || len(named) > 16 {
			t.Errorf("seed %d: a heartbeat names %d, and %d that are alive are watched, want 16 at most, and %d", seed, len(named), alive, watchersPerPeer)
		}
	}
}

func TestPublishedState_IsFollowedByAHeartbeatToAll(t *testing.T) {
	s := begin(t, nodes(40)...)
	s.pass(standard.Interval, nodes(40)...)
	s.note(s.m.Publish(s.now, restartingFor(time.Minute)))
	s.sent = nil
	s.pass(standard.Interval, nodes(40)...)
	if got := s.take(wire.KindHeartbeat); len(got) != 40 {
		t.Errorf("heartbeats for %d of 40, want all", len(got))
	}
	for _, node := range nodes(39) {
		s.deliver(node, wire.Message{Kind: wire.KindAck, Acked: 2})
	}
	for range 3 {
		s.sent = nil
		s.pass(standard.Interval, nodes(40)...)
		if got := s.take(wire.KindHeartbeat); got["node039"] == nil || len(got) > watchersPerPeer+2 {
			t.Errorf("heartbeats for %d, want the watchers, one in turn and node039, whose ack is missing", len(got))
		}
	}
}
