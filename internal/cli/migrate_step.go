package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
)

// steps are looked at this often: what ends and what begins after it are one after the other, and clients wait between them.
const lookEvery = 100 * time.Millisecond

// step prints what it waits for, and waits.
func (m *migrating) step(ctx context.Context, what string, still func(context.Context) (string, error)) error {
	fmt.Fprintf(m.Out, "%s\n", what)
	return m.wait(ctx, what, still)
}

// wait waits until nothing is left to wait for, and prints each change of that. An API server that does not answer is asked
// again: a switch that ends there may leave addresses that nobody announces.
func (m *migrating) wait(ctx context.Context, what string, still func(context.Context) (string, error)) error {
	last, err := m.waitFor(ctx, what, m.timeout, still)
	if err == nil && last != "" {
		err = fmt.Errorf("%s: not within %s: %s: correct that and run the command again to go on, or with --rollback", what, m.timeout, last)
	}
	return err
}

// waitFor is wait with another limit. It returns what was left to wait for when the time was over; empty: nothing.
func (m *migrating) waitFor(ctx context.Context, what string, limit time.Duration, still func(context.Context) (string, error)) (string, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for last := ""; ; {
		words, err := still(limited)
		switch {
		case err == nil && words == "":
			return "", nil
		case lasting(err):
			return "", fmt.Errorf("%s: %w", what, err)
		case limited.Err() != nil:
			words = ""
		case err != nil:
			words = fmt.Sprintf("%v: it is tried again", err)
		}
		if words != "" && words != last {
			fmt.Fprintf(m.ErrOut, "  %s\n", words)
			last = words
		}
		select {
		case <-limited.Done():
			last = cmp.Or(last, "the API server did not answer")
			if ctx.Err() != nil {
				return "", fmt.Errorf("%s: interrupted: %s: run the command again to go on, or with --rollback", what, last)
			}
			return last, nil
		case <-time.After(lookEvery):
		}
	}
}

// lasting says of an error that the same request has it again. A conflict is none: no write depends on a version.
func lasting(err error) bool {
	for _, is := range []func(error) bool{apierrors.IsForbidden, apierrors.IsUnauthorized, apierrors.IsInvalid, apierrors.IsBadRequest, apierrors.IsNotFound, apierrors.IsMethodNotSupported, meta.IsNoMatchError} {
		if is(err) {
			return true
		}
	}
	return errors.Is(err, errAnotherRun)
}
