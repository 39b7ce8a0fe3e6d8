package watchdog

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCount(t *testing.T) {
	const stopped, noProcessor = time.Hour, every + 2*late
	at := func(elapsed time.Duration, names ...string) func(*count) []string {
		var list []suspect
		for _, name := range names {
			list = append(list, suspect{name: name, pass: 1})
		}
		return func(c *count) []string { return c.tick(elapsed, list) }
	}
	repeat := func(n int, one ...func(*count) []string) (all []func(*count) []string) {
		for range n {
			all = append(all, one...)
		}
		return all
	}
	next := func(pass uint64) func(*count) []string {
		return func(c *count) []string { return c.tick(every, []suspect{{name: "a", pass: pass}}) }
	}
	for _, tt := range []struct {
		name  string
		ticks []func(*count) []string
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
			var c count
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
