package watchdog

import (
	"slices"
	"time"
)

// loopPass is one pass of a loop that is under way.
type loopPass struct {
	loop   *Loop // nil: the name is from a check, see passes
	name   string
	number uint64
}

// passCounter counts for how many ticks each pass has been under way.
type passCounter struct{ seen map[loopPass]int }

// tick counts a tick and returns the names of the passes that have been under way for HangTimeout.
// elapsed is the time since the tick before. A tick that is late does not count: the process was
// stopped, or had no processor.
func (c *passCounter) tick(elapsed time.Duration, passes []loopPass) (hung []string) {
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
