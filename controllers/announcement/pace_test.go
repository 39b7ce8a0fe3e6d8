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
		{name: "many at once", count: crowdSize, want: lookAgain},
		{name: "many, one after the other", every: crowdFor / crowdSize / 2, count: 3 * crowdSize, want: lookAgain},
		{name: "many, slowly", every: crowdFor, count: 3 * crowdSize},
		{name: "a moment after many", count: crowdSize, last: crowdFor - 1, want: lookAgain},
		{name: "a while after many", count: crowdSize, last: crowdFor},
		{name: "many without end", every: crowdFor / crowdSize / 2, count: int(2 * crowdSize * longestHold / crowdFor)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p conditionPacer
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i := range tt.count {
				p.hold(service(i), at)
				at = at.Add(tt.every)
			}
			if got := p.hold(service(0), at.Add(tt.last)); got != tt.want {
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
		p.hold(key, at)
		p.forget(key)
	}
	if got := p.hold(key, at); got != lookAgain {
		t.Errorf("a Service that was made %d times at once waits %s, want %s", crowdSize+1, got, lookAgain)
	}
	if len(p.since) != 1 {
		t.Errorf("%d Services are known, want 1", len(p.since))
	}
}
