package scenario

import (
	"testing"
	"time"
)

func TestLongestAbsence(t *testing.T) {
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int, has bool) routeChange {
		return routeChange{begun.Add(time.Duration(ms) * time.Millisecond), has}
	}
	for _, tt := range []struct {
		name    string
		changes []routeChange
		want    time.Duration
	}{
		{"no change: none", nil, 0},
		{"a route that is replaced is not absent", []routeChange{at(10, true), at(20, true)}, 0},
		{"the longest of two counts", []routeChange{at(10, false), at(15, true), at(20, false), at(50, true)}, 30 * time.Millisecond},
		{"one that lasts counts until now", []routeChange{at(60, false)}, 40 * time.Millisecond},
		{"one that is reported twice counts from the first report", []routeChange{at(10, false), at(20, false), at(30, true)}, 20 * time.Millisecond},
		{"what was before does not count", []routeChange{at(-50, false), at(5, true)}, 5 * time.Millisecond},
		{"what ended before does not count", []routeChange{at(-50, false), at(-5, true)}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := longestAbsence(tt.changes, begun, begun.Add(100*time.Millisecond)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
