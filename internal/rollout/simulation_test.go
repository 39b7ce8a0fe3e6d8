package rollout

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// simulations is the default number of simulations. LBSTACK_SEEDS sets another number. LBSTACK_SEED sets the first seed:
	// without LBSTACK_SEEDS that seed runs alone.
	simulations = 300
	// failures is the number of failed simulations that ends the test: several seeds show what they have
	// in common.
	failures = 10
)

func number(variable string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return otherwise
}

func TestSimulation(t *testing.T) {
	first, count := number("LBSTACK_SEED", 0), simulations
	if testing.Short() {
		count /= 4
	}
	if os.Getenv("LBSTACK_SEED") != "" {
		count = 1
	}
	count = number("LBSTACK_SEEDS", count)
	ends := map[string]int{}
	var failed []int
	for seed := first; seed < first+count && len(failed) < failures; seed++ {
		end, ok := simulate(t, uint64(seed))
		if ends[end]++; !ok {
			failed = append(failed, seed)
		}
	}
	t.Logf("seeds from %d: failed %v: %v", first, failed, ends)
}

// simulate runs a rollout with random disturbances, ends the disturbances,
// and checks the result. It returns the failure, and whether the rollout ended as expected.
func simulate(t *testing.T, seed uint64) (kind string, ok bool) {
	t.Helper()
	w := newWorld(seed)
	bad := randomFault(w)
	if bad == controls {
		w.faults[two.Controller] = bad
	} else {
		w.faults[two.Speaker] = bad
	}
	w.covers, w.routed = bad == voiceless || bad == idle || w.chance(3), bad == routeless || bad == none && w.chance(2)
	o := newOperator(w)
	o.wanted, o.upgrades = one, seed%4 == 0
	o.settings = Settings{MaxUnavailable: MaxUnavailable{Count: 1 + w.rng.IntN(3)}, StepTimeout: timeout, Halt: w.chance(4)}
	if w.chance(3) {
		o.settings.MaxUnavailable = MaxUnavailable{Percent: 1 + w.rng.IntN(100)}
	}
	// Where a rollout halts, nothing shows that speakers of the good revision are not received either.
	w.private = w.covers && bad != voiceless && bad != mute && !o.settings.Halt && w.chance(2)
	play := func(long time.Duration, disturb func()) {
		for end := w.now.Add(long); w.now.Before(end) && o.broken == ""; {
			w.tick()
			if disturb != nil {
				disturb()
			}
			o.pass()
		}
	}
	rest := func() {
		for begin := w.now; o.broken == "" && w.now.Sub(begin) < 2*time.Hour && (w.now.Sub(o.moved) < 2*timeout || w.now.Sub(begin) < 2*timeout); {
			play(time.Second, nil)
		}
	}
	expect := func(what string, holds bool) {
		if !holds && o.broken == "" {
			o.fail("%s: it is %s of %s, good %s, controller %s", what, o.stored.Phase, o.stored.Revision, o.stored.Good, w.controller)
		}
	}
	rest()
	expect("installation", o.stored.Phase == PhaseComplete && o.everywhere(one))
	o.want(two)
	happens := func() { disturb(o, bad) }
	if bad == none && w.chance(3) { // one edit changes both
		o.unadvertise()
		if w.chance(2) { // no other edit makes the result of a step invalid
			happens = nil
		}
	}
	play(time.Duration(w.rng.IntN(900))*time.Second, happens)
	calm(o, bad)
	rest()
	if bad == none && o.stored.Phase != PhaseComplete {
		expect("good revision that failed", w.private && o.stored.Failure.Unreceived || o.stored.Lost > maxLostNodes || strings.Contains(o.stored.Failure.Why, "went down"))
		o.retry = "again"
		rest()
	}
	deletes := o.deletes
	switch {
	case bad == none:
		expect("good revision", o.stored.Phase == PhaseComplete && o.stored.Good == two && o.everywhere(two))
	case o.stored.Phase == PhaseCanary && o.onlyBroken(): // such a step shows nothing about the revision: the rollout waits for a person
	case (bad == mute || bad == idle) && o.stored.Phase == PhaseSpeakers && o.stored.Good == one && !w.announced(two.Speaker): // such a step shows nothing either
	case o.settings.Halt:
		expect("bad revision", o.stored.Phase == PhaseHalted && o.stored.FailedRevision() == two)
	default:
		expect("bad revision", o.stored.Phase == PhaseRolledBack && o.stored.FailedRevision() == two && o.everywhere(one))
	}
	play(10*time.Minute, nil)
	expect("nothing is replaced any more", o.deletes == deletes)
	o.want(three)
	rest()
	expect("correction", o.stored.Phase == PhaseComplete && o.stored.Good == three && o.everywhere(three))
	if o.broken != "" {
		t.Errorf("seed %d, %d nodes, %s, %+v: %s\n%s", seed, len(w.nodes), bad, o.settings, o.broken, strings.Join(o.trace[max(0, len(o.trace)-60):], "\n"))
	}
	return fmt.Sprintf("%s, halt %t", bad, o.settings.Halt), o.broken == ""
}

// randomFault returns a fault that the cluster can show, or none.
func randomFault(w *world) fault {
	if len(w.nodes) == 1 { // a single node that goes down in its step cannot show the fault
		return []fault{none, controls}[w.rng.IntN(2)]
	}
	all := []fault{none, none, none, noImage, crashes, silent, sessionless, controls}
	if len(w.services) > 0 {
		all = append(all, mute, voiceless, idle)
	}
	if len(w.nodes) > 3 {
		all = append(all, meshless, killer, routeless)
	}
	return all[w.rng.IntN(len(all))]
}

// disturb makes a random disturbance, or none.
func disturb(o *operator, bad fault) {
	w := o.w
	if w.now.Before(o.editing) && w.chance(5) {
		o.edits++
	}
	// On another try some nodes already have the revision. What the revision lacks compared with the good one
	// cannot be seen on these nodes any more.
	again := bad == none || !o.settings.Halt && bad != voiceless && bad != sessionless && bad != routeless && bad != idle
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch happens := w.rng.IntN(300); {
	case happens == 0 && n.up && bad != meshless && bad != killer && bad != sessionless && bad != routeless && bad != mute && bad != voiceless && bad != idle:
		w.down(n)
	case happens <= 6 && !n.up && bad != killer:
		w.comeUp(n)
	case happens == 7 && bad != voiceless && bad != sessionless && bad != routeless && bad != killer && bad != meshless && n.up && n.pod != nil && n.pod.ends.IsZero(): // somebody deletes a pod
		n.pod.ends = w.between(1, 6)
	case happens == 8 && n.up && n.pod != nil && n.pod.ready: // a probe fails
		n.pod.ready, n.pod.next = false, w.between(1, 5)
	case happens == 9 || happens == 10:
		o.killAt = 1 + w.rng.IntN(6)
	case happens == 11: // the API server is away
		o.away = w.between(5, 90)
		o.views, o.view, o.seenSince = nil, 0, o.away
	case happens == 12 && bad != sessionless:
		w.routerDown = w.between(5, 60)
	case happens <= 14 && len(w.services) > 1: // one Service stays, to show what the revision does
		s := w.services[1+w.rng.IntN(len(w.services)-1)]
		s.changed, s.odd = w.now, w.between(1, 200)
	case happens == 15 && bad != killer:
		n.tainted = !n.tainted
	case happens == 16 && len(o.good) > 1 && w.chance(3) && again: // the change is reverted, and made again
		if o.wanted == two {
			o.want(one)
		} else {
			o.want(two)
		}
	case happens == 17 && w.chance(3) && again:
		o.retry += "x"
	case happens == 18 && bad == none:
		o.unadvertise()
	case happens == 19 && bad == none: // repeated edits of addresses that no node announces
		o.editing = w.between(30, 1800)
	case happens < 40: // a covering speaker crashes; its successor does not work
		for _, step := range o.stored.Steps {
			if by := step.CoveredBy; by != "" && !step.Broken && w.node(by).pod != nil && w.node(by).pod.restarts < 2 && w.chance(2) {
				w.crash(w.node(by))
			}
		}
	}
}

// calm ends all disturbances. A node that a speaker took down comes back after Kubernetes
// has noticed that it was down, since otherwise nothing would show the fault.
func calm(o *operator, bad fault) {
	o.want(two)
	o.killAt, o.refuses = 0, o.w.now
	for _, n := range o.w.nodes {
		n.tainted, n.broken = false, false
		if !n.up && bad != killer {
			o.w.comeUp(n)
		}
	}
}

// onlyBroken reports whether all steps are of nodes whose speaker did not work before.
func (o *operator) onlyBroken() bool {
	return len(o.stored.Steps) > 0 && !slices.ContainsFunc(o.stored.Steps, func(s Step) bool { return !s.Broken })
}

// everywhere reports whether a revision runs on all nodes.
func (o *operator) everywhere(r Revision) bool {
	for _, n := range o.w.nodes {
		if n.pod == nil || !n.pod.ready || n.pod.revision != r.Speaker {
			return false
		}
	}
	return o.w.controller == r.Controller
}
