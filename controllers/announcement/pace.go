package announcement

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// crowdSize is how many new Services within crowdWait are many at once.
	crowdSize = 10
	// crowdWait is how long the conditions of new Services wait after the last crowd.
	crowdWait = 2 * time.Second
	// longestHold is how long the condition of one Service waits at most.
	longestHold = 15 * time.Second
	// recheckInterval is how often a Service that waits is reconciled.
	recheckInterval = time.Second
)

// conditionPacer holds back the conditions and events of new Services while many of them get an address
// at once, as when the controller starts. The API server and the proxies of all nodes are busy with the
// addresses then. Most Services are announced before their condition is written, so that one write is
// enough. The zero value is ready. The mutex of ServiceRecords guards it.
type conditionPacer struct {
	// recent is when the last new Services came, in a ring; next is the place of the oldest.
	recent [crowdSize]time.Time
	next   int
	// since is when each Service that has no condition yet came.
	since map[lb.ServiceKey]time.Time
}

// hold returns how long to wait before the condition of a new Service is written; zero: it can be now.
func (p *conditionPacer) hold(key lb.ServiceKey, at time.Time) time.Duration {
	since, known := p.since[key]
	if !known {
		if p.since == nil {
			p.since = map[lb.ServiceKey]time.Time{}
		}
		since, p.since[key] = at, at
		p.recent[p.next] = at
		p.next = (p.next + 1) % crowdSize
	}
	if at.Sub(p.recent[p.next]) >= crowdWait || at.Sub(since) >= longestHold {
		return 0
	}
	return recheckInterval
}

// forget ends the wait of a Service: its condition was written, or it is gone.
func (p *conditionPacer) forget(key lb.ServiceKey) { delete(p.since, key) }
