// Package eventually waits, in tests against real programs, until something is
// true: it polls with a deadline and reports the last state.
package eventually

import (
	"context"
	"testing"
	"time"
)

// interval between two looks.
const interval = 50 * time.Millisecond

// Succeed calls check until it returns nil and fails the test with its last
// error if that does not happen within the time.
func Succeed(t testing.TB, within time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := Poll(ctx, check); err != nil {
		t.Fatalf("%s: not within %s: %v", what, within, err)
	}
}

// Stays fails the test if check returns an error at any time during the period.
func Stays(t testing.TB, period time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), period)
	defer cancel()
	for {
		if err := check(ctx); err != nil && ctx.Err() == nil {
			t.Fatalf("%s: no longer: %v", what, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
	}
}

// Poll calls check until it returns nil, or the context ends; it then returns
// the last error of check.
func Poll(ctx context.Context, check func(ctx context.Context) error) error {
	return PollEvery(ctx, interval, check)
}

// PollEvery is Poll for a check that costs more than a moment: the caller sets how long to
// wait before the next look.
func PollEvery(ctx context.Context, pause time.Duration, check func(ctx context.Context) error) error {
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		// The error of an attempt that the deadline cut short does not count.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pause):
		}
	}
}
