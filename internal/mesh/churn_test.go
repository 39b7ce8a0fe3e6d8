package mesh

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// cutBoth returns a cut between one speaker and some others, in both directions.
func cutBoth(one lb.NodeName, others ...lb.NodeName) func(from, to lb.NodeName) bool {
	return func(from, to lb.NodeName) bool {
		return from == one && slices.Contains(others, to) || to == one && slices.Contains(others, from)
	}
}

// next returns the peers after a speaker in the ring: those that watch it, when they are many.
func (n *network) next(name lb.NodeName) (after []lb.NodeName) {
	for _, p := range n.machines[name].inRingOrder() {
		after = append(after, p.node)
	}
	return after
}

func TestNetwork_SpeakersThatRestartStayConnected(t *testing.T) {
	for _, count := range []int{3, 24, 40} {
		n := connect(same(standard, count)...)
		restarting := n.next(n.names[0])[:2]
		for _, name := range restarting {
			n.post(name, n.machines[name].Publish(n.now, restartingFor(time.Minute)))
		}
		n.run(3 * time.Second)
		n.noneConfirmed(t, fmt.Sprintf("%d speakers", count))
		n.agreed(t)
		for _, name := range restarting {
			if n.machines[name].IsAcknowledged() {
				t.Errorf("%d speakers: %s counts as acknowledged, and nobody has acted", count, name)
			}
		}
		for _, name := range n.names {
			n.post(name, n.machines[name].NoteActed(n.now, n.machines[name].View()))
		}
		n.run(2 * step)
		for _, name := range restarting {
			if !n.machines[name].IsAcknowledged() {
				t.Errorf("%d speakers: %s does not count as acknowledged, and all have acted", count, name)
			}
		}
	}
}

func TestNetwork_AcksArriveInSpiteOfLoss(t *testing.T) {
	n := connect(same(standard, 40)...)
	n.loss = 0.2
	name := n.names[0]
	n.post(name, n.machines[name].Publish(n.now, restartingFor(time.Minute)))
	for range 10 {
		n.run(standard.Interval)
		for _, other := range n.names[1:] {
			n.post(other, n.machines[other].NoteActed(n.now, n.machines[other].View()))
		}
	}
	if !n.machines[name].IsAcknowledged() {
		t.Error("with a loss of 20 % the restart is not acknowledged after 10 intervals")
	}
}

func TestNetwork_SpeakersWithDifferentPeerLists(t *testing.T) {
	for _, tt := range []struct{ before, after int }{{20, 30}, {25, 26}, {30, 45}} {
		when := fmt.Sprintf("from %d to %d speakers", tt.before, tt.after)
		n := connect(same(standard, tt.before)...)
		n.names = nodes(tt.after)
		for _, name := range n.names[tt.before:] {
			n.start(name, standard)
		}
		for i, name := range n.names[:tt.before] {
			if i%2 == 0 { // the others learn of the new ones later
				n.machines[name].SetPeers(n.now, n.names)
			}
		}
		n.run(3 * time.Second)
		for pair := range n.found {
			if n.machines[pair[1]].peers[pair[0]] != nil { // others cannot meet
				t.Errorf("%s: %s found %s dead, which is alive", when, pair[0], pair[1])
			}
		}
		clear(n.found)
		for _, name := range n.names {
			n.machines[name].SetPeers(n.now, n.names)
		}
		n.run(2 * time.Second)
		n.noneConfirmed(t, when)
		n.agreed(t)
	}
}

func TestNetwork_NodeIsRemovedAndDies(t *testing.T) {
	for name, timings := range map[string][]Timing{"one profile": same(standard, 4), "two profiles": {standard, standard, standard, relaxed}} {
		n := connect(timings...)
		gone := n.names[0]
		for _, name := range n.names {
			n.machines[name].SetPeers(n.now, n.names[1:])
		}
		n.dead[gone] = true
		n.run(5 * time.Second)
		n.agreed(t)
		n.run(removalDelay + 2*time.Second)
		n.noneConfirmed(t, name)
		for _, by := range n.names[1:] {
			if got := len(n.machines[by].peers); got != 2 {
				t.Errorf("%s: %s has %d peers, want 2", name, by, got)
			}
		}
	}
}

func TestNetwork_TwoWatchersLoseTheWayToAPeer(t *testing.T) {
	n := connect(same(standard, 40)...)
	one := n.names[0]
	by := n.next(one)[2:4]
	n.cut = cutBoth(one, by...)
	n.run(10 * time.Second)
	for pair, times := range n.found {
		if pair[0] != one && pair[1] != one || !slices.Contains(by, pair[0]) && !slices.Contains(by, pair[1]) || times > 1 {
			t.Errorf("%s found %s dead %d times, want nobody but %s and %v each other, once", pair[0], pair[1], times, one, by)
		}
	}
	n.cut = func(_, _ lb.NodeName) bool { return false }
	n.run(2 * time.Second)
	n.agreed(t)
}

func TestNetwork_TwoReachEachOtherThroughAThird(t *testing.T) {
	n := connect(same(standard, 3)...)
	a, b, c := n.names[0], n.names[1], n.names[2]
	n.cut = cutBoth(a, b)
	n.run(5 * time.Second)
	n.noneConfirmed(t, "while a third receives from both")
	n.agreed(t)
	n.start(a, standard)
	n.run(time.Second)
	if !slices.Equal(alive(n.machines[a].View()), []lb.NodeName{b, c}) {
		t.Errorf("a new process finds %v alive, want %s by relay", alive(n.machines[a].View()), b)
	}
	clear(n.found)
	n.post(b, n.machines[b].Publish(n.now, claiming(400)))
	n.run(standard.Timeout)
	if got := n.machines[a].View().Peers[0].State.Claims; len(got) != 400 {
		t.Errorf("a new state is relayed with %d claims, want 400", len(got))
	}
	n.run(5 * time.Second)
	n.noneConfirmed(t, "with a new process")
	n.dead[b] = true
	n.run(time.Second)
	n.agreed(t)
	n.start(b, standard)
	n.run(time.Second)
	n.dead[c] = true
	n.run(2 * standard.Timeout)
	if got := slices.Concat(alive(n.machines[a].View()), alive(n.machines[b].View())); len(got) > 0 {
		t.Errorf("without the third %v are alive, want nobody", got)
	}
}

// Two speakers have lost the path between them. The others relay the states of each, once, and what they
// relay is lost.
func TestNetwork_RelayedStateIsLost(t *testing.T) {
	for name, state := range map[string]wire.State{"a new state": claiming(1), "a restart": restartingFor(10 * time.Second)} {
		for _, count := range []int{3, 20, 40} {
			n := connect(same(standard, count)...)
			from := n.names[0]
			to := n.next(from)[0] // a watcher
			n.cut = cutBoth(from, to)
			n.run(time.Second)
			n.post(from, n.machines[from].Publish(n.now, state))
			lost := 0
			for began := n.now; n.now.Sub(began) < 4*standard.Interval; n.run(step) {
				n.flying = slices.DeleteFunc(n.flying, func(f flying) bool {
					if f.send.To != to || f.send.Message.Piece.About != wire.IDOf(from) || n.now.Sub(began) >= standard.Interval+2*step {
						return false
					}
					lost++
					return true
				})
			}
			if got := n.peerOf(to, from); lost == 0 || got == nil || got.State.Phase != state.Phase || len(got.State.Claims) != len(state.Claims) {
				t.Errorf("%s, %d speakers: after the loss of %d messages %s has %+v, want the state that %s has published", name, count, lost, to, got, from)
			}
		}
	}
}

func TestNetwork_ProfilesMix(t *testing.T) {
	n := connect(relaxed, standard, fast, relaxed, fast)
	n.run(10 * time.Second)
	n.noneConfirmed(t, "all send")
	n.dead[n.names[3]] = true // its timeout follows from the interval in its messages
	n.run(650 * ms)
	for pair := range n.found {
		t.Errorf("%s found %s dead after less than three of its heartbeats", pair[0], pair[1])
	}
	n.run(2 * time.Second)
	n.agreed(t)
}

func TestNetwork_SuspicionsAndRefutationsAreFew(t *testing.T) {
	n := connect(same(standard, 4)...)
	n.cut = func(from, to lb.NodeName) bool {
		return from == n.names[2] && to == n.names[0] || from == n.names[3] && to == n.names[1]
	}
	before := n.sent
	n.run(2 * time.Second)
	regular := 4 * 3 * int(2*time.Second/standard.Interval)
	if got := n.sent - before; got > 2*regular {
		t.Errorf("%d messages in 2 s, want at most twice the %d regular heartbeats", got, regular)
	}
	n.noneConfirmed(t, "others receive from them")
}

func TestNetwork_OneDiesWhileAnotherStarts(t *testing.T) {
	n := connect(same(standard, 3)...)
	n.dead[n.names[0]] = true
	n.run(50 * ms)
	n.dead[n.names[1]] = true
	n.run(50 * ms)
	n.start(n.names[0], standard)
	n.run(3 * time.Second)
	n.agreed(t)
}

func TestNetwork_RestartLeavesTheStateForAStartingSpeaker(t *testing.T) {
	n := connect(same(standard, 4)...)
	a, b := n.names[0], n.names[1]
	n.post(a, n.machines[a].Publish(n.now, restartingFor(5*time.Second)))
	n.run(100 * ms)
	n.dead[a] = true
	n.start(b, standard)
	n.run(time.Second)
	if got := n.machines[b].View().Peers; len(got) != 3 || got[0].State.Phase != ownership.Restarting || got[0].State.Claims[vip] != 7 {
		t.Errorf("the new process has %+v, want the state that %s restarts with", got, a)
	}
	n.start(a, standard)
	n.run(time.Second)
	n.agreed(t)
	n.noneConfirmed(t, "all are back in time")
}
