package main

import (
	"testing"
	"time"

	"github.com/lbstack/lbstack/test/traffic"
)

func TestOutage(t *testing.T) {
	event := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	established := func(at ...int) (list []traffic.Attempt) {
		for _, ms := range at {
			list = append(list, traffic.Attempt{Ended: event.Add(time.Duration(ms) * time.Millisecond), OK: true})
		}
		return list
	}
	tests := []struct {
		name     string
		attempts []traffic.Attempt
		longest  time.Duration
		atOnce   bool
	}{
		{"jitter", established(-5, 5, 60, 65), 0, false},
		{"from the event on", established(-5, 5, 310, 315), 305 * time.Millisecond, true},
		{"long after the event, and no longer than it lasts", established(-5, 5, 90, 180, 270, 360, 660), 300 * time.Millisecond, false},
		{"two, of which the second is longer", established(110, 115, 120, 200, 250, 340, 430, 520, 800), 280 * time.Millisecond, true},
		{"attempts that failed do not end it", append(established(5), append([]traffic.Attempt{{Ended: event.Add(50 * time.Millisecond)}}, established(205)...)...), 200 * time.Millisecond, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			longest, atOnce := outage(tt.attempts, event)
			if longest != tt.longest || atOnce != tt.atOnce {
				t.Errorf("got %s, at once %v; want %s, %v", longest, atOnce, tt.longest, tt.atOnce)
			}
		})
	}
}
