package session

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
)

// due is in how long something is due, counted from the start.
func due(t *testing.T, m *Machine) time.Duration {
	t.Helper()
	at, due := m.Next()
	if !due {
		t.Fatal("nothing is due")
	}
	return at.Sub(start)
}

func TestTheIntervalsAreNegotiated(t *testing.T) {
	for _, tt := range []struct {
		name                        string
		local                       bfd.Profile
		theirMultiplier             uint8
		theirTx, theirRx            time.Duration
		transmit, receive, detected time.Duration
	}{
		{"both the same", quick, 3, 100 * ms, 100 * ms, 100 * ms, 100 * ms, 300 * ms},
		{"the other side takes less than we want to send", quick, 3, 100 * ms, 400 * ms, 400 * ms, 100 * ms, 300 * ms},
		{"the other side sends less than we can take", quick, 5, 400 * ms, 10 * ms, 100 * ms, 400 * ms, 2 * time.Second},
		{"we take less than the other side wants to send", bfd.Profile{Receive: 400 * ms, Transmit: 50 * ms, Multiplier: 9}, 2, 10 * ms, 10 * ms, 50 * ms, 400 * ms, 800 * ms},
		{"the other side takes nothing", quick, 3, 100 * ms, 0, 0, 100 * ms, 300 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := in(t, bfd.Up, tt.local)
			p := from(bfd.Up)
			p.Multiplier, p.DesiredMinTx, p.RequiredMinRx, p.Final = tt.theirMultiplier, tt.theirTx, tt.theirRx, true
			m.Receive(start, p)
			got := m.Status()
			if got.Transmit != tt.transmit || got.Receive != tt.receive || got.Detection != tt.detected {
				t.Errorf("sends every %s, receives every %s and waits %s; want %s, %s and %s",
					got.Transmit, got.Receive, got.Detection, tt.transmit, tt.receive, tt.detected)
			}
		})
	}
}

func TestJitterStaysWithinItsBounds(t *testing.T) {
	for _, tt := range []struct {
		multiplier uint8
		chance     float64
		want       time.Duration
	}{
		{3, 0, 75 * ms},
		{3, 0.999999999, 100 * ms},
		{1, 0, 75 * ms},
		{1, 0.999999999, 90 * ms},
	} {
		p := quick
		p.Multiplier = tt.multiplier
		m := New(start, mine, p, func() float64 { return tt.chance })
		m.Receive(start, from(bfd.Init))
		if got := due(t, m).Round(ms); got != tt.want {
			t.Errorf("multiplier %d, chance %v: the next packet is due in %s, want %s", tt.multiplier, tt.chance, got, tt.want)
		}
	}
}

func TestPacketsAreSlowWhileTheSessionIsNotUp(t *testing.T) {
	m := New(start, mine, quick, always)
	out := m.Tick(start)
	if len(out) != 1 || out[0].DesiredMinTx != time.Second || due(t, m) != time.Second {
		t.Errorf("it begins with %+v and the next is due in %s, want 1 s in both", out, due(t, m))
	}
	out = m.Receive(start, from(bfd.Init))
	if len(out) != 1 || out[0].DesiredMinTx != 100*ms || !out[0].Poll || due(t, m) != 100*ms {
		t.Errorf("when Up it sends %+v and the next is due in %s, want a poll with 100 ms", out, due(t, m))
	}
	out = m.Receive(start, from(bfd.Down))
	if len(out) != 1 || out[0].DesiredMinTx != time.Second || out[0].Poll {
		t.Errorf("when Down it sends %+v, want 1 s again and no poll", out)
	}
}

func TestAPollIsAnsweredAtOnce(t *testing.T) {
	m := in(t, bfd.Up, quick)
	before := due(t, m)
	p := from(bfd.Up)
	p.Poll = true
	out := m.Receive(start.Add(10*ms), p)
	want := []wire.Packet{{State: bfd.Up, Final: true, Multiplier: 3, Mine: mine, Yours: yours, DesiredMinTx: 100 * ms, RequiredMinRx: 100 * ms}}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if after := due(t, m); after != before {
		t.Errorf("the next packet is due in %s, want %s as before: the answer is besides them", after, before)
	}
}

// settled is a session that is Up, with no poll sequence under way.
func settled(t *testing.T, p bfd.Profile) *Machine {
	t.Helper()
	m := in(t, bfd.Up, p)
	f := from(bfd.Up)
	f.Final = true
	m.Receive(start, f)
	return m
}

func TestChangeOfARunningSessionGoesThroughAPoll(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		next                 bfd.Profile
		poll                 bool
		sendBefore, detected time.Duration // until the other side has answered
		sendAfter, detectedA time.Duration
	}{
		{"sending less often waits", bfd.Profile{Transmit: 400 * ms, Receive: 100 * ms, Multiplier: 3}, true, 100 * ms, 300 * ms, 400 * ms, 300 * ms},
		{"sending more often does not", bfd.Profile{Transmit: 110 * ms, Receive: 100 * ms, Multiplier: 3}, true, 100 * ms, 300 * ms, 110 * ms, 300 * ms},
		{"taking more waits", bfd.Profile{Transmit: 100 * ms, Receive: 50 * ms, Multiplier: 3}, true, 100 * ms, 300 * ms, 100 * ms, 300 * ms},
		{"taking less does not", bfd.Profile{Transmit: 100 * ms, Receive: 200 * ms, Multiplier: 3}, true, 100 * ms, 600 * ms, 100 * ms, 600 * ms},
		{"the multiplier needs no poll", bfd.Profile{Transmit: 100 * ms, Receive: 100 * ms, Multiplier: 9}, false, 100 * ms, 300 * ms, 100 * ms, 300 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := settled(t, quick)
			m.SetProfile(tt.next)
			if got := m.Status(); got.Transmit != tt.sendBefore || got.Detection != tt.detected {
				t.Errorf("before the answer it sends every %s and waits %s, want %s and %s", got.Transmit, got.Detection, tt.sendBefore, tt.detected)
			}
			out := m.Tick(start.Add(100 * ms))
			if len(out) != 1 || out[0].Poll != tt.poll || out[0].DesiredMinTx != tt.next.Transmit || out[0].RequiredMinRx != tt.next.Receive || out[0].Multiplier != tt.next.Multiplier {
				t.Fatalf("the next packet is %+v, want one with the new profile, poll %v", out, tt.poll)
			}
			f := from(bfd.Up)
			f.Final = true
			m.Receive(start.Add(100*ms), f)
			if got := m.Status(); got.Transmit != tt.sendAfter || got.Detection != tt.detectedA || got.State != bfd.Up || got.Transitions != 2 {
				t.Errorf("after the answer it sends every %s, waits %s and is %s after %d transitions; want %s, %s, Up and 2",
					got.Transmit, got.Detection, got.State, got.Transitions, tt.sendAfter, tt.detectedA)
			}
			if out := m.Tick(start.Add(500 * ms)); len(out) != 1 || out[0].Poll {
				t.Errorf("then it sends %+v, want no poll any more", out)
			}
		})
	}
}

func TestLongerIntervalOfTheRemoteSystemCountsAtOnce(t *testing.T) {
	m := settled(t, bfd.Profile{Transmit: 100 * ms, Receive: 10 * ms, Multiplier: 3})
	if got := m.Status().Detection; got != 300*ms {
		t.Fatalf("it waits %s, want 300ms", got)
	}
	p := from(bfd.Up)
	p.DesiredMinTx, p.Poll = 500*ms, true
	m.Receive(start, p)
	if got := m.Status().Detection; got != 1500*ms {
		t.Errorf("it waits %s, want 1.5s", got)
	}
}

func TestChangeDuringAPollIsSentByTheNextPoll(t *testing.T) {
	m := settled(t, quick)
	m.SetProfile(bfd.Profile{Transmit: 200 * ms, Receive: 100 * ms, Multiplier: 3})
	m.SetProfile(bfd.Profile{Transmit: 400 * ms, Receive: 100 * ms, Multiplier: 3})
	final := from(bfd.Up)
	final.Final = true
	var noticed []time.Duration
	for range 3 {
		now := m.sent.Add(m.sendInterval())
		for _, p := range m.Tick(now) {
			noticed = append(noticed, p.DesiredMinTx)
		}
		for range 8 { // it is there all the time
			m.Receive(now, final)
			now = now.Add(50 * ms)
		}
	}
	if diff := cmp.Diff([]time.Duration{200 * ms, 400 * ms, 400 * ms}, noticed); diff != "" {
		t.Errorf("DesiredMinTx of the packets (-want +got):\n%s", diff)
	}
	if got := m.Status().Transmit; got != 400*ms {
		t.Errorf("it sends every %s in the end, want 400ms", got)
	}
}

func TestAShorterIntervalOfTheOtherSideIsHonouredAtOnce(t *testing.T) {
	m := settled(t, bfd.Profile{Transmit: 50 * ms, Receive: 100 * ms, Multiplier: 3})
	if got := due(t, m); got != 100*ms {
		t.Fatalf("the next packet is due in %s, want 100ms", got)
	}
	p := from(bfd.Up)
	p.RequiredMinRx = 50 * ms
	m.Receive(start.Add(60*ms), p)
	if got := due(t, m); got != 50*ms {
		t.Errorf("the next packet is due at %s, want 50ms, which has passed", got)
	}
}

func TestDemandOfTheOtherSideStopsPeriodicPacketsOnly(t *testing.T) {
	m := settled(t, quick)
	p := from(bfd.Up)
	p.Demand = true
	m.Receive(start, p)
	if got := m.Status().Transmit; got != 0 {
		t.Errorf("it sends every %s, want never", got)
	}
	m.SetProfile(bfd.Profile{Transmit: 200 * ms, Receive: 100 * ms, Multiplier: 3})
	if out := m.Tick(start.Add(100 * ms)); len(out) != 1 || !out[0].Poll {
		t.Errorf("sent %+v after a change, want a poll", out)
	}
	p.Poll, p.Final = true, true
	if out := m.Receive(start.Add(100*ms), p); len(out) != 1 || !out[0].Final {
		t.Errorf("a poll is answered by %+v, want Final", out)
	}
}

func TestSystemThatDidNotRunFailsNoSession(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ticks  []time.Duration
		stalls uint64
		want   bfd.State
	}{
		{"silence, watched all the time", []time.Duration{100 * ms, 200 * ms, 300 * ms}, 0, bfd.Down},
		{"a little late is not stalled", []time.Duration{100 * ms, 200 * ms, 390 * ms}, 0, bfd.Down},
		{"stalled for two seconds", []time.Duration{100 * ms, 2200 * ms}, 1, bfd.Up},
		{"and the other side is silent afterwards", []time.Duration{100 * ms, 2200 * ms, 2300 * ms, 2400 * ms, 4300 * ms}, 1, bfd.Down},
		{"stalled twice: the first stall alone is ignored", []time.Duration{100 * ms, 2200 * ms, 9000 * ms}, 1, bfd.Down},
		{"stalled within the detection time", []time.Duration{100 * ms, 290 * ms}, 0, bfd.Up},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := settled(t, quick)
			for _, at := range tt.ticks {
				m.Tick(start.Add(at))
			}
			if got := m.Status(); got.State != tt.want || got.Stalls != tt.stalls {
				t.Errorf("it is %s after %d stalls, want %s after %d", got.State, got.Stalls, tt.want, tt.stalls)
			}
		})
	}
	t.Run("a packet ends the grace period", func(t *testing.T) {
		m := settled(t, quick)
		m.Tick(start.Add(2 * time.Second))
		m.Receive(start.Add(2*time.Second), from(bfd.Up))
		if got := m.Status(); got.State != bfd.Up || due(t, m) > 2300*ms {
			t.Errorf("it is %s, and waits until %s; want Up and 2.3s at most", got.State, due(t, m))
		}
	})
}

func TestIntervalsAreCutToWhatThePacketCanCarry(t *testing.T) {
	m := New(start, mine, bfd.Profile{Receive: time.Nanosecond, Transmit: 100 * time.Hour, Multiplier: 3}, always)
	out := m.Tick(start)
	if len(out) != 1 || out[0].RequiredMinRx != time.Microsecond || out[0].DesiredMinTx != wire.MaxInterval {
		t.Errorf("it sent %+v, want 1µs and %s", out, wire.MaxInterval)
	}
}
