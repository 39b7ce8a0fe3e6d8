package rollout

import (
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// settle ends the steps that passed their gate or cannot be completed.
func (d *decision) settle() {
	var failed Failure
	var steps []Step // those that go on; the gates read all of d.next.Steps
	for _, step := range d.next.Steps {
		node := d.Nodes[step.Node]
		step = d.moved(d.covered(step))
		switch {
		case node.Down, !d.up(step.Node) && (node.Pod == nil || node.Pod.Ending || !d.target(node)):
			d.lose(step, node)
		case d.startable(step, node):
			if d.stepping() && !d.target(node) && (!node.Pod.Ready || d.unavailable(step.Node, d.next.Steps) < d.most()) {
				steps = append(steps, step)
			} // otherwise the step ends before its pod is deleted
		case step.Pod == "" && node.Pod != nil && !node.Pod.Ending && !d.target(node):
			// The pod has the former template: the step ends, and the node stays a candidate.
		case d.gate(step, node) != "":
			steps = append(steps, d.retried(step, node))
		case d.next.forward() && step.Pod != "" && !step.Broken:
			if why := d.passed(step, node); why != "" {
				failed = Failure{Node: step.Node, Why: why}
			}
		}
	}
	d.next.Steps = steps
	switch {
	case failed != Failure{}:
		d.fail(failed)
	case d.next.forward():
		d.adopt()
		d.judge()
	}
}

// judge fails a revision that is not known to be good if a step is late, too many nodes went down,
// or a Service stays unannounced.
func (d *decision) judge() {
	if d.next.Lost > maxLost {
		d.fail(Failure{Why: fmt.Sprintf("%d nodes went down while their speaker was replaced", d.next.Lost)})
		return
	}
	for _, step := range d.next.Steps {
		if d.late(step) && !step.Broken {
			d.fail(d.whyLate(step))
			return
		}
	}
	if why := d.harm(); why != "" && d.harmful() {
		d.fail(Failure{Why: why})
	}
}

// whyLate returns what a step that is late waits for.
func (d *decision) whyLate(step Step) Failure {
	why := d.gate(step, d.Nodes[step.Node])
	return Failure{Node: step.Node, Why: why, Unreceived: why != "" && why == d.muteGate(step)}
}

// lose counts a step whose node went down while its speaker was replaced.
func (d *decision) lose(step Step, node Node) {
	if node.Down && step.Pod != "" && !d.late(step) && !d.startable(step, node) {
		d.next.Lost++
	}
}

// startable reports whether the pod of a step is still to be deleted.
func (d *decision) startable(step Step, node Node) bool {
	return node.Pod != nil && step.Pod != "" && node.Pod.ID == step.Pod && !node.Pod.Ending
}

// retried returns a step with the next pod to delete if a pod was made with another revision.
func (d *decision) retried(step Step, node Node) Step {
	if pod := node.Pod; pod != nil && !pod.Ending && !d.target(node) && step.Pod != "" && step.Tries < maxTries && d.stepping() && !d.late(step) {
		step.Pod = pod.ID
		step.Tries++
	}
	return step
}

// adopt adds a step for each node without one whose pod is missing or ending, or whose speaker has the
// new revision and is not ready or has not reported: somebody else replaced it, or it is older than the
// rollout. What the node announced before is not known, so that the step is not compared with it. A
// speaker that has passed its step, and then does not announce an address that it has taken, gets
// another step.
func (d *decision) adopt() {
	if d.next.Phase == Controller {
		return
	}
	for _, name := range d.order {
		node := d.Nodes[name]
		replaced := d.up(name) && (node.Pod == nil || node.Pod.Ending || d.target(node) && (!node.Pod.Ready || node.Report == nil))
		quiet := !node.Down && d.target(node) && node.works() && d.coveredBy[name] != "" && d.showsAnnouncing()
		if (replaced || quiet) && !d.next.has(name) && len(d.next.Steps) < MaxSteps {
			d.next.Steps = append(d.next.Steps, d.covered(Step{Node: name, Since: d.now, Broken: replaced && node.UpSince.After(d.next.Since)}))
		}
	}
}

// deletions returns the pods to delete: those of steps that were stored, while the DaemonSet
// makes pods of the target.
func (d *decision) deletions() []Deletion {
	var list []Deletion
	for _, step := range d.next.Steps {
		stored := func(s Step) bool { return s.Node == step.Node && s.Pod == step.Pod }
		if d.startable(step, d.Nodes[step.Node]) && d.stepping() && slices.ContainsFunc(d.Stored.Steps, stored) {
			list = append(list, Deletion{Node: step.Node, Pod: step.Pod})
		}
	}
	return list
}

// stepping reports whether speakers can be replaced: the phase allows it, and new pods get the
// target.
func (d *decision) stepping() bool {
	switch d.next.Phase {
	case Installing, Canary, Speakers, RollingBack:
		return d.available() && d.Template == d.next.target().Speaker
	}
	return false
}

// target reports whether a node has a pod of the target.
func (d *decision) target(node Node) bool {
	return node.Pod != nil && node.Pod.Revision == d.next.target().Speaker
}

// up reports whether a node exists, and a speaker can work on it.
func (d *decision) up(name lb.NodeName) bool {
	node, exists := d.Nodes[name]
	return exists && node.Skip == ""
}

// late reports whether a step takes too long. A speaker that is ready at the end of StepTimeout gets the
// time to prove that it stays ready.
func (d *decision) late(step Step) bool {
	node := d.Nodes[step.Node]
	return !d.startable(step, node) && d.elapsed(step.Since) >= d.Settings.StepTimeout && !d.settling(node)
}

// settling reports whether a pod of the target is ready, but not yet for long enough.
func (d *decision) settling(node Node) bool {
	return d.target(node) && !node.Pod.Ending && node.Pod.Ready && d.Now.Before(d.steadyAt(node.Pod))
}

// has reports whether a node has a step.
func (s Stored) has(name lb.NodeName) bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Node == name })
}
