package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
)

const (
	mine, yours = 7, 9
	ms          = time.Millisecond
)

var (
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	quick = bfd.Profile{Receive: 100 * ms, Transmit: 100 * ms, Multiplier: 3}
)

// always is a chance that lets the whole interval pass.
func always() float64 { return 1 }

// from is a packet of a router with the profile quick.
func from(s bfd.State) wire.Packet {
	return wire.Packet{State: s, Multiplier: 3, Mine: yours, Yours: mine, DesiredMinTx: 100 * ms, RequiredMinRx: 100 * ms}
}

// in returns a session in a state, which packets of the other side led to at the time start.
func in(t *testing.T, s bfd.State, p bfd.Profile) *Machine {
	t.Helper()
	m := New(start, mine, p, always)
	switch s {
	case bfd.AdminDown:
		m.SetAdminDown(start, true)
	case bfd.Init:
		m.Receive(start, from(bfd.Down))
	case bfd.Up:
		m.Receive(start, from(bfd.Down))
		m.Receive(start, from(bfd.Init))
	}
	if got := m.Status().State; got != s {
		t.Fatalf("the session is %s, want %s", got, s)
	}
	return m
}

// run ticks whenever something is due, until a time, and returns what was sent.
func run(m *Machine, until time.Time) (out []wire.Packet) {
	for at, due := m.Next(); due && !at.After(until); at, due = m.Next() {
		if at.Before(start) {
			at = start // it is due since ever
		}
		out = append(out, m.Tick(at)...)
	}
	return out
}

func TestTheStateMachine(t *testing.T) {
	for _, tt := range []struct {
		local, received, want bfd.State
		why                   bfd.Diagnostic
	}{
		{local: bfd.AdminDown, received: bfd.AdminDown, want: bfd.AdminDown, why: bfd.AdministrativelyDown},
		{local: bfd.AdminDown, received: bfd.Down, want: bfd.AdminDown, why: bfd.AdministrativelyDown},
		{local: bfd.AdminDown, received: bfd.Init, want: bfd.AdminDown, why: bfd.AdministrativelyDown},
		{local: bfd.AdminDown, received: bfd.Up, want: bfd.AdminDown, why: bfd.AdministrativelyDown},
		{local: bfd.Down, received: bfd.AdminDown, want: bfd.Down},
		{local: bfd.Down, received: bfd.Down, want: bfd.Init},
		{local: bfd.Down, received: bfd.Init, want: bfd.Up},
		{local: bfd.Down, received: bfd.Up, want: bfd.Down},
		{local: bfd.Init, received: bfd.AdminDown, want: bfd.Down, why: bfd.NeighborSignaledDown},
		{local: bfd.Init, received: bfd.Down, want: bfd.Init},
		{local: bfd.Init, received: bfd.Init, want: bfd.Up},
		{local: bfd.Init, received: bfd.Up, want: bfd.Up},
		{local: bfd.Up, received: bfd.AdminDown, want: bfd.Down, why: bfd.NeighborSignaledDown},
		{local: bfd.Up, received: bfd.Down, want: bfd.Down, why: bfd.NeighborSignaledDown},
		{local: bfd.Up, received: bfd.Init, want: bfd.Up},
		{local: bfd.Up, received: bfd.Up, want: bfd.Up},
	} {
		t.Run(fmt.Sprintf("%s receives %s", tt.local, tt.received), func(t *testing.T) {
			m := in(t, tt.local, quick)
			out := m.Receive(start, from(tt.received))
			got := m.Status()
			if got.State != tt.want || got.Diagnostic != tt.why || got.Remote != tt.received {
				t.Errorf("it is %s (%s) and the other side %s, want %s (%s) and %s", got.State, got.Diagnostic, got.Remote, tt.want, tt.why, tt.received)
			}
			noticed := len(out) == 1 && out[0].State == tt.want && out[0].Yours == yours
			if changed := tt.want != tt.local; changed != noticed {
				t.Errorf("it sent %+v at once, want one packet if the state changed (%v)", out, changed)
			}
		})
	}
}

func TestOnlyAFailureIsOne(t *testing.T) {
	silence := func(m *Machine, now time.Time) { run(m, now.Add(300*ms)) }
	receives := func(states ...bfd.State) func(*Machine, time.Time) {
		return func(m *Machine, now time.Time) {
			for _, s := range states {
				m.Receive(now, from(s))
			}
		}
	}
	for _, tt := range []struct {
		name   string
		begin  bfd.State
		then   []func(*Machine, time.Time)
		failed bool
		flaps  uint64
	}{
		{"silence in Up is", bfd.Up, []func(*Machine, time.Time){silence}, true, 1},
		{"Down from the other side is", bfd.Up, []func(*Machine, time.Time){receives(bfd.Down)}, true, 1},
		{"silence in Init is not: nothing was Up", bfd.Init, []func(*Machine, time.Time){silence}, false, 0},
		{"AdminDown of the other side is not", bfd.Up, []func(*Machine, time.Time){receives(bfd.AdminDown)}, false, 0},
		{"nor is silence after that", bfd.Up, []func(*Machine, time.Time){receives(bfd.AdminDown), silence}, false, 0},
		{"nor its return", bfd.Up, []func(*Machine, time.Time){receives(bfd.AdminDown, bfd.Down)}, false, 0},
		{"AdminDown ends a failure", bfd.Up, []func(*Machine, time.Time){silence, receives(bfd.AdminDown)}, false, 1},
		{"a failure lasts while the session comes back", bfd.Up, []func(*Machine, time.Time){silence, receives(bfd.Down)}, true, 1},
		{"and ends when it is Up", bfd.Up, []func(*Machine, time.Time){silence, receives(bfd.Down, bfd.Up)}, false, 1},
		{"our own AdminDown is not", bfd.Up, []func(*Machine, time.Time){func(m *Machine, now time.Time) { m.SetAdminDown(now, true) }}, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := in(t, tt.begin, quick)
			for i, step := range tt.then {
				step(m, start.Add(time.Duration(i)*time.Second))
			}
			if got := m.Status(); got.Failed != tt.failed || got.Flaps != tt.flaps {
				t.Errorf("failed is %v with %d flaps, want %v with %d", got.Failed, got.Flaps, tt.failed, tt.flaps)
			}
		})
	}
}

func TestAdminDownOfTheRemoteSystemIsReported(t *testing.T) {
	m := in(t, bfd.Up, quick)
	p := from(bfd.AdminDown)
	p.Diagnostic = bfd.AdministrativelyDown
	m.Receive(start, p)
	run(m, start.Add(time.Minute)) // it is silent from then on
	want := bfd.Status{
		State: bfd.Down, Remote: bfd.AdminDown, Diagnostic: bfd.NeighborSignaledDown, RemoteDiagnostic: bfd.AdministrativelyDown,
		Transmit: time.Second, Since: start, Transitions: 3, In: 3, Out: 63,
	}
	got := m.Status()
	if diff := cmp.Diff(want, got); diff != "" || !got.IsRemoteAdminDown() {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAdminDownIsSentUntilItEnds(t *testing.T) {
	m := in(t, bfd.Up, quick)
	out := m.SetAdminDown(start, true)
	out = append(out, m.Tick(start.Add(time.Second))...)
	out = append(out, m.SetAdminDown(start, true)...) // again: nothing new
	want := wire.Packet{
		State: bfd.AdminDown, Diagnostic: bfd.AdministrativelyDown, Multiplier: 3, Mine: mine, Yours: yours,
		DesiredMinTx: time.Second, RequiredMinRx: 100 * ms,
	}
	if diff := cmp.Diff([]wire.Packet{want, want}, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	m.SetAdminDown(start.Add(2*time.Second), false)
	if got := m.Status(); got.State != bfd.Down || got.Remote != bfd.Down {
		t.Errorf("after it ended it is %s and the other side %s, want Down and Down", got.State, got.Remote)
	}
	m.Receive(start.Add(2*time.Second), from(bfd.Init))
	if got := m.Status().State; got != bfd.Up {
		t.Errorf("then it is %s, want Up", got)
	}
}

func TestAPassiveSideWaitsToBeSpokenTo(t *testing.T) {
	p := quick
	p.Passive = true
	m := New(start, mine, p, always)
	if at, due := m.Next(); due {
		t.Errorf("something is due at %s, want nothing", at)
	}
	if out := m.Tick(start.Add(time.Hour)); len(out) > 0 {
		t.Errorf("sent %+v before anything was received", out)
	}
	if out := m.SetAdminDown(start, true); len(out) > 0 {
		t.Errorf("sent AdminDown to an unknown system: %+v", out)
	}
	m.SetAdminDown(start, false)
	if out := m.Receive(start, from(bfd.Down)); len(out) != 1 || out[0].State != bfd.Init {
		t.Errorf("it answered %+v, want Init", out)
	}
	m.Tick(start.Add(time.Second))
	// The other side is gone, and forgotten.
	if out := m.Tick(start.Add(3 * time.Second)); len(out) > 0 {
		t.Errorf("it sent %+v after the other side was forgotten", out)
	}
}

func TestRemoteStateIsForgottenAfterTheDetectionTime(t *testing.T) {
	for _, s := range []bfd.State{bfd.Down, bfd.Init, bfd.Up} {
		m := in(t, s, quick)
		if s == bfd.Down {
			m.Receive(start, from(bfd.Up)) // which changes nothing
		}
		run(m, start.Add(299*ms))
		out := m.Tick(start.Add(300 * ms))
		out = append(out, m.Tick(start.Add(time.Second))...)
		got := m.Status()
		if got.State != bfd.Down || got.Detection != 0 || got.Remote != bfd.Down {
			t.Errorf("from %s: got %+v, want Down, with nothing known of the other side", s, got)
		}
		if len(out) == 0 || out[0].Yours != 0 || out[0].State != bfd.Down {
			t.Errorf("from %s: it sent %+v, want Down to nobody that it knows", s, out)
		}
	}
}
