package layer2_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// failingBack returns a bed in which z1 has both addresses and has been alive for long. The node self
// is preferred and has just started.
func failingBack(t *testing.T, allowed bool) *bed {
	b := newBed(t, func(c *layer2.Config) { c.Failback = allowed })
	b.want.Addresses = want(wanted(a1, self, "p1", "p2", "z1"), wanted(a2, self, "p1", "p2", "z1"))
	b.view.Peers = []mesh.Peer{peer("z1", ownership.Claims{a1: 1, a2: 1})}
	b.inform()
	return b
}

func TestNothingMovesBackUnlessItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := failingBack(t, false)
		b.after(time.Hour)
		b.inform()
		b.silent("an hour later")
	})
}

func TestAddressesMoveBackOneASecondToANodeAliveForHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := failingBack(t, true)
		b.after(29999 * time.Millisecond)
		b.silent("before half a minute")
		b.after(time.Millisecond)
		b.claims("after half a minute", ownership.Active, ownership.Claims{a1: 2})
		b.receive(b.view.Peers...)
		b.claims("while z1 has not received it", ownership.Active, ownership.Claims{a1: 2})
		b.receive(peer("z1", ownership.Claims{a2: 1}))
		b.after(999 * time.Millisecond)
		b.claims("before another second is over", ownership.Active, ownership.Claims{a1: 2})
		b.after(time.Millisecond)
		b.claims("a second later", ownership.Active, ownership.Claims{a1: 2, a2: 2})
		b.same("the metrics", 2.0, b.counted()["failback"])
	})
}

func TestNothingMovesBackForASecondAfterAMoveElsewhere(t *testing.T) {
	tests := []struct {
		name  string
		then  []mesh.Peer
		waits bool
	}{
		{name: "between two healthy nodes", then: []mesh.Peer{peer("p1", nil)}, waits: true},
		{name: "at once when the owner before is dead"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := failingBack(t, true)
				b.receive(peer("p1", ownership.Claims{a2: 1}), peer("z1", ownership.Claims{a1: 1}))
				b.after(29500 * time.Millisecond)
				b.receive(append(tt.then, peer("p2", ownership.Claims{a2: 2}), peer("z1", ownership.Claims{a1: 1}))...)
				b.after(700 * time.Millisecond)
				b.receive(b.view.Peers...)
				if tt.waits {
					b.silent("before a second is over")
					b.after(300 * time.Millisecond)
					b.receive(b.view.Peers...)
				}
				b.claims("in the end", ownership.Active, ownership.Claims{a1: 2})
			})
		})
	}
}

func TestMorePreferredNodeGetsTheAddressOnceAliveForLong(t *testing.T) {
	tests := []struct {
		name  string
		alive time.Duration // of p2, when self has been alive for half a minute
		want  ownership.Claims
	}{
		{name: "the more preferred node has been alive for half a minute", alive: 30 * time.Second},
		{name: "the more preferred node has not", alive: 29 * time.Second, want: ownership.Claims{a1: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, func(c *layer2.Config) { c.Failback = true })
				preferred := peer("p2", nil)
				preferred.Since = time.Now().Add(30*time.Second - tt.alive)
				b.want.Addresses = want(wanted(a1, "p2", self, "z1"))
				b.view.Peers = []mesh.Peer{preferred, peer("z1", ownership.Claims{a1: 1})}
				b.inform()
				b.after(30 * time.Second)
				b.claims("after half a minute", ownership.Active, tt.want)
			})
		})
	}
}
