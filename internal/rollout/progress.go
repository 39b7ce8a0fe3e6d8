package rollout

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// progress returns what is reported of the rollout.
func (d *decision) progress() Progress {
	p := Progress{Total: d.total(), Target: d.next.target()}
	for _, name := range d.order {
		node := d.Nodes[name]
		counts := node.Skip == "" || node.Down
		switch {
		case counts && d.target(node) && node.Pod.Ready && !node.Pod.Ending:
			p.Updated++
		case node.Skip != "" && !d.target(node):
			p.Skipped = append(p.Skipped, Note{Node: name, Text: node.Skip})
		}
	}
	if d.next.Phase == Canary && !d.next.Proven && d.next.target().Speaker != d.next.Good.Speaker {
		p.Unproven = d.unproven()
	}
	for _, step := range d.next.Steps {
		p.Waiting = append(p.Waiting, Note{Node: step.Node, Text: d.gate(step, d.Nodes[step.Node])})
	}
	if d.next.Phase == Halted {
		return p
	}
	working, broken := d.split()
	p.Following = append(broken, working...)
	switch {
	case d.busy():
	case len(p.Following) > 0:
		p.Blocked = d.blocked()
	case d.next.Phase == Canary:
		p.Blocked = "no node is up on which the revision can be tried"
	case d.next.forward() && d.unshown():
		p.Blocked = "no updated speaker announces an address, so that the revision is not known to work"
	}
	return p
}

// unproven returns the nodes that have the target and no step, were up when the rollout began, and announce
// nothing.
func (d *decision) unproven() (list []lb.NodeName) {
	for _, name := range d.order {
		node := d.Nodes[name]
		if d.up(name) && d.target(node) && !d.next.has(name) && node.Report.announces() == 0 && !node.UpSince.After(d.next.Since) {
			list = append(list, name)
		}
	}
	return list
}

// blocked returns why no step begins although nodes are to be changed; empty: it is not known.
func (d *decision) blocked() string {
	var dark lb.NodeName
	for _, name := range d.order {
		if node := d.Nodes[name]; dark == "" && d.up(name) && (node.Pod == nil || node.Pod.Ending || !node.Pod.Ready) {
			dark = name
		}
	}
	switch {
	case d.next.Phase == Controller:
		return "the controller comes first"
	case !d.available():
		return "the templates of the last good revision do not exist any more"
	case !d.stepping():
		return "the DaemonSet does not have the template yet"
	case d.next.forward() && !d.controllerReady():
		return "the controller is not ready" + detail(d.Controller.Problem)
	case d.next.forward() && d.harm() != "":
		return d.harm()
	case slices.ContainsFunc(d.candidates(), func(name lb.NodeName) bool { return d.awaits(d.Nodes[name]) }):
		return "the spec was edited or applied within the last 10 s, or is not applied yet: what the speakers announce is known after that"
	case dark != "":
		return "the speaker on " + string(dark) + " is not ready" + detail(d.problem(dark))
	}
	return ""
}

func (d *decision) problem(name lb.NodeName) string {
	if pod := d.Nodes[name].Pod; pod != nil {
		return pod.Problem
	}
	return ""
}

// again returns how long until the decision can change although nothing else happens; 0: it cannot.
func (d *decision) again() time.Duration {
	var soonest time.Duration
	within := func(left time.Duration) {
		if left > 0 && (soonest == 0 || left < soonest) {
			soonest = left
		}
	}
	timeout := func(since time.Time, long time.Duration) { within(long - d.elapsed(since)) }
	switch d.next.Phase {
	case Halted:
		return 0
	case Controller:
		timeout(d.next.Since, d.Settings.StepTimeout)
	case Installing, Speakers, RollingBack:
		timeout(d.progressed(), d.Settings.StepTimeout)
		timeout(d.next.Since, d.longest())
	}
	if d.next.forward() && len(d.candidates()) > 0 {
		within(d.awaited().Sub(d.Now))
	}
	for _, step := range d.next.Steps {
		timeout(step.Since, d.Settings.StepTimeout)
		if node := d.Nodes[step.Node]; d.podGate(node) == "" && d.quietGate(step, node) != "" {
			timeout(node.Pod.Since, d.resumeWithin())
		}
	}
	for _, name := range d.order {
		switch pod := d.Nodes[name].Pod; {
		case pod == nil || !d.up(name):
		case d.target(d.Nodes[name]) && pod.Ready:
			within(d.steadyAt(pod).Sub(d.Now))
		case !pod.Ready && d.next.forward():
			timeout(pod.Since, blip)
		}
	}
	if since, ready := d.harmSince(); ready && d.harm() != "" && d.next.forward() {
		timeout(since, maxOutage)
	}
	return soonest
}
