package rollout

import (
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// settleSteps ends the steps that passed their gate or cannot be completed.
func (d *decision) settleSteps() {
	var failed Failure
	var steps []Step // the steps that go on; the gates read all of d.next.Steps
	for _, step := range d.next.Steps {
		node := d.Nodes[step.Node]
		step = d.recordMoved(d.recordCovered(step))
		switch {
		case node.Down, !d.isUp(step.Node) && (node.Pod == nil || node.Pod.Ending || !d.hasTarget(node)):
			d.countLost(step, node)
		case d.isToDelete(step, node):
			if d.mayReplace() && !d.hasTarget(node) && (!node.Pod.Ready || d.countUnavailable(step.Node, d.next.Steps) < d.maxUnavailable()) {
				steps = append(steps, step)
			} // otherwise the step ends before its pod is deleted
		case step.Pod == "" && node.Pod != nil && !node.Pod.Ending && !d.hasTarget(node):
			// The pod has the former template: the step ends, and the node stays a candidate.
		case d.whyStepWaits(step, node) != "":
			steps = append(steps, d.nextTry(step, node))
		case d.next.canFail() && step.Pod != "" && !step.Broken:
			if why := d.recordPassed(step, node); why != "" {
				failed = Failure{Node: step.Node, Why: why}
			}
		}
	}
	d.next.Steps = steps
	switch {
	case failed != Failure{}:
		d.failRevision(failed)
	case d.next.canFail():
		d.adoptSteps()
		d.failIfHarmful()
	}
}

// failIfHarmful fails a revision that is not known to be good if a step is late, too many nodes
// went down, or a Service stays unannounced.
func (d *decision) failIfHarmful() {
	if d.next.Lost > maxLostNodes {
		d.failRevision(Failure{Why: fmt.Sprintf("%d nodes went down while their speakers were replaced", d.next.Lost)})
		return
	}
	for _, step := range d.next.Steps {
		if d.isLate(step) && !step.Broken {
			d.failRevision(d.lateFailure(step))
			return
		}
	}
	if why := d.harmReason(); why != "" && d.isHarmful() {
		d.failRevision(Failure{Why: why})
	}
}

// lateFailure returns the failure of a late step: what it waits for.
func (d *decision) lateFailure(step Step) Failure {
	why := d.whyStepWaits(step, d.Nodes[step.Node])
	return Failure{Node: step.Node, Why: why, Unreceived: why != "" && why == d.muteReason(step)}
}

// countLost counts a step whose node went down while its speaker was replaced.
func (d *decision) countLost(step Step, node Node) {
	if node.Down && step.Pod != "" && !d.isLate(step) && !d.isToDelete(step, node) {
		d.next.Lost++
	}
}

// isToDelete reports whether the pod of a step must still be deleted.
func (d *decision) isToDelete(step Step, node Node) bool {
	return node.Pod != nil && step.Pod != "" && node.Pod.ID == step.Pod && !node.Pod.Ending
}

// nextTry returns the step. If the new pod does not have the target either, it is the next pod that the
// step deletes.
func (d *decision) nextTry(step Step, node Node) Step {
	if pod := node.Pod; pod != nil && !pod.Ending && !d.hasTarget(node) && step.Pod != "" && step.Tries < maxTries && d.mayReplace() && !d.isLate(step) {
		step.Pod = pod.ID
		step.Tries++
	}
	return step
}

// adoptSteps adds a step for each node without a step whose pod is missing or ending. It does so too if
// the speaker has the new revision and is not ready or has not reported. Something else replaced such a
// speaker, or it is older than the rollout. What the node announced before is not known, so the gates of
// such a step do not compare it with the present state. A speaker that has passed its step and then does
// not announce an address that it has taken gets another step.
func (d *decision) adoptSteps() {
	if d.next.Phase == PhaseController {
		return
	}
	for _, name := range d.order {
		node := d.Nodes[name]
		replaced := d.isUp(name) && (node.Pod == nil || node.Pod.Ending || d.hasTarget(node) && (!node.Pod.Ready || node.Report == nil))
		quiet := !node.Down && d.hasTarget(node) && node.isWorking() && d.coveredBy[name] != "" && d.isAnnouncingTested()
		if (replaced || quiet) && !d.next.hasStep(name) && len(d.next.Steps) < MaxSteps {
			d.next.Steps = append(d.next.Steps, d.recordCovered(Step{Node: name, Since: d.now, Broken: replaced && node.UpSince.After(d.next.Since)}))
		}
	}
}

// deletions returns the pods to delete. A pod is deleted only in a step that is stored, and while the
// DaemonSet makes pods of the target.
func (d *decision) deletions() []Deletion {
	var list []Deletion
	for _, step := range d.next.Steps {
		stored := func(s Step) bool { return s.Node == step.Node && s.Pod == step.Pod }
		if d.isToDelete(step, d.Nodes[step.Node]) && d.mayReplace() && slices.ContainsFunc(d.Stored.Steps, stored) {
			list = append(list, Deletion{Node: step.Node, Pod: step.Pod})
		}
	}
	return list
}

// mayReplace reports whether speakers can be replaced: the phase allows it, and new pods get the target.
func (d *decision) mayReplace() bool {
	switch d.next.Phase {
	case PhaseInstalling, PhaseCanary, PhaseSpeakers, PhaseRollingBack:
		return d.hasTemplates() && d.Template == d.next.targetRevision().Speaker
	}
	return false
}

// hasTarget reports whether a node has a pod of the target.
func (d *decision) hasTarget(node Node) bool {
	return node.Pod != nil && node.Pod.Revision == d.next.targetRevision().Speaker
}

// isUp reports whether a node exists, and a speaker can work on it.
func (d *decision) isUp(name lb.NodeName) bool {
	node, exists := d.Nodes[name]
	return exists && node.Skip == ""
}

// isLate reports whether a step takes too long. A speaker that is ready at the end of StepTimeout gets the
// time to show that it stays ready.
func (d *decision) isLate(step Step) bool {
	node := d.Nodes[step.Node]
	return !d.isToDelete(step, node) && d.observedDuration(step.Since) >= d.Settings.StepTimeout && !d.isSettling(node)
}

// isSettling reports whether a pod of the target is ready, but has not been ready for long enough.
func (d *decision) isSettling(node Node) bool {
	return d.hasTarget(node) && !node.Pod.Ending && node.Pod.Ready && d.Now.Before(d.readyEnoughAt(node.Pod))
}

// hasStep reports whether a node has a step.
func (s Stored) hasStep(name lb.NodeName) bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Node == name })
}
