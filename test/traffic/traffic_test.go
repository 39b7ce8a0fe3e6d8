package traffic

import (
	"testing"
	"time"
)

func TestGaps(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int, ok bool) Attempt {
		return Attempt{Ended: start.Add(time.Duration(ms) * time.Millisecond), OK: ok}
	}
	attempts := []Attempt{at(0, true), at(5, true), at(10, true), at(100, false), at(410, true), at(415, true), at(430, true)}
	if got, want := LongestGap(attempts), 400*time.Millisecond; got != want {
		t.Errorf("longest gap: got %s, want %s", got, want)
	}
	event := start.Add(7 * time.Millisecond)
	got, ok := Recovered(attempts, event, 100*time.Millisecond)
	if want := start.Add(410 * time.Millisecond); !ok || !got.Equal(want) {
		t.Errorf("recovered: got %s, %v, want %s", got, ok, want)
	}
	if got, ok := Recovered(attempts[:3], event, 100*time.Millisecond); ok {
		t.Errorf("recovered before it did: got %s", got)
	}
}
