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

// stepInterval is the time between two reads of the cluster in a step. It is short because clients may get no
// answer between the end of one load balancer and the start of the other.
const stepInterval = 100 * time.Millisecond

// runStep prints the name of a step, and waits for it (see wait).
func (m *migrateRun) runStep(ctx context.Context, what string, still func(context.Context) (string, error)) error {
	fmt.Fprintf(m.Out, "%s\n", what)
	return m.wait(ctx, what, still)
}

// wait calls a function (still) until it returns an empty phrase. Other phrases describe what the step waits
// for, and wait prints each new one. After an error that may be temporary, such as an API server that does
// not answer, it tries again. If the switch stopped instead, there could be addresses that no node announces.
func (m *migrateRun) wait(ctx context.Context, what string, still func(context.Context) (string, error)) error {
	last, err := m.waitFor(ctx, what, m.timeout, still)
	if err == nil && last != "" {
		err = fmt.Errorf("%s: not done within %s: %s: correct this, and %s", what, m.timeout, last, m.continuePhrase())
	}
	return err
}

// continuePhrase returns a phrase with the commands that continue or undo an unfinished run.
func (m *migrateRun) continuePhrase() string {
	if m.rollback {
		return "run the command again to continue"
	}
	return "run the command again to continue, or go back to MetalLB with kubectl lbstack migrate --rollback"
}

// waitFor is like wait, but with the given time limit. If the function has not returned an empty phrase
// within the limit, waitFor returns the last phrase instead of an error.
func (m *migrateRun) waitFor(ctx context.Context, what string, limit time.Duration, still func(context.Context) (string, error)) (string, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for last := ""; ; {
		words, err := still(limited)
		switch {
		case err == nil && words == "":
			return "", nil
		case isLasting(err):
			return "", fmt.Errorf("%s: %w", what, err)
		case limited.Err() != nil:
			words = ""
		case err != nil:
			words = fmt.Sprintf("%v: the command tries again", err)
		}
		if words != "" && words != last {
			fmt.Fprintf(m.ErrOut, "  %s\n", words)
			last = words
		}
		select {
		case <-limited.Done():
			last = cmp.Or(last, "the API server did not answer")
			if ctx.Err() != nil {
				return "", fmt.Errorf("%s: interrupted: %s: %s", what, last, m.continuePhrase())
			}
			return last, nil
		case <-time.After(stepInterval):
		}
	}
}

// isLasting reports whether the same request would fail with this error again. A conflict is not lasting,
// since the writes of a switch do not depend on a resource version.
func isLasting(err error) bool {
	for _, is := range []func(error) bool{apierrors.IsForbidden, apierrors.IsUnauthorized, apierrors.IsInvalid, apierrors.IsBadRequest, apierrors.IsNotFound, apierrors.IsMethodNotSupported, meta.IsNoMatchError} {
		if is(err) {
			return true
		}
	}
	return errors.Is(err, errAnotherRun)
}
