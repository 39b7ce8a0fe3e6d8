package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// decision is the working state of Decide.
type decision struct {
	State
	next  Stored
	order []lb.NodeName // the nodes, by name
	now   time.Time     // in full seconds
	// coveredBy has, for each node that does not announce its addresses, a node whose speaker covers for
	// it.
	coveredBy map[lb.NodeName]lb.NodeName
	announces bool // some speaker announces an address
}

// Decide returns what to do next. The result depends only on the input, which Decide does not change.
//
// Invariants: A pod is deleted only in a step that is stored. At most MaxUnavailable steps are under way
// and not late. A ready pod is deleted only if afterwards at most MaxUnavailable nodes that are up have
// no ready pod.
func Decide(s State) Plan {
	d := &decision{State: s, next: s.Stored, now: s.Now.Truncate(time.Second)}
	d.order = slices.Sorted(maps.Keys(s.Nodes))
	d.next.Steps = slices.Clone(s.Stored.Steps)
	d.coveredBy, d.announces = d.coveringNodes(), d.isAnyAnnouncing()
	d.recordEdit()
	d.followWanted()
	d.setUnverified()
	d.settleSteps()
	d.advancePhase()
	d.startSteps()
	slices.SortFunc(d.next.Steps, func(x, y Step) int { return cmp.Compare(x.Node, y.Node) })
	return Plan{Next: d.next, Controller: d.availableRevision(d.next.targetRevision()), Speaker: d.availableRevision(d.speakerRevision()), Delete: d.deletions(), Progress: d.buildProgress(), Again: d.untilNextDecision()}
}

// followWanted begins a rollout if another revision is wanted, or if another try of the same revision is
// requested.
func (d *decision) followWanted() {
	n := &d.next
	changed := d.Wanted != n.Revision
	retry := d.isRetryRequested()
	if retry || changed || n.FailedRevision() == (Revision{}) {
		n.Retry = d.Retry
	}
	switch {
	case n.Good == Revision{}:
		if changed || n.Phase != PhaseInstalling {
			d.beginRollout(PhaseInstalling)
		}
	case d.Wanted == n.Good:
		if changed || !slices.Contains([]Phase{PhaseComplete, PhaseSpeakers, PhaseRollingBack}, n.Phase) {
			d.beginRollout(PhaseRollingBack)
		}
	case changed, retry, !slices.Contains([]Phase{PhaseController, PhaseCanary, PhaseSpeakers, PhaseRollingBack, PhaseRolledBack, PhaseHalted}, n.Phase):
		d.beginRollout(PhaseController)
	case n.Phase == PhaseRollingBack && (d.Settings.Halt || !d.GoodStored):
		d.setPhase(PhaseHalted)
	case n.Phase == PhaseHalted && !d.Settings.Halt && d.GoodStored:
		d.setPhase(PhaseRollingBack)
	}
}

// isRetryRequested reports whether a failed revision must be tried again. One reason is a new token in
// State.Retry. The other reason is that other speakers did not receive the announcements of the failed
// revision, and do not receive those of the good revision either. Before a new try, the rollback must be
// complete or stuck: the speakers that still have the failed revision would show nothing about the good
// one.
func (d *decision) isRetryRequested() bool {
	n := &d.next
	back := n.Phase != PhaseRollingBack || !d.isBusy() && d.isPhaseStuck()
	asked := d.Retry != n.Retry || n.Failure.Unreceived && n.Unverified && n.Phase != PhaseHalted
	return n.FailedRevision() != Revision{} && back && asked
}

// beginRollout starts a rollout of the wanted revision from the beginning.
func (d *decision) beginRollout(p Phase) {
	d.next.Revision, d.next.Proven, d.next.Quiet, d.next.Lost, d.next.Failure = d.Wanted, false, "", 0, Failure{}
	d.setPhase(p)
}

// setPhase begins a phase with another target. It drops the steps: the pods still show which speakers do
// not work because of these steps.
func (d *decision) setPhase(p Phase) {
	d.next.Phase, d.next.Since, d.next.Steps = p, d.now, nil
}

// failRevision records why the revision failed, and begins the rollback or halts.
func (d *decision) failRevision(f Failure) {
	d.next.Failure = f
	switch {
	case d.Settings.Halt:
		d.setPhase(PhaseHalted)
	case !d.GoodStored:
		d.next.Failure.Why += fmt.Sprintf(": the pod templates of the last good revision %s no longer exist, so no node is rolled back", d.next.Good)
		d.setPhase(PhaseHalted)
	default:
		d.setPhase(PhaseRollingBack)
	}
}

// advancePhase moves to the next phase once the present one is done.
func (d *decision) advancePhase() {
	n := &d.next
	if !d.hasTemplates() {
		return
	}
	switch n.Phase {
	case PhaseController:
		if d.isControllerReady() {
			n.Phase = PhaseCanary
		} else if d.observedDuration(n.Since) >= d.Settings.StepTimeout {
			d.failRevision(Failure{Why: "the controller is not ready with the new revision" + detailSuffix(d.Controller.Problem)})
		}
	case PhaseCanary:
		n.Proven = n.Proven || !d.isBusy() && d.isProvenLater()
		if d.isProven() && !d.isBusy() {
			n.Phase = PhaseSpeakers
		}
	case PhaseInstalling, PhaseSpeakers:
		if d.isPhaseDone() && d.isProven() && (!n.canFail() || d.harmReason() == "" && !d.announcesNothing()) {
			n.Unverified = n.Unverified && n.Revision.Speaker == n.Good.Speaker
			n.Phase, n.Good, n.Lost = PhaseComplete, n.Revision, 0
		}
	case PhaseRollingBack:
		if d.isPhaseDone() && n.Revision == n.Good {
			n.Phase = PhaseComplete
		} else if d.isPhaseDone() {
			n.Phase = PhaseRolledBack
		}
	case PhaseComplete:
		if len(d.candidates()) > 0 {
			n.Phase, n.Since = PhaseSpeakers, d.now
		}
	case PhaseRolledBack:
		if len(d.candidates()) > 0 {
			n.Phase, n.Since = PhaseRollingBack, d.now
		}
	}
}

// isPhaseDone reports whether the target runs on all nodes on which it can run. It does not wait for
// late steps. Once the phase is stuck, it does not wait for pods without a step either.
func (d *decision) isPhaseDone() bool {
	if d.isBusy() || len(d.candidates()) > 0 || !d.isControllerReady() {
		return false
	}
	return d.isPhaseStuck() || !slices.ContainsFunc(d.order, func(name lb.NodeName) bool {
		return d.isUp(name) && !d.next.hasStep(name) && d.whyPodNotReady(d.Nodes[name]) != ""
	})
}

// isPhaseStuck reports whether the phase has made no progress for StepTimeout, or has lasted for maxPhaseTime:
// speakers that become ready again and again do not prolong it further.
func (d *decision) isPhaseStuck() bool {
	return d.observedDuration(d.lastProgress()) >= d.Settings.StepTimeout || d.observedDuration(d.next.Since) >= d.maxPhaseTime()
}

// maxPhaseTime returns how long a phase may last: StepTimeout for each node, as if the nodes were changed one
// after the other, and StepTimeout once more.
func (d *decision) maxPhaseTime() time.Duration {
	return time.Duration(d.countNodes()+1) * d.Settings.StepTimeout
}

// lastProgress returns when the phase last made progress: when it began, or when a speaker last became
// ready on the target. It ignores nodes that came up during the phase, and containers that were started
// again, since such events could prolong the phase for ever.
func (d *decision) lastProgress() time.Time {
	last := d.next.Since
	for _, name := range d.order {
		node := d.Nodes[name]
		counts := d.isUp(name) && !node.UpSince.After(d.next.Since) && d.hasTarget(node) && node.Pod.Restarts == 0
		if counts && node.Pod.Ready && node.Pod.Since.After(last) {
			last = node.Pod.Since
		}
	}
	return last
}

// isProven reports whether the target works on a node, or there are no nodes at all. A speaker that ran the
// target before this rollout proves it only if there is no other node to try it on.
func (d *decision) isProven() bool {
	if d.next.canFail() && d.next.targetRevision().Speaker != d.next.Good.Speaker && !d.next.Proven && d.hasUntriedNodes() {
		return false
	}
	works := func(name lb.NodeName) bool {
		return d.isUp(name) && !d.next.hasStep(name) && d.whyPodNotReady(d.Nodes[name]) == "" && d.Nodes[name].Report != nil
	}
	return len(d.order) == 0 || slices.ContainsFunc(d.order, works)
}

// announcesNothing reports whether addresses should be announced, but no speaker of the target announces
// any: only speakers of other revisions do, or no speaker does. A revision with such speakers does not
// become the good one, even if the outages began before its rollout.
func (d *decision) announcesNothing() bool {
	if d.next.targetRevision().Speaker == d.next.Good.Speaker {
		return false
	}
	wanted := len(d.Outages) > 0
	for _, name := range d.order {
		node := d.Nodes[name]
		if node.Down || !node.isWorking() || node.Report == nil || node.Report.countAddresses() == 0 {
			continue
		}
		if d.hasTarget(node) {
			return false
		}
		wanted = true
	}
	return wanted
}

// hasUntriedNodes reports whether there are nodes on which the target can be tried now, or when the
// nodes are up again. It ignores a skipped node that is not down and has no speaker: it may never have
// one.
func (d *decision) hasUntriedNodes() bool {
	skipped := func(name lb.NodeName) bool {
		node := d.Nodes[name]
		return !d.isUp(name) && !d.hasTarget(node) && (node.Down || node.Pod != nil)
	}
	return len(d.candidates()) > 0 || slices.ContainsFunc(d.order, skipped)
}

// availableRevision returns the revision if its templates are available and may be used, and otherwise
// the zero value.
func (d *decision) availableRevision(r Revision) Revision {
	if d.next.Phase != PhaseHalted && (r == d.Wanted || r == d.next.Good && d.GoodStored) {
		return r
	}
	return Revision{}
}

// hasTemplates reports whether the templates of the target are available.
func (d *decision) hasTemplates() bool {
	return d.next.targetRevision() == d.Wanted || d.GoodStored
}

// speakerRevision returns the revision that new pods of the DaemonSet get. It is not the wanted revision
// before the controller has that revision.
func (d *decision) speakerRevision() Revision {
	if d.next.Phase == PhaseController {
		return d.next.Good
	}
	return d.next.targetRevision()
}

// observedDuration returns how long ago a time was. It leaves out the time before SeenSince: it is not
// known what happened while the operator did not observe the cluster.
func (d *decision) observedDuration(since time.Time) time.Duration {
	if d.SeenSince.After(since) {
		since = d.SeenSince
	}
	return max(0, d.Now.Sub(since))
}
