package bgp

import (
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
)

// flaps counts unplanned ends of an established session.
type flaps struct {
	count int
	last  time.Time
}

// note counts an end; the first one after the session was stable for bgp.StableAfter counts as one.
func (f *flaps) note(now time.Time) {
	if now.Sub(f.last) >= bgp.StableAfter {
		f.count = 0
	}
	f.count++
	f.last = now
}

// settled returns the status as it is at a time: flaps are forgotten once the session has
// not ended for bgp.StableAfter.
func (s Status) settled(now time.Time) Status {
	if now.Sub(s.LastFlap) >= bgp.StableAfter {
		s.Flaps, s.LastFlap = 0, time.Time{}
	}
	return s
}
