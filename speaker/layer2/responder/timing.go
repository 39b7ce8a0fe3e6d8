package responder

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// Timing is how often and how fast things are said. Tests have less patience than
// networks have.
type Timing struct {
	// Refresh is how often everything is announced anew, give or take RefreshJitter:
	// switches forget a MAC that sends nothing (300 s by default), bursts get lost,
	// and a neighbour may have learned something else.
	Refresh, RefreshJitter time.Duration
	// RefreshRate is how many addresses a second that is, and how many begin a burst
	// when all are repeated: with thousands the network must not see one great burst.
	RefreshRate int
	// BurstRate is how many addresses a second are announced in bursts; each is two
	// frames on each link.
	BurstRate int
	// Check is how often an address that a foreign host has is probed again.
	Check time.Duration
	// Forget is after how long a foreign host that is heard no more is forgotten.
	Forget time.Duration
	// Defend is the least time between two announcements of an address against a
	// foreign host (RFC 5227 section 2.4: DEFEND_INTERVAL).
	Defend time.Duration
	// Settle is how long another node of the cluster that says that it owns an
	// address too is given to let go, and Contest the least time between two
	// announcements against it.
	Settle, Contest time.Duration
	// HandOver is longer than two nodes claim an address while it moves from one to the
	// other.
	HandOver time.Duration
}

// DefaultTiming is right for networks.
func DefaultTiming() Timing {
	return Timing{
		Refresh: 40 * time.Second, RefreshJitter: 10 * time.Second, RefreshRate: 500, BurstRate: 16000,
		Check: 30 * time.Second, Forget: 60 * time.Second, Defend: 10 * time.Second,
		Settle: 200 * time.Millisecond, Contest: time.Second, HandOver: 2 * time.Second,
	}
}

// untilRefresh is how long to wait before everything is announced anew.
func (t Timing) untilRefresh() time.Duration {
	return t.Refresh - t.RefreshJitter + rand.N(2*t.RefreshJitter+1)
}

// schedule is when an address is probed, from the beginning, and when it is known
// that nobody answered.
type schedule struct {
	probes []time.Duration
	end    time.Duration
}

// probing is RFC 5227 section 2.1.1 and RFC 4862 section 5.4, compressed: an
// address that waits for seconds helps nobody, hosts in the same network answer
// within milliseconds, and a conflict that is missed is seen later.
func probing(address netip.Addr) schedule {
	const ms = time.Millisecond
	if address.Is4() {
		return schedule{probes: []time.Duration{0, 100 * ms, 200 * ms}, end: 400 * ms}
	}
	return schedule{probes: []time.Duration{0, 200 * ms}, end: 500 * ms}
}

// retryWait and as much again at random pass before an address is probed again for which
// another host probed too, so that two hosts do not stay in step (RFC 5227 section 2.1.1:
// PROBE_MIN, PROBE_MAX, compressed as well).
const retryWait = 500 * time.Millisecond

// probeJitter keeps hosts that started together from probing together.
const probeJitter = 50 * time.Millisecond
