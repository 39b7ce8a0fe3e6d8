package mesh

import (
	"testing"
	"time"
	"unsafe"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// stepped returns a time whose wall clock was set by a duration, while the monotonic clock
// went on: the package time has no way to make one. The second word of a Time that has both
// is the monotonic reading. Times of testing/synctest have none.
func stepped(t time.Time, by time.Duration) time.Time {
	monotonic := *(*int64)(unsafe.Add(unsafe.Pointer(&t), 8))
	step := t.Add(by) // both clocks
	*(*int64)(unsafe.Add(unsafe.Pointer(&step), 8)) = monotonic
	return step
}

func TestMachine_StepsOfTheWallClockChangeOnlyTheAlignment(t *testing.T) {
	for name, step := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour, "a little": -41 * ms} {
		t.Run(name, func(t *testing.T) {
			m, begun := New("node000", standard), time.Now()
			m.SetPeers(begun, []lb.NodeName{"node001"})
			if d, wall := stepped(begun, step).Sub(begun), stepped(begun, step).Round(0).Sub(begun.Round(0)); d != 0 || wall != step {
				t.Fatalf("the monotonic clock was set by %s and the wall clock by %s, want 0 and %s", d, wall, step)
			}
			heartbeat := &wire.Message{Kind: wire.KindHeartbeat, Interval: standard.Interval}
			m.NoteMet(begun, "node001", wire.Instance{1})
			var sent time.Time
			for i := range 4000 { // of a millisecond, with a step each 100
				now := stepped(begun.Add(time.Duration(i)*ms), time.Duration(i/100)*step)
				if i%80 == 0 {
					m.Receive(now, "node001", wire.Instance{1}, heartbeat)
				}
				for _, s := range m.Tick(now) {
					if s.Message.Kind != wire.KindHeartbeat {
						continue
					}
					if gap := now.Sub(sent); !sent.IsZero() && gap > standard.Interval {
						t.Errorf("no heartbeat for %s, want one each %s at least", gap, standard.Interval)
					}
					sent = now
				}
				if next := m.Next(now).Sub(now); next > standard.Interval {
					t.Errorf("the next tick is in %s, want at most %s", next, standard.Interval)
				}
				if lost := m.TakeLost(); len(lost) > 0 {
					t.Fatalf("after %d ms %s was found dead, which sends heartbeats", i, lost)
				}
			}
		})
	}
}
