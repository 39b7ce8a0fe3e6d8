package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
)

// link joins two sessions. It loses packets and changes their order, as its seed
// says, and checks what must be true whatever happens.
type link struct {
	*testing.T
	random *rand.Rand
	now    time.Time
	side   [2]*Machine
	flight []flying
	loss   float64
	latest time.Duration // that a packet may arrive after it was sent
	cut    [2]bool       // what the side sends is lost
}

type flying struct {
	to int
	at time.Time
	p  wire.Packet
}

func newLink(t *testing.T, seed uint64, profiles [2]bfd.Profile) *link {
	l := &link{T: t, random: rand.New(rand.NewPCG(seed, 0)), now: start, latest: 20 * ms}
	for i := range l.side {
		l.side[i] = New(start, uint32(i+1), profiles[i], l.random.Float64)
	}
	return l
}

func (l *link) send(from int, out []wire.Packet) {
	for _, p := range out {
		if p.Mine != uint32(from+1) || p.Poll && p.Final || p.Yours != 0 && p.Yours != uint32(2-from) {
			l.Fatalf("side %d sent %+v", from, p)
		}
		if p.State != bfd.Up && p.DesiredMinTx < time.Second {
			l.Fatalf("side %d is %s and wants to send every %s", from, p.State, p.DesiredMinTx)
		}
		// It goes over the wire as bytes.
		p, err := wire.Decode(wire.Encode(p))
		if err != nil {
			l.Fatalf("side %d: %v", from, err)
		}
		if !l.cut[from] && l.random.Float64() >= l.loss {
			l.flight = append(l.flight, flying{1 - from, l.now.Add(time.Duration(l.random.Int64N(int64(l.latest)))), p})
		}
	}
}

// run lets time pass until the condition holds, and reports whether it did in time.
func (l *link) run(within time.Duration, condition func() bool) bool {
	for end := l.now.Add(within); !condition(); {
		next := end
		for _, m := range l.side {
			if at, due := m.Next(); due && at.Before(next) {
				next = at
			}
		}
		slices.SortStableFunc(l.flight, func(x, y flying) int { return x.at.Compare(y.at) })
		if len(l.flight) > 0 && l.flight[0].at.Before(next) {
			next = l.flight[0].at
		}
		if next.After(l.now) {
			l.now = next
		}
		if !l.now.Before(end) {
			return false
		}
		for len(l.flight) > 0 && !l.flight[0].at.After(l.now) {
			f := l.flight[0]
			l.flight = l.flight[1:]
			l.send(f.to, l.side[f.to].Receive(l.now, f.p))
		}
		for i, m := range l.side {
			l.send(i, m.Tick(l.now))
		}
	}
	return true
}

func (l *link) both(s bfd.State) func() bool {
	return func() bool { return l.side[0].Status().State == s && l.side[1].Status().State == s }
}

func (l *link) never() bool { return false }

// agrees reports whether both sides live by what their profiles ask for.
func (l *link) agrees() bool {
	for i, m := range l.side {
		other := l.side[1-i]
		got, want := m.Status(), max(m.Profile().Transmit, other.Profile().Receive)
		if got.Transmit != want || other.Status().Receive != want {
			return false
		}
	}
	return true
}

func drawnProfile(random *rand.Rand) bfd.Profile {
	interval := func() time.Duration { return time.Duration(50+random.IntN(400)) * ms }
	return bfd.Profile{Receive: interval(), Transmit: interval(), Multiplier: uint8(3 + random.IntN(3))}
}

func TestTwoSidesOverABadLink(t *testing.T) {
	const seeds = 200
	base := uint64(time.Now().UnixNano())
	for i := range uint64(seeds) {
		seed := base + i
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			l := newLink(t, seed, [2]bfd.Profile{drawnProfile(random), drawnProfile(random)})
			l.side[0].SetProfile(func() bfd.Profile { p := drawnProfile(random); p.Passive = random.IntN(2) == 0; return p }())

			l.loss = 0.3
			if !l.run(5*time.Minute, l.both(bfd.Up)) {
				t.Fatalf("with every third packet lost they are %s and %s after 5 min", l.side[0].Status().State, l.side[1].Status().State)
			}
			l.loss = 0
			l.run(5*time.Second, l.never) // what was lost before may still show
			if !l.run(time.Minute, func() bool { return l.both(bfd.Up)() && l.agrees() }) {
				t.Fatalf("without loss they do not agree:\n%+v\n%+v", l.side[0].Status(), l.side[1].Status())
			}
			flaps := func() uint64 { return l.side[0].Status().Flaps + l.side[1].Status().Flaps }
			calm := flaps()
			for range 3 {
				changed := random.IntN(2)
				p := drawnProfile(random)
				l.side[changed].SetProfile(p)
				l.run(time.Duration(random.IntN(1500))*ms, l.never)
				if !l.both(bfd.Up)() || flaps() != calm {
					t.Fatalf("a live change to %+v made it flap", p)
				}
			}
			if !l.run(time.Minute, l.agrees) || !l.both(bfd.Up)() {
				t.Fatalf("after live changes they do not agree:\n%+v\n%+v", l.side[0].Status(), l.side[1].Status())
			}

			l.run(time.Second, l.never) // the multipliers arrive
			// One direction is cut: the side that no longer receives notices within the detection time,
			// and sends Down to the other, which ignores Down for an interval, or until the detection time
			// has passed. A passive side may send nothing, so that the other receives nothing either.
			receivesNothing := random.IntN(2)
			within := l.side[receivesNothing].Status().Detection
			l.cut[1-receivesNothing] = true
			down := func() bool { return l.side[receivesNothing].Status().State == bfd.Down }
			if !l.run(within+l.latest+ms, down) {
				t.Fatalf("not down %s after the link was cut", within)
			}
			if got := l.side[receivesNothing].Status(); got.Diagnostic != bfd.DetectionTimeExpired || !got.Failed {
				t.Fatalf("its status is %+v, want a failure by silence", got)
			}
			noticed := l.latest + l.side[1-receivesNothing].Status().Detection + ms
			if !l.run(noticed, func() bool { return l.side[1-receivesNothing].Status().State == bfd.Down }) {
				t.Fatal("the other side did not go Down")
			}
			l.cut[1-receivesNothing] = false
			if !l.run(time.Minute, l.both(bfd.Up)) {
				t.Fatal("not up again")
			}
			l.run(5*time.Second, l.never) // a packet that was overtaken may take it down once more

			// The administrator of one side: no failure for the other.
			calm = flaps()
			l.send(0, l.side[0].SetAdminDown(l.now, true))
			if !l.run(time.Second, func() bool { return l.side[1].Status().IsRemoteAdminDown() }) {
				t.Fatal("AdminDown did not arrive")
			}
			if l.side[1].Status().Failed || flaps() != calm {
				t.Fatal("AdminDown counts as a failure")
			}
			l.send(0, l.side[0].SetAdminDown(l.now, false))
			if !l.run(time.Minute, l.both(bfd.Up)) {
				t.Fatal("not up after AdminDown")
			}
		})
	}
}
