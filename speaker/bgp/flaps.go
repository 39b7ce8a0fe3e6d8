package bgp

import (
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
)

// flapCounter counts unplanned ends of an established session.
type flapCounter struct {
	count int
	last  time.Time
}

// countFlap counts an unplanned end. If the last one was at least bgp.StableAfter ago, the count starts at 1
// again.
func (f *flapCounter) countFlap(now time.Time) {
	if now.Sub(f.last) >= bgp.StableAfter {
		f.count = 0
	}
	f.count++
	f.last = now
}

// withoutOldFlaps returns the status, without its flaps if the last flap was at least bgp.StableAfter
// ago.
func (s Status) withoutOldFlaps(now time.Time) Status {
	if now.Sub(s.LastFlap) >= bgp.StableAfter {
		s.Flaps, s.LastFlap = 0, time.Time{}
	}
	return s
}
