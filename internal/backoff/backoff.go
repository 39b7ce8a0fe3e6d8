// Package backoff computes how long to wait before a failed action is tried again. The wait grows
// exponentially up to a bound, and has jitter. The package is pure except for the jitter.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Exponential is a back-off. Both durations must be positive.
type Exponential struct {
	// First is the nominal wait after the first failure. The nominal wait doubles with each further failure.
	First time.Duration
	// Last is the longest nominal wait.
	Last time.Duration
}

// ShorterWait returns the shorter of two waits. It ignores a wait that is not positive. If neither is
// positive, it returns 0.
func ShorterWait(x, y time.Duration) time.Duration {
	if x <= 0 || y > 0 && y < x {
		return max(y, 0)
	}
	return x
}

// Wait returns how long to wait after a number of failures in a row. Without a failure it returns 0. The
// result is shorter than the nominal wait by up to a quarter, at random, so that actions that failed together
// are not retried together. RFC 4271, section 10, has the same range.
func (e Exponential) Wait(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	wait := e.First
	for range failures - 1 {
		if wait >= e.Last {
			break
		}
		wait *= 2
	}
	wait = min(wait, e.Last)
	return wait - time.Duration(rand.Int64N(int64(wait)/4+1))
}
