package session

import (
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
)

func TestMachine_PacketsThatDoNotNameTheSession(t *testing.T) {
	// The router sends every 100 ms, until it stops; a packet that names no session comes
	// every 20 ms, from 250 ms on.
	tests := []struct {
		name   string
		forged bfd.State
		stops  time.Duration
		want   bfd.State
		down   time.Duration // when the session leaves Up
		failed bool
	}{
		{"forged Down: the router goes on, and the session stays Up", bfd.Down, time.Hour, bfd.Up, 0, false},
		{"forged AdminDown: the router goes on, and the session stays Up", bfd.AdminDown, time.Hour, bfd.Up, 0, false},
		{"a router that has restarted: the session ends after an interval", bfd.Down, 250 * ms, bfd.Down, 375 * ms, true},
		{"a router that was shut down: the session ends, and that is no failure", bfd.AdminDown, 250 * ms, bfd.Down, 375 * ms, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := in(t, bfd.Up, quick)
			p := from(tt.forged)
			p.Yours, p.Mine = 0, 1234
			var down time.Duration
			for at := time.Duration(0); at < time.Second; at += 5 * ms {
				now := start.Add(at)
				if at%(100*ms) == 0 && at < tt.stops {
					m.Receive(now, from(bfd.Up))
				}
				if at%(20*ms) == 10*ms && at >= 250*ms && down == 0 {
					m.Receive(now, p)
				}
				if next, due := m.Next(); due && !now.Before(next) {
					m.Tick(now)
				}
				if down == 0 && m.Status().State != bfd.Up {
					down = at
				}
			}
			if got := m.Status(); got.State != tt.want || got.Failed != tt.failed || down != tt.down {
				t.Errorf("it is %s, failed: %t, and left Up after %s; want %s, %t, %s", got.State, got.Failed, down, tt.want, tt.failed, tt.down)
			}
		})
	}
}
