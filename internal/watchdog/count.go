package watchdog

import (
	"slices"
	"time"
)

// suspect is a pass that is under way.
type suspect struct {
	loop *Loop // nil: found by a check
	name string
	pass uint64
}

// count counts for how many ticks each pass has been under way.
type count struct{ seen map[suspect]int }

// tick counts one tick, given how long it was waited for, and returns the names of what has
// been under way for all of Bound. A process that was stopped, or had no processor, finds one
// tick that is late; that one does not count.
func (c *count) tick(elapsed time.Duration, suspects []suspect) (hung []string) {
	seen := make(map[suspect]int, len(suspects))
	for _, s := range suspects {
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
