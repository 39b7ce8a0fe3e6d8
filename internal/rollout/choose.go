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
	if !d.mayReplace() || d.next.canFail() && (d.harmReason() != "" || !d.isControllerReady()) {
		return
	}
	working, broken := d.splitCandidates()
	if d.next.Phase == PhaseCanary {
		if d.isBusy() || d.isProven() {
			return
		}
		// The replacement of a working speaker shows more about the revision. If none can be replaced,
		// the replacement of a broken one does no harm.
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

// startStep begins a step on a node, and reports whether it did. It begins no step if too many nodes are
// unavailable, or if the speaker must not be replaced yet.
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
		return false // the speaker on this node must first report whether the speaker of that step announces
	case !broken || d.next.Phase != PhaseInstalling:
		if d.countUnderWay(steps) >= d.maxUnavailable() {
			return false
		}
	}
	step := Step{Node: name, Pod: node.Pod.ID, Since: d.now, Broken: broken, Gap: d.countGap(name, steps), Others: d.countOtherAddresses(name)}
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

// recordEdit records that the spec has changed. The time of the last edit may come from another process,
// whose clock is ahead. recordEdit replaces a time in the future by now, so that no step waits longer
// than after an edit that happens now.
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

// recordUnapplied sets the time of the last edit to now while not all objects of the edit are applied,
// since speakers follow an edit only after that. If the API server always refuses an object, steps are
// delayed no longer than by a series of edits. If the last edit was before SeenSince, it is not known
// how long the object has been refused, and a new series begins.
func (d *decision) recordUnapplied(e *Edits) {
	switch {
	case e.Last.Before(d.SeenSince):
		e.First, e.Last = d.now, d.now
	case d.now.Before(e.First.Add(maxEditDelay)) && !d.now.Before(e.Last.Add(reportDelay/2)):
		e.Last = d.now // not in each pass, since all speakers watch the status
	}
}

// editWaitEnd returns the time until which steps wait for reports that were made after the last edit of
// the spec. A series of edits delays steps by at most maxEditDelay. If a step begins before the series
// ends, its node is not compared with what it announced before, see isEdited.
func (d *decision) editWaitEnd() time.Time {
	e := d.next.Edits
	if last := e.First.Add(maxEditDelay); last.Before(e.Last.Add(reportDelay)) {
		return last
	}
	return e.Last.Add(reportDelay)
}

// awaitsReport reports whether the replacement of a speaker must wait for a new report of what it
// announces. It must if the spec has just changed, since the change may have removed the node from an
// advertisement. A canary that announces nothing also waits if another speaker announces addresses,
// since the replacement would prove nothing. While a Service is not announced, no step waits: the change
// may be the correction.
func (d *decision) awaitsReport(node Node) bool {
	shows := node.Report.countAddresses() > 0 || d.next.Phase == PhaseCanary && d.announces
	return shows && d.next.canFail() && len(d.Outages) == 0 && d.now.Before(d.editWaitEnd())
}

// isAnyAnnouncing reports whether any speaker announces an address, on the local network or to routers.
func (d *decision) isAnyAnnouncing() bool {
	return slices.ContainsFunc(d.order, func(name lb.NodeName) bool { return d.isUp(name) && d.Nodes[name].Report.countAddresses() > 0 })
}

// splitCandidates returns the candidates whose speaker works (working), and those whose speaker does not
// work (broken), in the order in which they are changed. Nodes that announce the fewest addresses come
// first. In a rollback they come last, since a failed revision does more harm on nodes with more
// addresses.
//
// The canary is a node that announces addresses, if there is one: only such a node shows whether the
// speakers of the revision announce. But if a Service is not announced, or a node does not have the good
// revision, the new revision may be a correction. It is then tried on the node that announces the fewest
// addresses.
func (d *decision) splitCandidates() (working, broken []lb.NodeName) {
	for _, name := range d.candidates() {
		pod := d.Nodes[name].Pod
		switch {
		case d.Nodes[name].isWorking():
			working = append(working, name)
		case pod.Ready || !d.next.canFail() || d.observedDuration(pod.Since) >= unreadyDelay:
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

// countAddresses returns how many addresses a speaker announces on the local network and to routers;
// without a report it is 0.
func (r *Report) countAddresses() int {
	if r == nil {
		return 0
	}
	return r.Addresses + r.Routes
}

// evidenceRank ranks the evidence that the replacement of a speaker can give about a revision: other speakers
// receive its announcements on the local network, but not its routes.
func (r *Report) evidenceRank() int {
	switch {
	case r == nil || r.countAddresses() == 0:
		return 0
	case r.Addresses == 0:
		return 1
	}
	return 2
}

// candidates returns the nodes that are up, have a pod that is not of the target, and have no step.
func (d *decision) candidates() []lb.NodeName {
	var list []lb.NodeName
	for _, name := range d.order {
		if pod := d.Nodes[name].Pod; d.isUp(name) && pod != nil && !pod.Ending && !d.hasTarget(d.Nodes[name]) && !d.next.hasStep(name) {
			list = append(list, name)
		}
	}
	return list
}

// isWorking reports whether the speaker of a node is ready, and the other speakers receive from it.
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

// countUnavailable counts the nodes that are up and that have no ready speaker, or a step that is not
// late. It leaves out the given node (but).
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
