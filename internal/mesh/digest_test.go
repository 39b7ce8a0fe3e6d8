package mesh

import (
	"slices"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// strangers returns two speakers that do not watch each other.
func (n *network) strangers(t *testing.T) (one, other lb.NodeName) {
	t.Helper()
	one = n.names[0]
	for _, name := range n.names[1:] {
		if !n.machines[one].peers[name].arc && !n.machines[name].peers[one].arc {
			return one, name
		}
	}
	t.Fatalf("%d speakers all watch %s, or are watched by it", len(n.names), one)
	return "", ""
}

// peerOf returns a peer in the view of a speaker; nil: it is not alive there.
func (n *network) peerOf(by, name lb.NodeName) *Peer {
	for _, p := range n.machines[by].View().Peers {
		if p.Node == name {
			return &p
		}
	}
	return nil
}

// within fails unless a condition holds before a time has passed.
func (n *network) within(t *testing.T, d time.Duration, what string, so func() bool) {
	t.Helper()
	begun := n.now
	for !so() {
		if n.now.Sub(begun) >= d {
			t.Fatalf("%s: not after %s", what, d)
		}
		n.run(step)
	}
	t.Logf("%s: after %s", what, n.now.Sub(begun))
}

func TestNetwork_TwoThatDoNotWatchEachOtherLoseTheirPath(t *testing.T) {
	const count = 30
	n := connect(same(standard, count)...)
	a, b := n.strangers(t)
	claims := func(count int) func() bool {
		return func() bool { p := n.peerOf(b, a); return p != nil && len(p.State.Claims) == count }
	}
	n.cut = cutBoth(a, b)
	n.run(standard.Timeout)
	n.publish(a, claiming(400))
	n.within(t, 700*ms, "a new state of several pieces", claims(400))
	n.publish(a, claiming(3))
	n.within(t, 500*ms, "a second one", claims(3))
	n.publish(a, restartingFor(2*time.Second))
	n.within(t, 500*ms, "a restart", func() bool { return n.peerOf(b, a).State.Phase == ownership.Restarting })
	n.start(a, standard)
	n.publish(a, claiming(5))
	n.within(t, time.Second, "a state of a new process", claims(5))
	n.start(b, standard)
	n.within(t, time.Second, "the state for a new process", claims(5))
	if p := n.peerOf(a, b); p == nil {
		t.Errorf("%s does not have %s alive, which started without a path between them", a, b)
	}
	n.noneConfirmed(t, "without a path between two")
	n.within(t, (silentRounds+1)*count*standard.Interval, "the lost path in the view", func() bool { return n.peerOf(b, a).Lost && n.peerOf(a, b).Lost })
	n.dead[a] = true
	n.within(t, time.Second, "its death", func() bool { return n.peerOf(b, a) == nil })
	n.run(3 * time.Second)
	n.agreed(t)
	n.cut = func(_, _ lb.NodeName) bool { return false }
	n.start(a, standard)
	n.within(t, time.Second, "the healed path", func() bool { p := n.peerOf(b, a); return p != nil && !p.Lost })
}

func TestNetwork_DeathWhileSessionsBegin(t *testing.T) {
	n := connect(same(standard, 40)...)
	dying := n.names[0]
	next := n.next(dying)
	by, late := next[:watchersPerPeer], next[20]
	n.cut = func(from, to lb.NodeName) bool { return from == late || to == late }
	n.run(2 * time.Second)
	// One that watches the dying speaker is met again, relays its state, and suspects it alone.
	n.cut = cutBoth(late, append(slices.Clone(by[1:]), dying)...)
	n.within(t, time.Second, "the relayed state", func() bool { return n.peerOf(late, dying) != nil })
	n.dead[dying] = true
	n.run(2 * standard.Timeout)
	n.cut = func(_, _ lb.NodeName) bool { return false }
	n.within(t, standard.Timeout, "the death, once those that watch it are met", func() bool { return n.peerOf(late, dying) == nil })
}

func TestNetwork_DigestsCostNothingWhileNothingIsMissing(t *testing.T) {
	n := connect(same(standard, 40)...)
	n.run(time.Second)
	pulls := 0
	for range 5 {
		n.publish(n.names[0], claiming(10))
		for range 40 {
			n.run(step)
			for _, f := range n.flying {
				if f.send.Message.Kind == wire.KindPull {
					pulls++
				}
			}
		}
	}
	if pulls > 0 {
		t.Errorf("%d pulls while all messages arrive, want none", pulls)
	}
}
