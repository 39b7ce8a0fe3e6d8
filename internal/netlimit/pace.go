package netlimit

import (
	"hash/maphash"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

const (
	// restPeriod is the time without a connection after which a source is served even beyond the rate.
	restPeriod = time.Second
	// slotCount is the number of slots that store when sources last connected. Several sources may share a
	// slot, and then count as one source: beyond the rate, at most one connection of a slot is served in
	// each restPeriod.
	slotCount = 1024
)

// connPacer decides which connections are served. Up to the rate, all are served. Beyond the rate, only
// sources that connect seldom are served, such as a kubelet or Prometheus. So a source that floods the
// port delays only itself. One goroutine at a time may use it.
type connPacer struct {
	rate *rate.Limiter // nil: there is no bound
	seed maphash.Seed
	last [slotCount]time.Time // when a source of the slot connected last
}

func newConnPacer(perSecond int) connPacer {
	p := connPacer{seed: maphash.MakeSeed()}
	if perSecond > 0 {
		p.rate = rate.NewLimiter(rate.Limit(perSecond), perSecond)
	}
	return p
}

// admit reports whether a connection from a source is served, and counts it.
func (p *connPacer) admit(source netip.Prefix, now time.Time) bool {
	if p.rate == nil {
		return true
	}
	last := p.slot(source)
	rested := now.Sub(*last) >= restPeriod
	*last = now
	return p.rate.AllowN(now, 1) || rested
}

func (p *connPacer) slot(source netip.Prefix) *time.Time {
	return &p.last[maphash.Comparable(p.seed, source)%slotCount]
}
