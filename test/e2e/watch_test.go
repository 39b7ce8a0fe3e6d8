package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

const (
	// soon bounds the time until a test sees on the wire that addresses are served, or have one owner,
	// on a busy machine. docs/benchmarks.md has the measured times.
	soon = 5 * time.Second
	// together bounds the time in which two nodes may answer when one does not reach the other:
	// the detection time of the profile Default, and the interval of the watcher's requests.
	together = 500 * time.Millisecond
	// divided bounds the time in which two nodes may answer where a switch drops packets between nodes,
	// until the smaller group gives up what the larger one may announce.
	divided = 3 * time.Second
	// failover bounds the time until another node answers for addresses of a lost node. lastOfTwo is the
	// bound where the only other speaker still receives from the lost one.
	failover  = time.Second
	lastOfTwo = 1200 * time.Millisecond
	// settles is how long a state must last before a test accepts it.
	settles = 2 * time.Second
)

// watching records the hosts that answer for addresses until the test ends.
func watching(t *testing.T, addresses ...string) *scenario.Watch {
	t.Helper()
	w, err := bed.Watch(append([]string{bed.Undisturbed()}, addresses...)...)
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	for _, address := range addresses {
		eventually.Succeed(t, soon, "somebody answers for "+address, func(context.Context) error {
			if len(w.All(address).Owners) == 0 {
				return fmt.Errorf("nobody has")
			}
			return nil
		})
	}
	return w
}

// takenOver waits until other nodes answer, and the former owner does not. It checks how long no node answered.
func takenOver(t *testing.T, w *scenario.Watch, address string, lost time.Time, mac string, most time.Duration) {
	t.Helper()
	eventually.Succeed(t, soon, "another node answers for "+address, func(context.Context) error {
		if got := w.Since(lost, address); got.Last == "" || got.Last == mac {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	oneAnswers(t, w, address)
	silentAtMost(t, w, address, lost, most)
	notBoth(t, w, address, together)
}

// silentAtMost checks that, since a time, no gap without an answer was longer than a bound, apart from stalls
// of the machine.
func silentAtMost(t *testing.T, w *scenario.Watch, address string, since time.Time, most time.Duration) {
	t.Helper()
	got := w.Since(since, address)
	var stalled time.Duration
	if reference := w.Since(since, bed.Undisturbed()); len(reference.Owners) > 0 { // it is not on the second network
		stalled = reference.Silent
	}
	t.Logf("nobody answered for %s for %d ms; the longest stall of the machine was %d ms", address, got.Silent.Milliseconds(), stalled.Milliseconds())
	if got.Silent > most+stalled {
		t.Errorf("no node answered for %s for %s, want %s and a stall of %s at most", address, got.Silent, most, stalled)
	}
}

// oneAnswers waits until one node alone answers, and checks for some time that this stays so.
func oneAnswers(t *testing.T, w *scenario.Watch, address string) {
	t.Helper()
	eventually.Succeed(t, soon+settles, "one node answers for "+address, func(context.Context) error {
		if got := w.Since(time.Now().Add(-settles), address); len(got.Owners) != 1 || got.Silent > settles/2 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// answersFrom waits until a node answers. It checks that no other node has answered since a time, and
// how long no node answered.
func answersFrom(t *testing.T, w *scenario.Watch, address string, since time.Time, mac string, most time.Duration) {
	t.Helper()
	eventually.Succeed(t, most+settles, "somebody answers for "+address, func(context.Context) error {
		if got := w.Since(since, address); len(got.Owners) == 0 {
			return fmt.Errorf("nobody has for %s", got.Silent)
		}
		return nil
	})
	oneAnswers(t, w, address)
	got := w.Since(since, address)
	t.Logf("nobody answered for %s for %d ms", address, got.Silent.Milliseconds())
	if !slices.Equal(got.Owners, []string{mac}) || got.Silent > most {
		t.Errorf("%s: got %+v, want answers of %s, and at most %s without", address, got, mac, most)
	}
}

// onlyAnswers checks that one node, and no other, has answered all the time.
func onlyAnswers(t *testing.T, w *scenario.Watch, address, mac string) {
	t.Helper()
	got := w.All(address)
	t.Logf("%s: %d ms without an answer at most", address, got.Silent.Milliseconds())
	if !slices.Equal(got.Owners, []string{mac}) || got.Silent > soon {
		t.Errorf("%s: got %+v, want answers of %s alone", address, got, mac)
	}
}

// notBoth checks that two nodes have not both answered for longer than a time.
func notBoth(t *testing.T, w *scenario.Watch, address string, most time.Duration) {
	t.Helper()
	got := w.All(address)
	t.Logf("two nodes answered for %s for %d ms", address, got.Both.Milliseconds())
	if got.Both > most {
		t.Errorf("%s: two nodes answered for %s, want %s at most: %+v", address, got.Both, most, got)
	}
}
