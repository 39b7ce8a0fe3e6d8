// Package backoff computes how long to wait before something that failed is tried again:
// exponentially longer, with jitter, up to a bound. It is pure except for the jitter.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Exponential is a back-off. Both durations must be positive.
type Exponential struct {
	// First is the longest wait after the first failure; it doubles with each further one.
	First time.Duration
	// Last bounds the wait.
	Last time.Duration
}

// ShorterWait returns the shorter of two waits. A wait that is not positive does not count; 0: neither counts.
func ShorterWait(x, y time.Duration) time.Duration {
	if x <= 0 || y > 0 && y < x {
		return max(y, 0)
	}
	return x
}

// Wait returns the wait after a number of failures in a row, 0 after none. It is up to a
// quarter shorter than the nominal time, at random, so that actions that failed together
// are not retried together (the range is that of RFC 4271, section 10).
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
