package announcement

import (
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// crowdSize and crowdWait decide when conditions are delayed: while at least crowdSize new Services have
	// arrived within the last crowdWait.
	crowdSize = 10
	// crowdWait is the period in which crowdSize counts the new Services.
	crowdWait = 2 * time.Second
	// maxConditionWait is the longest delay of the condition of one Service.
	maxConditionWait = 15 * time.Second
	// recheckInterval is the time between two reconciles of a Service that waits.
	recheckInterval = time.Second
)

// conditionPacer delays the conditions and events of new Services while many of them get an address at once,
// for example when the controller starts. At such times the API server and the proxies of all nodes are busy
// with the addresses. Most Services become announced during the delay, so that the condition of each is
// written only once. The zero value is ready to use. The mutex of ServiceRecords guards it.
type conditionPacer struct {
	// recent is a ring buffer with the arrival times of the last new Services.
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
