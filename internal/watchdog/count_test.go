package watchdog

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCount(t *testing.T) {
	const stopped, noProcessor = time.Hour, every + 2*late
	at := func(elapsed time.Duration, names ...string) func(*counter) []string {
		var list []pass
		for _, name := range names {
			list = append(list, pass{name: name, number: 1})
		}
		return func(c *counter) []string { return c.tick(elapsed, list) }
	}
	repeat := func(n int, one ...func(*counter) []string) (all []func(*counter) []string) {
		for range n {
			all = append(all, one...)
		}
		return all
	}
	next := func(number uint64) func(*counter) []string {
		return func(c *counter) []string { return c.tick(every, []pass{{name: "a", number: number}}) }
	}
	for _, tt := range []struct {
		name  string
		ticks []func(*counter) []string
		want  []string
	}{
		{"nothing is under way", repeat(2*ticks, at(every)), nil},
		{"one tick less than the bound", repeat(ticks, at(every, "a")), nil},
		{"the bound", repeat(ticks+1, at(every, "a")), []string{"a"}},
		{"two hang, ordered", repeat(ticks+1, at(every, "b", "a")), []string{"a", "b"}},
		{"a pass that ended", append(repeat(ticks, at(every, "a")), at(every), at(every, "a")), nil},
		{"another pass of the same loop", append(repeat(ticks, at(every, "a")), next(3), next(5)), nil},
		{"the process was stopped during a pass", append(repeat(ticks, at(every, "a")), at(stopped, "a")), nil},
		{"it had no processor all the time", repeat(10*ticks, at(noProcessor, "a")), nil},
		{"it had one every other time", repeat(ticks, at(every, "a"), at(noProcessor, "a")), nil},
		{"it hangs once it has one", append(repeat(10*ticks, at(noProcessor, "a")), repeat(ticks, at(every, "a"))...), []string{"a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c counter
			for i, tick := range tt.ticks {
				got := tick(&c)
				want := tt.want
				if i < len(tt.ticks)-1 {
					want = nil
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("tick %d of %d (-want +got):\n%s", i+1, len(tt.ticks), diff)
				}
			}
		})
	}
}
