package rollout

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// startSteps begins the next steps.
func (d *decision) startSteps() {
	if !d.mayReplace() || d.next.canFail() && (d.harmReason() != "" || !d.controllerReady()) {
		return
	}
	working, broken := d.splitCandidates()
	if d.next.Phase == PhaseCanary {
		if d.isBusy() || d.isProven() {
			return
		}
		// A working speaker shows more. If none can be replaced, a broken one costs nothing.
		_ = slices.ContainsFunc(working, d.startStep) || slices.ContainsFunc(broken, d.startStep)
		return
	}
	for _, name := range broken {
		d.startStep(name)
	}
	for _, name := range working {
		d.startStep(name)
	}
}

// startStep begins a step on a node, unless too many nodes are unavailable or the speaker must stay for
// now.
func (d *decision) startStep(name lb.NodeName) bool {
	node, steps := d.Nodes[name], d.next.Steps
	broken := !node.isWorking()
	switch {
	case len(steps) >= MaxSteps:
		return false
	case node.Pod.Ready && d.countUnavailable(name, steps) >= d.maxUnavailable():
		return false
	case d.awaitsReport(node):
		return false
	case !broken && slices.ContainsFunc(steps, func(s Step) bool { return s.CoveredBy == name && !d.isLate(s) }):
		return false // its speaker is to report whether the speaker of that step announces
	case !broken || d.next.Phase != PhaseInstalling:
		if d.countUnderWay(steps) >= d.maxUnavailable() {
			return false
		}
	}
	step := Step{Node: name, Pod: node.Pod.ID, Since: d.now, Broken: broken, Gap: d.countGap(name, steps), Others: d.otherAddresses(name)}
	if node.Report != nil {
		step.Addresses, step.Routes = node.Report.Addresses, node.Report.Routes
		for _, peer := range slices.Sorted(maps.Keys(node.Report.Sessions)) {
			if node.Report.Sessions[peer] {
				step.Sessions = append(step.Sessions, peer)
			}
		}
	}
	d.next.Steps = append(steps, step)
	return true
}

// recordEdit records that the spec has changed. Another process, whose clock is ahead, may have
// recorded the last edit: a time in the future becomes now, so that no step waits longer than after
// an edit.
func (d *decision) recordEdit() {
	e := &d.next.Edits
	if e.Last.After(d.now) {
		e.Last = d.now
	}
	if e.First.After(e.Last) {
		e.First = e.Last
	}
	switch {
	case e.Generation != d.Generation:
		if !d.now.Before(e.Last.Add(2 * reportDelay)) {
			e.First = d.now
		}
		e.Generation, e.Last = d.Generation, d.now
	case d.Unapplied && d.next.canFail():
		d.recordUnapplied(e)
	}
}

// recordUnapplied moves the last edit to now while not all of its objects are applied: speakers
// follow it only then. An object that the API server refuses for good delays steps no longer than a
// series of edits does. If the last edit is from before SeenSince, it is not known how long the
// object has been refused, and the series begins again.
func (d *decision) recordUnapplied(e *Edits) {
	switch {
	case e.Last.Before(d.SeenSince):
		e.First, e.Last = d.now, d.now
	case d.now.Before(e.First.Add(maxEdits)) && !d.now.Before(e.Last.Add(reportDelay/2)):
		e.Last = d.now // not in each pass: all speakers watch the status
	}
}

// awaitsUntil returns until when steps wait for reports that follow the last edit of the spec.
// Steps wait for a series of edits no longer than maxEdits: those that begin then are not compared
// with what the node announced before, see isEdited.
func (d *decision) awaitsUntil() time.Time {
	e := d.next.Edits
	if last := e.First.Add(maxEdits); last.Before(e.Last.Add(reportDelay)) {
		return last
	}
	return e.Last.Add(reportDelay)
}

// awaitsReport reports whether the replacement of a speaker must wait for a report of what it
// announces: the spec has just changed, and may have removed the node from an advertisement. A
// canary waits also if it announces nothing and another speaker does: a canary that announces
// nothing would show nothing. While a Service is not announced, no step waits: the change may be
// the correction.
func (d *decision) awaitsReport(node Node) bool {
	shows := node.Report.countAddresses() > 0 || d.next.Phase == PhaseCanary && d.announces
	return shows && d.next.canFail() && len(d.Outages) == 0 && d.now.Before(d.awaitsUntil())
}

// anyAnnounces reports whether any speaker announces an address in any way.
func (d *decision) anyAnnounces() bool {
	return slices.ContainsFunc(d.order, func(name lb.NodeName) bool { return d.isUp(name) && d.Nodes[name].Report.countAddresses() > 0 })
}

// splitCandidates returns the nodes to change whose speaker works, and those whose speaker does
// not, in the order in which they are changed. Nodes that announce the fewest addresses come first;
// in a rollback they come last, since the failed revision harms the other nodes most. The canary is
// a node that announces addresses, if there is one: only that shows whether the revision announces.
// But if a Service is not announced, or a node has a revision that is not the good one, the new
// revision may be a correction: it is then tried where the fewest addresses depend on it.
func (d *decision) splitCandidates() (working, broken []lb.NodeName) {
	for _, name := range d.candidates() {
		pod := d.Nodes[name].Pod
		switch {
		case d.Nodes[name].isWorking():
			working = append(working, name)
		case pod.Ready || !d.next.canFail() || d.observedFor(pod.Since) >= unreadyDelay:
			broken = append(broken, name)
		}
	}
	showing := d.next.Phase == PhaseCanary && len(d.Outages) == 0 && !slices.ContainsFunc(working, func(name lb.NodeName) bool {
		return d.Nodes[name].Pod.Revision != d.next.Good.Speaker
	})
	slices.SortStableFunc(working, func(x, y lb.NodeName) int {
		if d.next.Phase == PhaseRollingBack {
			x, y = y, x
		}
		a, b := d.Nodes[x].Report, d.Nodes[y].Report
		shows := 0
		if showing {
			shows = cmp.Compare(b.evidenceRank(), a.evidenceRank())
		}
		return cmp.Or(shows, cmp.Compare(a.countAddresses(), b.countAddresses()))
	})
	return working, broken
}

// countAddresses returns how many addresses a speaker announces in any way; without a report none.
func (r *Report) countAddresses() int {
	if r == nil {
		return 0
	}
	return r.Addresses + r.Routes
}

// evidenceRank ranks how much the replacement of a speaker shows about a revision: other speakers receive
// its announcements on the local network, but not its routes.
func (r *Report) evidenceRank() int {
	switch {
	case r == nil || r.countAddresses() == 0:
		return 0
	case r.Addresses == 0:
		return 1
	}
	return 2
}

// candidates returns the nodes that are up, have another revision than the target, and no step.
func (d *decision) candidates() []lb.NodeName {
	var list []lb.NodeName
	for _, name := range d.order {
		if pod := d.Nodes[name].Pod; d.isUp(name) && pod != nil && !pod.Ending && !d.hasTarget(d.Nodes[name]) && !d.next.hasStep(name) {
			list = append(list, name)
		}
	}
	return list
}

// isWorking reports whether a speaker is ready and the other speakers receive from it.
func (n Node) isWorking() bool { return n.Pod != nil && !n.Pod.Ending && n.Pod.Ready && !n.Silent }

// maxUnavailable returns how many nodes may be unavailable at a time.
func (d *decision) maxUnavailable() int { return d.Settings.MaxUnavailable.countOf(d.countNodes()) }

// countNodes returns how many nodes should have a speaker.
func (d *decision) countNodes() int {
	total := 0
	for _, node := range d.Nodes {
		if node.Skip == "" || node.Down {
			total++
		}
	}
	return total
}

// countUnavailable counts the other nodes that are up and have no ready speaker, or a step that is
// not late.
func (d *decision) countUnavailable(but lb.NodeName, steps []Step) int {
	count := 0
	for _, name := range d.order {
		pod := d.Nodes[name].Pod
		inStep := slices.ContainsFunc(steps, func(s Step) bool { return s.Node == name && !d.isLate(s) })
		if name != but && d.isUp(name) && (inStep || pod == nil || pod.Ending || !pod.Ready) {
			count++
		}
	}
	return count
}

// countUnderWay counts the steps that are not late.
func (d *decision) countUnderWay(steps []Step) int {
	count := 0
	for _, step := range steps {
		if !d.isLate(step) {
			count++
		}
	}
	return count
}

// isBusy reports whether a step is under way.
func (d *decision) isBusy() bool { return d.countUnderWay(d.next.Steps) > 0 }
