package watchdog

import (
	"slices"
	"time"
)

// loopPass is one pass of a loop that is under way.
type loopPass struct {
	loop   *Loop // nil: a check returned the name, see Watchdog.runningPasses
	name   string
	number uint64
}

// passCounter counts, for each pass, the ticks during which it has been under way.
type passCounter struct{ seen map[loopPass]int }

// countTick counts a tick, and returns the names of the passes that have been under way for HangTimeout. The
// parameter elapsed is the time since the previous tick. A late tick does not count, since it means that the
// process was stopped or had no processor time.
func (c *passCounter) countTick(elapsed time.Duration, passes []loopPass) (hung []string) {
	seen := make(map[loopPass]int, len(passes))
	for _, s := range passes {
		n, before := c.seen[s]
		if before && elapsed <= tickInterval+maxTickDelay {
			n++
		}
		seen[s] = n
		if n >= ticksToHang {
			hung = append(hung, s.name)
		}
	}
	c.seen = seen
	slices.Sort(hung)
	return hung
}
