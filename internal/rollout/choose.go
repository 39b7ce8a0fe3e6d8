package rollout

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// choose begins the next steps.
func (d *decision) choose() {
	if !d.stepping() || d.next.forward() && (d.harm() != "" || !d.controllerReady()) {
		return
	}
	working, broken := d.split()
	if d.next.Phase == Canary {
		if d.busy() || d.proven() {
			return
		}
		// A working speaker shows more. If none can be replaced, a broken one costs nothing.
		_ = slices.ContainsFunc(working, d.start) || slices.ContainsFunc(broken, d.start)
		return
	}
	for _, name := range broken {
		d.start(name)
	}
	for _, name := range working {
		d.start(name)
	}
}

// start begins a step on a node, unless too many nodes are unavailable or the speaker must stay for
// now.
func (d *decision) start(name lb.NodeName) bool {
	node, steps := d.Nodes[name], d.next.Steps
	broken := !node.works()
	switch {
	case len(steps) >= MaxSteps:
		return false
	case node.Pod.Ready && d.unavailable(name, steps) >= d.most():
		return false
	case d.awaits(node):
		return false
	case !broken && slices.ContainsFunc(steps, func(s Step) bool { return s.CoveredBy == name && !d.late(s) }):
		return false // its speaker is to report whether the speaker of that step announces
	case !broken || d.next.Phase != Installing:
		if d.underWay(steps) >= d.most() {
			return false
		}
	}
	step := Step{Node: name, Pod: node.Pod.ID, Since: d.now, Broken: broken, Gap: d.gap(name, steps), Others: d.others(name)}
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

// followEdit records that the spec has changed. Another process, whose clock is ahead, may have recorded the last edit:
// a time in the future becomes now, so that no step waits longer than after an edit.
func (d *decision) followEdit() {
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
	case d.Unapplied && d.next.forward():
		d.followUnapplied(e)
	}
}

// followUnapplied moves the last edit to now while not all of its objects are applied: speakers follow it only then. An
// object that the API server refuses for good delays steps no longer than a series of edits does. If the last edit is
// from before SeenSince, it is not known how long the object has been refused, and the series begins again.
func (d *decision) followUnapplied(e *Edits) {
	switch {
	case e.Last.Before(d.SeenSince):
		e.First, e.Last = d.now, d.now
	case d.now.Before(e.First.Add(maxEdits)) && !d.now.Before(e.Last.Add(reportDelay/2)):
		e.Last = d.now // not in each pass: all speakers watch the status
	}
}

// awaited returns until when steps wait for reports that follow the last edit of the spec. Steps wait for
// a series of edits no longer than maxEdits: those that begin then are not compared with what the node
// announced before, see edited.
func (d *decision) awaited() time.Time {
	e := d.next.Edits
	if last := e.First.Add(maxEdits); last.Before(e.Last.Add(reportDelay)) {
		return last
	}
	return e.Last.Add(reportDelay)
}

// awaits reports whether the replacement of a speaker must wait for a report of what it announces: the spec
// has just changed, and may have removed the node from an advertisement. A canary waits also if it announces
// nothing and another speaker does: a canary that announces nothing would show nothing. While a Service is
// not announced, no step waits: the change may be the correction.
func (d *decision) awaits(node Node) bool {
	shows := node.Report.announces() > 0 || d.next.Phase == Canary && d.announces
	return shows && d.next.forward() && len(d.Outages) == 0 && d.now.Before(d.awaited())
}

// announced reports whether any speaker announces an address in any way.
func (d *decision) announced() bool {
	return slices.ContainsFunc(d.order, func(name lb.NodeName) bool { return d.up(name) && d.Nodes[name].Report.announces() > 0 })
}

// split returns the nodes to change whose speaker works, and those whose speaker does not, in the
// order in which they are changed. Nodes that announce the fewest addresses come first; in a
// rollback they come last, since the failed revision harms the other nodes most. The canary is a
// node that announces addresses, if there is one: only that shows whether the revision announces.
// But if a Service is not announced, or a node has a revision that is not the good one, the new
// revision may be a correction: it is then tried where the fewest addresses depend on it.
func (d *decision) split() (working, broken []lb.NodeName) {
	for _, name := range d.candidates() {
		pod := d.Nodes[name].Pod
		switch {
		case d.Nodes[name].works():
			working = append(working, name)
		case pod.Ready || !d.next.forward() || d.elapsed(pod.Since) >= blip:
			broken = append(broken, name)
		}
	}
	showing := d.next.Phase == Canary && len(d.Outages) == 0 && !slices.ContainsFunc(working, func(name lb.NodeName) bool {
		return d.Nodes[name].Pod.Revision != d.next.Good.Speaker
	})
	slices.SortStableFunc(working, func(x, y lb.NodeName) int {
		if d.next.Phase == RollingBack {
			x, y = y, x
		}
		a, b := d.Nodes[x].Report, d.Nodes[y].Report
		shows := 0
		if showing {
			shows = cmp.Compare(b.shows(), a.shows())
		}
		return cmp.Or(shows, cmp.Compare(a.announces(), b.announces()))
	})
	return working, broken
}

// announces returns how many addresses a speaker announces in any way; without a report none.
func (r *Report) announces() int {
	if r == nil {
		return 0
	}
	return r.Addresses + r.Routes
}

// shows ranks how much the replacement of a speaker shows about a revision: other speakers receive
// its announcements on the local network, but not its routes.
func (r *Report) shows() int {
	switch {
	case r == nil || r.announces() == 0:
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
		if pod := d.Nodes[name].Pod; d.up(name) && pod != nil && !pod.Ending && !d.target(d.Nodes[name]) && !d.next.has(name) {
			list = append(list, name)
		}
	}
	return list
}

// works reports whether a speaker is ready and the other speakers receive from it.
func (n Node) works() bool { return n.Pod != nil && !n.Pod.Ending && n.Pod.Ready && !n.Silent }

// most returns how many nodes may be unavailable at a time.
func (d *decision) most() int { return d.Settings.MaxUnavailable.of(d.total()) }

// total returns how many nodes should have a speaker.
func (d *decision) total() int {
	total := 0
	for _, node := range d.Nodes {
		if node.Skip == "" || node.Down {
			total++
		}
	}
	return total
}

// unavailable counts the other nodes that are up and have no ready speaker, or a step that is not late.
func (d *decision) unavailable(but lb.NodeName, steps []Step) int {
	count := 0
	for _, name := range d.order {
		pod := d.Nodes[name].Pod
		inStep := slices.ContainsFunc(steps, func(s Step) bool { return s.Node == name && !d.late(s) })
		if name != but && d.up(name) && (inStep || pod == nil || pod.Ending || !pod.Ready) {
			count++
		}
	}
	return count
}

// underWay counts the steps that are not late.
func (d *decision) underWay(steps []Step) int {
	count := 0
	for _, step := range steps {
		if !d.late(step) {
			count++
		}
	}
	return count
}

// busy reports whether a step is under way.
func (d *decision) busy() bool { return d.underWay(d.next.Steps) > 0 }
