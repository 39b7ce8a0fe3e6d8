package announcement

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// crowdSize is the number of new Services that are a crowd if all of them arrive within crowdWait.
	crowdSize = 10
	// crowdWait is how long the conditions of new Services wait after the last crowd.
	crowdWait = 2 * time.Second
	// maxConditionWait is the longest time for which the condition of one Service waits.
	maxConditionWait = 15 * time.Second
	// recheckInterval is the time between two reconciles of a Service that waits.
	recheckInterval = time.Second
)

// conditionPacer delays the conditions and events of new Services while many of them get an address at once,
// for example when the controller starts. At such times the API server and the proxies of all nodes are busy
// with the addresses. During the delay most Services become announced, so that one write of the condition is
// enough. The zero value is ready to use. The mutex of ServiceRecords guards it.
type conditionPacer struct {
	// recent has the arrival times of the last new Services, as a ring.
	recent [crowdSize]time.Time
	// next is the index of the oldest time in recent.
	next int
	// since has the arrival time of each Service without a condition.
	since map[lb.ServiceKey]time.Time
}

// conditionWait returns how long to wait before the condition of a new Service is written; zero: do not wait.
func (p *conditionPacer) conditionWait(key lb.ServiceKey, at time.Time) time.Duration {
	since, known := p.since[key]
	if !known {
		if p.since == nil {
			p.since = map[lb.ServiceKey]time.Time{}
		}
		since, p.since[key] = at, at
		p.recent[p.next] = at
		p.next = (p.next + 1) % crowdSize
	}
	if at.Sub(p.recent[p.next]) >= crowdWait || at.Sub(since) >= maxConditionWait {
		return 0
	}
	return recheckInterval
}

// forget ends the wait of a Service whose condition was written, or which does not exist any more.
func (p *conditionPacer) forget(key lb.ServiceKey) { delete(p.since, key) }
