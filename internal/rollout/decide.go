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
	// coveredBy has the nodes that do not announce their addresses, each with one that covers for it.
	coveredBy map[lb.NodeName]lb.NodeName
	announces bool // some speaker announces an address
}

// Decide returns what to do next. It is a function of its input, which it does not change.
// Invariants: a pod is deleted only in a step that is stored; at most MaxUnavailable steps that
// are not late are under way; a pod that is ready is deleted only if no more than MaxUnavailable
// nodes that are up are without a ready one then.
func Decide(s State) Plan {
	d := &decision{State: s, next: s.Stored, now: s.Now.Truncate(time.Second)}
	d.order = slices.Sorted(maps.Keys(s.Nodes))
	d.next.Steps = slices.Clone(s.Stored.Steps)
	d.coveredBy, d.announces = d.covering(), d.announced()
	d.followEdit()
	d.aim()
	d.verify()
	d.settle()
	d.advance()
	d.choose()
	slices.SortFunc(d.next.Steps, func(x, y Step) int { return cmp.Compare(x.Node, y.Node) })
	return Plan{Next: d.next, Controller: d.template(d.next.target()), Speaker: d.template(d.speakers()), Delete: d.deletions(), Progress: d.progress(), Again: d.again()}
}

// aim begins a rollout if another revision is wanted, or another try of the same.
func (d *decision) aim() {
	n := &d.next
	changed := d.Wanted != n.Revision
	retry := d.triedAgain()
	if retry || changed || n.Failed() == (Revision{}) {
		n.Retry = d.Retry
	}
	switch {
	case n.Good == Revision{}:
		if changed || n.Phase != Installing {
			d.begin(Installing)
		}
	case d.Wanted == n.Good:
		if changed || !slices.Contains([]Phase{Complete, Speakers, RollingBack}, n.Phase) {
			d.begin(RollingBack)
		}
	case changed, retry, !slices.Contains([]Phase{Controller, Canary, Speakers, RollingBack, RolledBack, Halted}, n.Phase):
		d.begin(Controller)
	case n.Phase == RollingBack && (d.Settings.Halt || !d.GoodStored):
		d.turn(Halted)
	case n.Phase == Halted && !d.Settings.Halt && d.GoodStored:
		d.turn(RollingBack)
	}
}

// triedAgain reports whether a revision that failed is to be tried again: because the token for another
// try has changed, or because its announcements were not received, and those of the good revision are not
// either. The rollback must be complete before, or stand still: a node that still has the revision would
// show nothing about it.
func (d *decision) triedAgain() bool {
	n := &d.next
	back := n.Phase != RollingBack || !d.busy() && d.standsStill()
	asked := d.Retry != n.Retry || n.Failure.Unreceived && n.Unverified && n.Phase != Halted
	return n.Failed() != Revision{} && back && asked
}

// begin starts over with the wanted revision.
func (d *decision) begin(p Phase) {
	d.next.Revision, d.next.Proven, d.next.Quiet, d.next.Lost, d.next.Failure = d.Wanted, false, "", 0, Failure{}
	d.turn(p)
}

// turn begins a phase with another target. It drops the steps: the facts still show the speakers
// that do not work because of them.
func (d *decision) turn(p Phase) {
	d.next.Phase, d.next.Since, d.next.Steps = p, d.now, nil
}

// fail records why the revision failed, and begins the rollback or halts.
func (d *decision) fail(f Failure) {
	d.next.Failure = f
	switch {
	case d.Settings.Halt:
		d.turn(Halted)
	case !d.GoodStored:
		d.next.Failure.Why += fmt.Sprintf(": the templates of the last good revision %s do not exist any more, so that no node is rolled back", d.next.Good)
		d.turn(Halted)
	default:
		d.turn(RollingBack)
	}
}

// advance moves to the next phase once the present one is done.
func (d *decision) advance() {
	n := &d.next
	if !d.available() {
		return
	}
	switch n.Phase {
	case Controller:
		if d.controllerReady() {
			n.Phase = Canary
		} else if d.elapsed(n.Since) >= d.Settings.StepTimeout {
			d.fail(Failure{Why: "the controller is not ready on the new revision" + detail(d.Controller.Problem)})
		}
	case Canary:
		n.Proven = n.Proven || !d.busy() && d.provenLater()
		if d.proven() && !d.busy() {
			n.Phase = Speakers
		}
	case Installing, Speakers:
		if d.done() && d.proven() && (!n.forward() || d.harm() == "" && !d.unshown()) {
			n.Unverified = n.Unverified && n.Revision.Speaker == n.Good.Speaker
			n.Phase, n.Good, n.Lost = Complete, n.Revision, 0
		}
	case RollingBack:
		if d.done() && n.Revision == n.Good {
			n.Phase = Complete
		} else if d.done() {
			n.Phase = RolledBack
		}
	case Complete:
		if len(d.candidates()) > 0 {
			n.Phase, n.Since = Speakers, d.now
		}
	case RolledBack:
		if len(d.candidates()) > 0 {
			n.Phase, n.Since = RollingBack, d.now
		}
	}
}

// done reports whether the target runs wherever it can. Late steps are not waited for and, once the
// phase stands still, neither are pods without a step.
func (d *decision) done() bool {
	if d.busy() || len(d.candidates()) > 0 || !d.controllerReady() {
		return false
	}
	return d.standsStill() || !slices.ContainsFunc(d.order, func(name lb.NodeName) bool {
		return d.up(name) && !d.next.has(name) && d.podGate(d.Nodes[name]) != ""
	})
}

// standsStill reports whether the phase has made no progress for StepTimeout, or has lasted for longest:
// speakers that become ready again and again do not prolong it.
func (d *decision) standsStill() bool {
	return d.elapsed(d.progressed()) >= d.Settings.StepTimeout || d.elapsed(d.next.Since) >= d.longest()
}

// longest returns how long a phase may last: StepTimeout for each node, as if they were changed one after the
// other, and StepTimeout once more.
func (d *decision) longest() time.Duration {
	return time.Duration(d.total()+1) * d.Settings.StepTimeout
}

// progressed returns when the phase last made progress: it began, or a speaker became ready on the target.
// A node that came up since, or a container that was started again, does not count: such events could
// prolong the phase for ever.
func (d *decision) progressed() time.Time {
	last := d.next.Since
	for _, name := range d.order {
		node := d.Nodes[name]
		counts := d.up(name) && !node.UpSince.After(d.next.Since) && d.target(node) && node.Pod.Restarts == 0
		if counts && node.Pod.Ready && node.Pod.Since.After(last) {
			last = node.Pod.Since
		}
	}
	return last
}

// proven reports whether the target works on a node, or there are no nodes at all. A speaker that
// ran the target before this rollout is a proof only if there is no other node to try it on.
func (d *decision) proven() bool {
	if d.next.forward() && d.next.target().Speaker != d.next.Good.Speaker && !d.next.Proven && d.untried() {
		return false
	}
	works := func(name lb.NodeName) bool {
		return d.up(name) && !d.next.has(name) && d.podGate(d.Nodes[name]) == "" && d.Nodes[name].Report != nil
	}
	return len(d.order) == 0 || slices.ContainsFunc(d.order, works)
}

// unshown reports whether addresses should be announced and no speaker of the target announces any:
// only former speakers on nodes that are skipped do, or none does. Such a revision does not become
// the good one, even if the outages began before it.
func (d *decision) unshown() bool {
	if d.next.target().Speaker == d.next.Good.Speaker {
		return false
	}
	wanted := len(d.Outages) > 0
	for _, name := range d.order {
		node := d.Nodes[name]
		if node.Down || !node.works() || node.Report == nil || node.Report.announces() == 0 {
			continue
		}
		if d.target(node) {
			return false
		}
		wanted = true
	}
	return wanted
}

// untried reports whether there are nodes on which the target can still be tried, now or when they
// are up again. A node that is up and skipped without a speaker may never have one.
func (d *decision) untried() bool {
	skipped := func(name lb.NodeName) bool {
		node := d.Nodes[name]
		return !d.up(name) && !d.target(node) && (node.Down || node.Pod != nil)
	}
	return len(d.candidates()) > 0 || slices.ContainsFunc(d.order, skipped)
}

// template returns the revision if its templates are available and may be used, or none.
func (d *decision) template(r Revision) Revision {
	if d.next.Phase != Halted && (r == d.Wanted || r == d.next.Good && d.GoodStored) {
		return r
	}
	return Revision{}
}

// available reports whether the templates of the target are available.
func (d *decision) available() bool {
	return d.next.target() == d.Wanted || d.GoodStored
}

// speakers returns the revision that new pods of the DaemonSet get: not the new one before the
// controller has it.
func (d *decision) speakers() Revision {
	if d.next.Phase == Controller {
		return d.next.Good
	}
	return d.next.target()
}

// elapsed returns the time since then, without the time before SeenSince: it is not known what
// happened while the operator did not see the cluster.
func (d *decision) elapsed(since time.Time) time.Duration {
	if d.SeenSince.After(since) {
		since = d.SeenSince
	}
	return max(0, d.Now.Sub(since))
}
