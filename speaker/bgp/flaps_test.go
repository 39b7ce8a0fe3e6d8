package bgp

import (
	"testing"
	"time"
)

func TestFlaps(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		ends []time.Duration // after the start
		at   time.Duration
		want int
	}{
		{"no end", nil, time.Hour, 0},
		{"three ends", []time.Duration{1 * time.Minute, 2 * time.Minute, 11 * time.Minute}, 12 * time.Minute, 3},
		{"a stable session forgets them", []time.Duration{1 * time.Minute, 2 * time.Minute}, 12 * time.Minute, 0},
		{"an end after that is the first", []time.Duration{1 * time.Minute, 2 * time.Minute, 12 * time.Minute}, 13 * time.Minute, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f flapCounter
			for _, end := range tt.ends {
				f.countFlap(start.Add(end))
			}
			if got := (Status{Flaps: f.count, LastFlap: f.last}).withoutOldFlaps(start.Add(tt.at)).Flaps; got != tt.want {
				t.Errorf("got %d flaps, want %d", got, tt.want)
			}
		})
	}
}
