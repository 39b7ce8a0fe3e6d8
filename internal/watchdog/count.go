package watchdog

import (
	"slices"
	"time"
)

// pass is one pass of a loop that is under way.
type pass struct {
	loop   *Loop // nil: found by a check
	name   string
	number uint64
}

// counter counts for how many ticks each pass has been under way.
type counter struct{ seen map[pass]int }

// tick counts a tick, elapsed after the one before, and returns the names of the passes that have been
// under way for Bound. A tick that is late does not count: the process was stopped, or had no processor.
func (c *counter) tick(elapsed time.Duration, passes []pass) (hung []string) {
	seen := make(map[pass]int, len(passes))
	for _, s := range passes {
		n, before := c.seen[s]
		if before && elapsed <= every+late {
			n++
		}
		seen[s] = n
		if n >= ticks {
			hung = append(hung, s.name)
		}
	}
	c.seen = seen
	slices.Sort(hung)
	return hung
}
