package backoff_test

import (
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/backoff"
)

func TestAfter(t *testing.T) {
	e := backoff.Exponential{First: 100 * time.Millisecond, Last: time.Second}
	tests := []struct {
		name     string
		failures int
		most     time.Duration
	}{
		{"no failure does not wait", 0, 0},
		{"the first failure waits for the first time", 1, 100 * time.Millisecond},
		{"the second failure waits for twice as long", 2, 200 * time.Millisecond},
		{"the fourth failure waits for eight times as long", 4, 800 * time.Millisecond},
		{"the bound holds", 5, time.Second},
		{"the bound holds for as many failures as there can be", 1 << 40, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			least, most := tt.most, time.Duration(0)
			for range 1000 {
				got := e.Wait(tt.failures)
				least, most = min(least, got), max(most, got)
			}
			if most > tt.most || least < tt.most*3/4 {
				t.Errorf("got %v to %v, want %v to %v", least, most, tt.most*3/4, tt.most)
			}
			if tt.most > 0 && least == most {
				t.Errorf("got %v each time, want jitter", least)
			}
		})
	}
}

func TestSooner(t *testing.T) {
	for name, tt := range map[string]struct{ x, y, want time.Duration }{
		"the first is shorter":  {time.Second, time.Minute, time.Second},
		"the second is shorter": {time.Minute, time.Second, time.Second},
		"the first is none":     {0, time.Second, time.Second},
		"the second is none":    {time.Second, 0, time.Second},
		"the second is past":    {time.Second, -time.Minute, time.Second},
		"none is":               {0, -time.Minute, 0},
	} {
		if got := backoff.ShorterWait(tt.x, tt.y); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
