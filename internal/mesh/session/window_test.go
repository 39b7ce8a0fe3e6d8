package session

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestWindow_AcceptsEachCounterOnce(t *testing.T) {
	const end = uint64(math.MaxUint64)
	for name, c := range map[string]struct {
		newest   uint64
		received []uint64
		counter  uint64
		want     bool
	}{
		"next":                               {10, nil, 11, true},
		"the one of the confirmation":        {10, nil, 10, false},
		"before the confirmation":            {10, nil, 9, false},
		"zero":                               {0, nil, 0, false},
		"received":                           {10, []uint64{12}, 12, false},
		"reordered":                          {10, []uint64{12}, 11, true},
		"last in the window":                 {10, []uint64{11 + windowSize - 1}, 11, true},
		"first behind the window":            {10, []uint64{11 + windowSize}, 11, false},
		"in the window, before confirmation": {10, []uint64{10 + windowSize - 1}, 10, false},
		"same place of the ring, new":        {10, []uint64{11, 11 + windowWords*64 - 1}, 11 + windowWords*64, true},
		"far ahead":                          {10, []uint64{11}, 1 << 60, true},
		"after a leap":                       {10, []uint64{11, 1 << 60}, 1<<60 - 5, true},
		"before a leap":                      {10, []uint64{11, 1 << 60}, 12, false},
		"the largest":                        {10, nil, end, true},
		"the largest, received":              {10, []uint64{end}, end, false},
		"nothing is after the largest":       {10, []uint64{end}, 0, false},
		"reordered at the end":               {10, []uint64{end}, end - 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			var w window
			w.reset(c.newest)
			for _, counter := range c.received {
				w.markReceived(counter)
			}
			if got := w.isNew(c.counter); got != c.want {
				t.Errorf("fresh(%d) = %v, want %v", c.counter, got, c.want)
			}
		})
	}
}

// The window agrees with a set of all counters, in every order.
func TestWindow_AgreesWithSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		first := rapid.Uint64Range(0, 1<<40).Draw(t, "confirmed at")
		w.reset(first)
		received, newest := map[uint64]bool{}, first
		for range rapid.IntRange(1, 300).Draw(t, "datagrams") {
			step := rapid.Int64Range(-windowSize-70, 200).Draw(t, "step")
			if rapid.IntRange(0, 20).Draw(t, "leap") == 0 {
				step = rapid.Int64Range(0, 3*windowSize).Draw(t, "how far")
			}
			counter := uint64(max(0, int64(newest)+step))
			want := counter > first && !received[counter] && (counter > newest || newest-counter < windowSize)
			if got := w.isNew(counter); got != want {
				t.Fatalf("fresh(%d) = %v, want %v (confirmed at %d, newest %d)", counter, got, want, first, newest)
			}
			if want {
				w.markReceived(counter)
				received[counter], newest = true, max(newest, counter)
			}
		}
	})
}
