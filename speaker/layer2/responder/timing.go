package responder

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// Timing has the intervals of the responder. Tests set shorter intervals.
type Timing struct {
	// Refresh is the interval at which all addresses are announced again: switches forget a MAC that sends
	// nothing (300 s by default), announcements get lost, and other hosts may have learned another MAC for an
	// address.
	Refresh time.Duration
	// RefreshJitter bounds the random time by which an interval is longer or shorter than Refresh.
	RefreshJitter time.Duration
	// RefreshRate bounds the addresses that are announced again in a second, and the addresses that begin a
	// burst in a second when Repeat announces all addresses again. Otherwise thousands of addresses would be
	// announced at once.
	RefreshRate int
	// BurstRate bounds the addresses that are announced in bursts in a second. An announcement is two
	// frames on each link.
	BurstRate int
	// Check is the interval at which an address is probed again while a foreign host has it.
	Check time.Duration
	// Forget is the time after which a foreign host that sends no messages is forgotten.
	Forget time.Duration
	// Defend is the least time between two announcements of an address because a foreign host claims it
	// (DEFEND_INTERVAL in RFC 5227 section 2.4).
	Defend time.Duration
	// Settle is how long this node waits after another node of the cluster has claimed an address that this node
	// owns. If this node still owns the address then, it announces the address again.
	Settle time.Duration
	// Contest is the least time between two announcements of an address because of such claims.
	Contest time.Duration
	// HandOver is an upper bound of the time for which two nodes claim an address while it
	// moves from one to the other.
	HandOver time.Duration
}

// DefaultTiming returns the intervals for real networks.
func DefaultTiming() Timing {
	return Timing{
		Refresh: 40 * time.Second, RefreshJitter: 10 * time.Second, RefreshRate: 500, BurstRate: 16000,
		Check: 30 * time.Second, Forget: 60 * time.Second, Defend: 10 * time.Second,
		Settle: 200 * time.Millisecond, Contest: time.Second, HandOver: 2 * time.Second,
	}
}

// refreshWait returns how long to wait before all addresses are announced again.
func (t Timing) refreshWait() time.Duration {
	return t.Refresh - t.RefreshJitter + rand.N(2*t.RefreshJitter+1)
}

// probeSchedule has the times at which probes are sent, counted from the beginning of the series. If no
// answer arrives until end, no host has the address.
type probeSchedule struct {
	probes []time.Duration
	end    time.Duration
}

// probeScheduleOf returns the schedule of RFC 5227 section 2.1.1 and RFC 4862 section 5.4 with shorter times.
// Hosts in the same network answer within milliseconds, and a Service should not wait for seconds. A conflict
// that the probes do not show is found later.
func probeScheduleOf(address netip.Addr) probeSchedule {
	const ms = time.Millisecond
	if address.Is4() {
		return probeSchedule{probes: []time.Duration{0, 100 * ms, 200 * ms}, end: 400 * ms}
	}
	return probeSchedule{probes: []time.Duration{0, 200 * ms}, end: 500 * ms}
}

// retryWait is the wait before an address is probed again because another host probed for it too. A random
// time of up to the same length is added, so that two hosts do not probe at the same times again. The
// shortest and the longest wait correspond to PROBE_MIN and PROBE_MAX of RFC 5227 section 2.1.1, but are
// shorter.
const retryWait = 500 * time.Millisecond

// probeJitter bounds the random wait before a series of probes: hosts that started together
// must not probe together.
const probeJitter = 50 * time.Millisecond
