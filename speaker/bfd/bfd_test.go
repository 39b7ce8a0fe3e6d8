package bfd

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
)

var (
	quick   = bfd.Profile{Receive: 100 * time.Millisecond, Transmit: 100 * time.Millisecond, Multiplier: 3}
	toRight = Key{Peer: right}
	toLeft  = Key{Peer: left}
)

// pair is two hosts whose sessions with each other are Up.
func pair(t *testing.T) (a, b *host) {
	t.Helper()
	s := newSegment()
	a, b = s.host(t, left), s.host(t, right)
	a.engine.Set(map[Key]bfd.Profile{toRight: quick})
	b.engine.Set(map[Key]bfd.Profile{toLeft: quick})
	time.Sleep(5 * time.Second)
	a.is(t, toRight, bfd.Up)
	b.is(t, toLeft, bfd.Up)
	return a, b
}

func (h *host) is(t *testing.T, k Key, want bfd.State) Status {
	t.Helper()
	synctest.Wait()
	s, known := h.engine.Status(k)
	if !known || s.State != want {
		t.Errorf("%s: its session is %s (known: %v, problem %q), want %s", h.address, s.State, known, s.Problem, want)
	}
	return s
}

// count is the value of a metric, added up over its labels that match.
func (h *host) count(t *testing.T, name, label string) (sum float64) {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == prometheus.BuildFQName("lbstack", "bfd", name) && (len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() == label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestSessionComesUpAndItsFailureIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		if states := a.states(); states[len(states)-1] != bfd.Up {
			t.Errorf("reported %v, want Up at last", states)
		}
		if got := a.is(t, toRight, bfd.Up); got.Transmit != quick.Transmit || got.Detection != 300*time.Millisecond {
			t.Errorf("it sends every %s and waits %s, want 100ms and 300ms", got.Transmit, got.Detection)
		}
		a.set(func(s *segment) { s.cut = true })
		time.Sleep(301 * time.Millisecond)
		if got := a.is(t, toRight, bfd.Down); !got.Failed || got.Diagnostic != bfd.DetectionTimeExpired {
			t.Errorf("got %+v, want a failure by silence", got)
		}
		a.set(func(s *segment) { s.cut = false })
		time.Sleep(5 * time.Second)
		a.is(t, toRight, bfd.Up)
		b.is(t, toLeft, bfd.Up)
		if got := a.count(t, "flaps_total", ""); got != 1 {
			t.Errorf("%v flaps are counted, want 1", got)
		}
		if up, down := a.count(t, "sessions", "Up"), a.count(t, "sessions", "Down"); up != 1 || down != 0 {
			t.Errorf("%v sessions are counted as Up and %v as Down, want 1 and 0", up, down)
		}
	})
}

func TestNothingListensUnlessAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newSegment().host(t, left)
		listens := func(want ...PacketClass) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, a.listening()); diff != "" {
				t.Errorf("it listens on (-want +got):\n%s", diff)
			}
		}
		listens()
		a.engine.Set(map[Key]bfd.Profile{toRight: quick})
		listens(PacketClass{})
		a.engine.Set(map[Key]bfd.Profile{{Peer: right, Multihop: true}: quick})
		time.Sleep(time.Second) // the end of the first session is reported
		listens(PacketClass{Multihop: true})
		a.engine.Set(nil)
		time.Sleep(time.Second)
		listens()
	})
}

func TestStopSendsAdminDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		a.engine.Stop(over) // once is enough
		if got := b.is(t, toLeft, bfd.Down); !got.IsRemoteAdminDown() || got.Failed {
			t.Errorf("the other side has %+v, want AdminDown, and no failure", got)
		}
		a.engine.Set(map[Key]bfd.Profile{toRight: quick})
		time.Sleep(time.Second)
		if _, known := a.engine.Status(toRight); known {
			t.Error("after Stop there is a session")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t)
		before := a.sent
		a.engine.Stop(context.Background())
		if got := a.sent - before; got != adminDownRepeats {
			t.Errorf("the end was reported %d times, want %d", got, adminDownRepeats)
		}
	})
}

func TestSessionThatIsNoLongerWantedSendsAdminDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		a.engine.Set(nil)
		if got := b.is(t, toLeft, bfd.Down); !got.IsRemoteAdminDown() {
			t.Errorf("the other side has %+v, want AdminDown", got)
		}
		// The session is wanted again before its end was reported.
		a.engine.Set(map[Key]bfd.Profile{toRight: quick})
		time.Sleep(5 * time.Second)
		a.is(t, toRight, bfd.Up)
		if got := b.is(t, toLeft, bfd.Up); got.Flaps != 0 {
			t.Errorf("the other side has %d flaps, want 0", got.Flaps)
		}
		a.engine.Set(nil)
		time.Sleep(time.Second)
		if _, known := a.engine.Status(toRight); known {
			t.Error("it is still there")
		}
		if got := a.count(t, "sessions", "AdminDown"); got != 0 {
			t.Errorf("%v sessions are counted as AdminDown, want 0", got)
		}
	})
}

func TestChangeOfARunningSessionDoesNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		before, beforeB := a.is(t, toRight, bfd.Up).Transitions, b.is(t, toLeft, bfd.Up).Transitions
		for _, interval := range []time.Duration{time.Second, 50 * time.Millisecond, 400 * time.Millisecond} {
			a.engine.Set(map[Key]bfd.Profile{toRight: {Receive: interval, Transmit: interval, Multiplier: 4}})
			time.Sleep(5 * time.Second)
			want := max(interval, quick.Receive)
			if got := a.is(t, toRight, bfd.Up); got.Transitions != before || got.Transmit != want {
				t.Errorf("it sends every %s after %d transitions, want %s after %d", got.Transmit, got.Transitions, want, before)
			}
			if got := b.is(t, toLeft, bfd.Up); got.Transitions != beforeB || got.Detection != 4*want {
				t.Errorf("the other side waits %s after %d transitions, want %s after %d", got.Detection, got.Transitions, 4*want, beforeB)
			}
		}
	})
}

func TestEngineThatDidNotRunFailsNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		slow := quick
		slow.Multiplier = 255 // the other side waits for us
		elsewhere := Key{Peer: right, Multihop: true}
		a.engine.Set(map[Key]bfd.Profile{toRight: slow})
		time.Sleep(5 * time.Second)
		a.set(func(s *segment) {
			s.taken[PacketClass{Multihop: true}] = true // the problem is reported, and the report takes long
			a.hangs = 2 * time.Second
		})
		a.engine.Set(map[Key]bfd.Profile{toRight: slow, elsewhere: quick})
		time.Sleep(5 * time.Second)
		if got := a.is(t, toRight, bfd.Up); got.Flaps != 0 {
			t.Errorf("there were %d flaps, want 0", got.Flaps)
		}
		if got := a.count(t, "late_ticks_total", ""); got < 1 {
			t.Errorf("%v late ticks are counted, want 1 at least", got)
		}
		if got := b.is(t, toLeft, bfd.Up); got.Flaps != 0 {
			t.Errorf("the other side has %d flaps, want 0", got.Flaps)
		}
	})
}

func TestPortInUseIsReportedAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSegment()
		a, b := s.host(t, left), s.host(t, right)
		s.set(func(s *segment) { s.taken[PacketClass{}] = true })
		a.engine.Set(map[Key]bfd.Profile{toRight: quick})
		b.engine.Set(map[Key]bfd.Profile{toLeft: quick})
		got := a.is(t, toRight, bfd.Down)
		if !strings.Contains(got.Problem, "3784 is taken by another program") || len(a.states()) != 1 {
			t.Errorf("got the problem %q, reported %d times; want the port in use, once", got.Problem, len(a.states()))
		}
		time.Sleep(10 * time.Second)
		if a.sent > 0 || len(a.states()) != 1 {
			t.Errorf("%d packets were sent and %d changes reported, want none and 1", a.sent, len(a.states()))
		}
		time.Sleep(2 * time.Minute)
		s.set(func(s *segment) {
			if s.taken[PacketClass{}] = false; s.refused < 26 || s.refused > 42 {
				t.Errorf("got %d attempts of two hosts in 130 s, want 26 to 42: later each time, up to 10 s", s.refused)
			}
		})
		time.Sleep(20 * time.Second)
		if got := a.is(t, toRight, bfd.Up); got.Problem != "" {
			t.Errorf("the problem is still %q", got.Problem)
		}
		for _, port := range a.ports {
			if port < firstSourcePort {
				t.Errorf("it sends from port %d, want one from %d on", port, firstSourcePort)
			}
		}
	})
}

func TestASocketThatFailsIsOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t)
		port := a.ports[len(a.ports)-1]
		a.open[PacketClass{}].fails <- errors.New("the network is down")
		if got := a.is(t, toRight, bfd.Up); !strings.Contains(got.Problem, "the network is down") {
			t.Errorf("the problem is %q, want what failed", got.Problem)
		}
		time.Sleep(10 * time.Second)
		if got := a.is(t, toRight, bfd.Up); got.Problem != "" || got.Flaps != 1 {
			t.Errorf("then the problem is %q after %d flaps, want none after 1", got.Problem, got.Flaps)
		}
		a.set(func(s *segment) { s.failing = syscall.ENODEV })
		time.Sleep(10 * time.Second)
		if got := a.is(t, toRight, bfd.Down); !strings.Contains(got.Problem, "sending BFD packets to 192.168.1.2 failed: no such device") {
			t.Errorf("the problem is %q, want that it cannot send", got.Problem)
		}
		reportedBefore := len(a.states())
		time.Sleep(time.Minute)
		if got := len(a.states()); got != reportedBefore {
			t.Errorf("the problem was reported %d times more, want once", got-reportedBefore)
		}
		a.set(func(s *segment) { s.failing = nil })
		time.Sleep(20 * time.Second)
		if got := a.is(t, toRight, bfd.Up); got.Problem != "" {
			t.Errorf("the problem is still %q", got.Problem)
		}
		if got := a.ports[len(a.ports)-1]; got != port {
			t.Errorf("it sends from port %d, want %d as before", got, port)
		}
	})
}

func TestPacketsThatAreNotRightChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		down := wire.Packet{State: bfd.Down, Multiplier: 3, Mine: 1, DesiredMinTx: time.Second, RequiredMinRx: time.Second}
		named := down
		named.Yours = 12345
		good := Arrival{Packet: wire.Encode(down), From: left, To: right, TTL: maxTTL}
		for _, tt := range []struct {
			name, reason string
			change       func(*Arrival)
		}{
			{"it is garbage", ignoredMalformed, func(a *Arrival) { a.Packet = []byte("garbage") }},
			{"it came from afar", ignoredTTL, func(a *Arrival) { a.TTL = 254 }},
			{"it is from a stranger", ignoredUnknown, func(a *Arrival) { a.From = right }},
			{"it is for a session that does not exist", ignoredUnknown, func(a *Arrival) { a.Packet = wire.Encode(named) }},
			{"it is for a session with another host", ignoredUnknown, func(a *Arrival) {
				named.Yours = b.number()
				a.Packet, a.From = wire.Encode(named), right
			}},
		} {
			before, changes := b.count(t, "packets_ignored_total", tt.reason), b.is(t, toLeft, bfd.Up).Transitions
			packet := good
			tt.change(&packet)
			a.deliver(toRight, packet)
			if got := b.is(t, toLeft, bfd.Up); got.Transitions != changes {
				t.Errorf("%s: there were %d transitions, want %d", tt.name, got.Transitions, changes)
			}
			if got := b.count(t, "packets_ignored_total", tt.reason) - before; got != 1 {
				t.Errorf("%s: %v packets were counted as %s, want 1", tt.name, got, tt.reason)
			}
		}
		// One from the router's address that names no session is doubted, and the router sends.
		a.deliver(toRight, good)
		time.Sleep(time.Second)
		b.is(t, toLeft, bfd.Up)
		named.Yours = b.number()
		good.Packet = wire.Encode(named)
		a.deliver(toRight, good)
		b.is(t, toLeft, bfd.Down) // the one that is right does
	})
}

// number is the discriminator of the host's only session.
func (h *host) number() uint32 {
	h.engine.mu.Lock()
	defer h.engine.mu.Unlock()
	for n := range h.engine.byDiscriminator {
		return n
	}
	return 0
}

func TestMultihopPacketsMustNotComeFromTooFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newSegment().host(t, left)
		p := quick
		p.MinimumTTL = 250
		k := Key{Peer: right, Multihop: true}
		a.engine.Set(map[Key]bfd.Profile{k: p})
		synctest.Wait()
		down := wire.Encode(wire.Packet{State: bfd.Down, Multiplier: 3, Mine: 1, DesiredMinTx: time.Second, RequiredMinRx: time.Second})
		receive := func(ttl int) {
			a.deliver(Key{Peer: left, Multihop: true}, Arrival{Packet: down, From: right, To: left, TTL: ttl})
		}
		receive(249)
		a.is(t, k, bfd.Down)
		receive(250)
		a.is(t, k, bfd.Init)
	})
}
