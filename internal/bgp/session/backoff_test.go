package session

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// waits returns the seconds between attempts that all end in the same way.
func waits(m *Machine, now time.Time, attempts int, end func(time.Time)) (seconds []float64) {
	m.Start(now)
	for range attempts {
		end(now)
		next := m.Next()
		seconds = append(seconds, next.Sub(now).Seconds())
		now = next
		m.Tick(now)
	}
	return seconds
}

func TestMachine_BacksOff(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		end    func(*Machine, time.Time)
		want   []float64
	}{
		{"a router that refuses", peerConfig(), func(m *Machine, now time.Time) { refused(m, now) }, []float64{2, 2, 2, 4, 8, 16, 32, 32, 32}},
		{"a router that accepts and closes", peerConfig(), func(m *Machine, now time.Time) {
			dialled(m, now)
			lost(OurSide)(m, now)
		}, []float64{2, 2, 2, 4, 8, 16, 32, 32}},
		{"a session that ends at once", peerConfig(), func(m *Machine, now time.Time) {
			dialled(m, now)
			got(OurSide, routerOpen())(m, now)
			got(OurSide, Keepalive{})(m, now)
			lost(OurSide)(m, now)
		}, []float64{2, 2, 2, 4, 8, 16, 32, 32}},
		{"jitter takes off a quarter at most", with(func(c *Config) { c.Random = func() float64 { return 0 } }), func(m *Machine, now time.Time) { refused(m, now) }, []float64{1.5, 1.5, 1.5, 3, 6, 12, 24, 24}},
		{"two minutes are the bound", with(func(c *Config) { c.ConnectRetry = 10 * time.Second }), func(m *Machine, now time.Time) { refused(m, now) }, []float64{10, 10, 10, 20, 40, 80, 120, 120}},
		{"a retry time above the bound stays", with(func(c *Config) { c.ConnectRetry = 300 * time.Second }), func(m *Machine, now time.Time) { refused(m, now) }, []float64{300, 300, 300, 300, 300}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := New(zero, tt.config)
			got := waits(m, zero, len(tt.want), func(now time.Time) { tt.end(m, now) })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("seconds between attempts (-want +got):\n%s", diff)
			}
			if got, want := m.FailureCount(), len(tt.want); got != want {
				t.Errorf("%d failures, want %d", got, want)
			}
		})
	}
}

func TestMachine_PathThatFlaps(t *testing.T) {
	for _, strict := range []bool{false, true} {
		m := New(zero, with(func(c *Config) { c.StrictBFD = strict }))
		m.Start(zero)
		var dials []float64
		// The path is up for the first half of each second: an attempt succeeds then.
		for now := zero; now.Before(at(300)); now = now.Add(time.Second / 10) {
			switch now.Sub(zero) % time.Second {
			case 0:
				m.HandlePathChange(now, true, false, "")
			case time.Second / 2:
				m.HandlePathChange(now, false, true, "BFD found the path down")
			}
			m.Tick(now)
			if !m.dialing {
				continue
			}
			dials = append(dials, now.Sub(zero).Seconds())
			if !m.pathUp {
				refused(m, now)
				continue
			}
			dialled(m, now)
			got(OurSide, routerOpen())(m, now)
			got(OurSide, Keepalive{})(m, now)
		}
		if len(dials) > 20 {
			t.Errorf("strictBFD %v: %d attempts in 300 s, want at most 20: %v", strict, len(dials), dials)
		}
		m.HandlePathChange(at(400), false, false, "") // nothing for a while
		if m.HandlePathChange(at(400), true, false, ""); !m.dialing {
			t.Errorf("strictBFD %v: no attempt when the path comes up after a while", strict)
		}
	}
}

func TestMachine_StableSessionStartsAnew(t *testing.T) {
	for _, tt := range []struct {
		name   string
		lasted float64
		want   int
	}{{"a session that lasted counts its end only", 30, 1}, {"a session that did not adds to the failures", 29, 7}} {
		t.Run(tt.name, func(t *testing.T) {
			m := New(zero, with(func(c *Config) { c.Hold = 0 }))
			waits(m, zero, 6, func(now time.Time) { refused(m, now) })
			dialled(m, at(100))
			got(OurSide, routerOpen())(m, at(100))
			got(OurSide, Keepalive{})(m, at(100))
			lost(OurSide)(m, at(100+tt.lasted))
			if got := m.FailureCount(); got != tt.want {
				t.Errorf("%d failures, want %d", got, tt.want)
			}
		})
	}
}

func TestMachine_PassiveSideIgnoresARouterThatFailsOften(t *testing.T) {
	m := New(zero, with(func(c *Config) { c.Passive = true }))
	m.Start(zero)
	connects := func(seconds float64) string { return words(called(m, at(seconds))) }
	for i := range quickAttempts + 1 {
		if got := connects(0); got != "open 1" {
			t.Fatalf("connection %d: %s", i+1, got)
		}
		lost(TheirSide)(m, at(0))
	}
	for _, tt := range []struct {
		seconds float64
		want    string
	}{{0, "reject silently"}, {3.9, "reject silently"}, {4, "open 1"}} {
		if got := connects(tt.seconds); got != tt.want {
			t.Errorf("a connection after %g s: got %q, want %q", tt.seconds, got, tt.want)
		}
	}
	for range 100 {
		lost(TheirSide)(m, at(10))
		called(m, at(1000))
	}
	lost(TheirSide)(m, at(1000))
	if got := connects(1030); got != "open 1" {
		t.Errorf("a connection after 30 s: got %q, want that it is taken", got)
	}
}

func TestMachine_RouteRefreshOnceASecond(t *testing.T) {
	m := New(zero, peerConfig())
	for _, s := range established() {
		s.do(m, at(s.at))
	}
	var refreshes []float64
	// The router asks every 100 ms, the last time after 2.1 s.
	for i := range 40 {
		now := float64(i) / 10
		var actions []Action
		if i <= 21 {
			actions = m.HandleMessage(at(now), OurSide, RouteRefresh{})
		}
		if next := m.Next(); !next.After(at(now)) {
			actions = append(actions, m.Tick(at(now))...)
		}
		if slices.Contains(actions, Action(RefreshRequested{})) {
			refreshes = append(refreshes, now)
		}
	}
	if diff := cmp.Diff([]float64{0, 1, 2, 3}, refreshes); diff != "" {
		t.Errorf("seconds at which all routes are sent again (-want +got):\n%s", diff)
	}
	lost(OurSide)(m, at(5))
	if got, want := m.Next(), at(7); !got.Equal(want) {
		t.Errorf("after the session something is due at %s, want %s: the next attempt", got, want)
	}
}
