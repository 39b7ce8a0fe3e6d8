package externalips

import (
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

// Within writeWindow, other Services that list addresses of a Service cause at most writeBurst writes of its
// condition. This limits the writes to the Services of other tenants when a tenant edits externalIPs again
// and again.
const (
	writeBurst  = 4
	writeWindow = 4 * time.Minute
)

// writePacer counts the writes to each Service that other Services cause. The zero value has counted none.
type writePacer struct {
	writes map[lb.ServiceKey][]time.Time
	swept  time.Time
}

// wait returns how long the next write to a Service has to wait; zero: not at all.
func (p *writePacer) wait(key lb.ServiceKey, now time.Time) time.Duration {
	recent := p.writes[key]
	if len(recent) < writeBurst {
		return 0
	}
	return max(0, recent[len(recent)-writeBurst].Add(writeWindow).Sub(now))
}

// note counts a write to a Service.
func (p *writePacer) note(key lb.ServiceKey, now time.Time) {
	if p.writes == nil {
		p.writes = map[lb.ServiceKey][]time.Time{}
	}
	if now.Sub(p.swept) >= writeWindow {
		p.swept = now
		maps.DeleteFunc(p.writes, func(_ lb.ServiceKey, times []time.Time) bool { return now.Sub(times[len(times)-1]) >= writeWindow })
	}
	recent := append(p.writes[key], now)
	p.writes[key] = slices.Clone(recent[max(0, len(recent)-writeBurst):])
}

// isCausedByOthers reports whether a change of the condition was caused only by other Services. The
// parameters was and now are the condition before and after the change; nil: there is none.
func isCausedByOthers(was, now *metav1.Condition) bool {
	about := func(c *metav1.Condition) bool { return c == nil || c.Reason == v1beta1.ReasonAddressInExternalIPs }
	return about(was) && about(now)
}
