package announcement

import (
	"fmt"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestPace_Hold(t *testing.T) {
	service := func(i int) lb.ServiceKey { return lb.ServiceKey{Namespace: "default", Name: fmt.Sprint(i)} }
	for _, tt := range []struct {
		name  string
		every time.Duration // one new Service
		count int
		last  time.Duration // until the first one is looked at again
		want  time.Duration
	}{
		{name: "one alone", count: 1},
		{name: "a few at once", count: crowdSize - 1},
		{name: "many at once", count: crowdSize, want: recheckInterval},
		{name: "many, one after the other", every: crowdWait / crowdSize / 2, count: 3 * crowdSize, want: recheckInterval},
		{name: "many, slowly", every: crowdWait, count: 3 * crowdSize},
		{name: "a moment after many", count: crowdSize, last: crowdWait - 1, want: recheckInterval},
		{name: "a while after many", count: crowdSize, last: crowdWait},
		{name: "many without end", every: crowdWait / crowdSize / 2, count: int(2 * crowdSize * maxConditionWait / crowdWait)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p conditionPacer
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i := range tt.count {
				p.conditionWait(service(i), at)
				at = at.Add(tt.every)
			}
			if got := p.conditionWait(service(0), at.Add(tt.last)); got != tt.want {
				t.Errorf("the first Service waits %s, want %s", got, tt.want)
			}
		})
	}
}

func TestPace_ForgottenServicesAreNew(t *testing.T) {
	var p conditionPacer
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	key := lb.ServiceKey{Namespace: "default", Name: "web"}
	for range crowdSize {
		p.conditionWait(key, at)
		p.forget(key)
	}
	if got := p.conditionWait(key, at); got != recheckInterval {
		t.Errorf("a Service that was made %d times at once waits %s, want %s", crowdSize+1, got, recheckInterval)
	}
	if len(p.since) != 1 {
		t.Errorf("%d Services are known, want 1", len(p.since))
	}
}
