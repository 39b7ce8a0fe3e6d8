package watchdog

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCount(t *testing.T) {
	const stopped, noProcessor = time.Hour, tickInterval + 2*maxTickDelay
	at := func(elapsed time.Duration, names ...string) func(*passCounter) []string {
		var list []loopPass
		for _, name := range names {
			list = append(list, loopPass{name: name, number: 1})
		}
		return func(c *passCounter) []string { return c.countTick(elapsed, list) }
	}
	repeat := func(n int, one ...func(*passCounter) []string) (all []func(*passCounter) []string) {
		for range n {
			all = append(all, one...)
		}
		return all
	}
	next := func(number uint64) func(*passCounter) []string {
		return func(c *passCounter) []string {
			return c.countTick(tickInterval, []loopPass{{name: "a", number: number}})
		}
	}
	for _, tt := range []struct {
		name  string
		ticks []func(*passCounter) []string
		want  []string
	}{
		{"nothing is under way", repeat(2*ticksToHang, at(tickInterval)), nil},
		{"one tick less than the bound", repeat(ticksToHang, at(tickInterval, "a")), nil},
		{"the bound", repeat(ticksToHang+1, at(tickInterval, "a")), []string{"a"}},
		{"two hang, ordered", repeat(ticksToHang+1, at(tickInterval, "b", "a")), []string{"a", "b"}},
		{"a pass that ended", append(repeat(ticksToHang, at(tickInterval, "a")), at(tickInterval), at(tickInterval, "a")), nil},
		{"another pass of the same loop", append(repeat(ticksToHang, at(tickInterval, "a")), next(3), next(5)), nil},
		{"the process was stopped during a pass", append(repeat(ticksToHang, at(tickInterval, "a")), at(stopped, "a")), nil},
		{"it had no processor all the time", repeat(10*ticksToHang, at(noProcessor, "a")), nil},
		{"it had one every other time", repeat(ticksToHang, at(tickInterval, "a"), at(noProcessor, "a")), nil},
		{"it hangs once it has one", append(repeat(10*ticksToHang, at(noProcessor, "a")), repeat(ticksToHang, at(tickInterval, "a"))...), []string{"a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c passCounter
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
