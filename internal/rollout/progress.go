package rollout

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// buildProgress returns what the operator reports about the rollout.
func (d *decision) buildProgress() Progress {
	p := Progress{Total: d.countNodes(), Target: d.next.targetRevision()}
	for _, name := range d.order {
		node := d.Nodes[name]
		counts := node.Skip == "" || node.Down
		switch {
		case counts && d.hasTarget(node) && node.Pod.Ready && !node.Pod.Ending:
			p.Updated++
		case node.Skip != "" && !d.hasTarget(node):
			p.Skipped = append(p.Skipped, NodeNote{Node: name, Text: node.Skip})
		}
	}
	if d.next.Phase == PhaseCanary && !d.next.Proven && d.next.targetRevision().Speaker != d.next.Good.Speaker {
		p.Unproven = d.unprovenNodes()
	}
	for _, step := range d.next.Steps {
		p.Waiting = append(p.Waiting, NodeNote{Node: step.Node, Text: d.whyStepWaits(step, d.Nodes[step.Node])})
	}
	if d.next.Phase == PhaseHalted {
		return p
	}
	working, broken := d.splitCandidates()
	p.Following = append(broken, working...)
	switch {
	case d.isBusy():
	case len(p.Following) > 0:
		p.Blocked = d.blockedReason()
	case d.next.Phase == PhaseCanary:
		p.Blocked = "no node is up on which the revision can be tried"
	case d.next.canFail() && d.announcesNothing():
		p.Blocked = "no updated speaker announces an address, so nothing shows that the revision works"
	}
	return p
}

// unprovenNodes returns the nodes that have the target and no step, were up when the rollout began,
// and announce nothing.
func (d *decision) unprovenNodes() (list []lb.NodeName) {
	for _, name := range d.order {
		node := d.Nodes[name]
		if d.isUp(name) && d.hasTarget(node) && !d.next.hasStep(name) && node.Report.countAddresses() == 0 && !node.UpSince.After(d.next.Since) {
			list = append(list, name)
		}
	}
	return list
}

// blockedReason returns why no step begins although there are nodes to change; empty: the reason is not
// known.
func (d *decision) blockedReason() string {
	var dark lb.NodeName
	for _, name := range d.order {
		if node := d.Nodes[name]; dark == "" && d.isUp(name) && (node.Pod == nil || node.Pod.Ending || !node.Pod.Ready) {
			dark = name
		}
	}
	switch {
	case d.next.Phase == PhaseController:
		return "the new controller must be ready first"
	case !d.hasTemplates():
		return "the pod templates of the last good revision no longer exist"
	case !d.mayReplace():
		return "the DaemonSet does not have the pod template of this revision yet"
	case d.next.canFail() && !d.isControllerReady():
		return "the controller is not ready" + detailSuffix(d.Controller.Problem)
	case d.next.canFail() && d.harmReason() != "":
		return d.harmReason()
	case slices.ContainsFunc(d.candidates(), func(name lb.NodeName) bool { return d.awaitsReport(d.Nodes[name]) }):
		return "the spec was changed or applied less than 10 s ago, or objects that the spec requests are not applied yet: the rollout waits until the speakers report what they announce after the change"
	case dark != "":
		return "the speaker on " + string(dark) + " is not ready" + detailSuffix(d.nodeProblemMessage(dark))
	}
	return ""
}

func (d *decision) nodeProblemMessage(name lb.NodeName) string {
	if pod := d.Nodes[name].Pod; pod != nil {
		return pod.Problem
	}
	return ""
}

// untilNextDecision returns after which time the decision can change even if nothing happens until then;
// 0: it cannot change.
func (d *decision) untilNextDecision() time.Duration {
	var soonest time.Duration
	within := func(left time.Duration) {
		if left > 0 && (soonest == 0 || left < soonest) {
			soonest = left
		}
	}
	timeout := func(since time.Time, long time.Duration) { within(long - d.observedDuration(since)) }
	switch d.next.Phase {
	case PhaseHalted:
		return 0
	case PhaseController:
		timeout(d.next.Since, d.Settings.StepTimeout)
	case PhaseInstalling, PhaseSpeakers, PhaseRollingBack:
		timeout(d.lastProgress(), d.Settings.StepTimeout)
		timeout(d.next.Since, d.maxPhaseTime())
	}
	if d.next.canFail() && len(d.candidates()) > 0 {
		within(d.editWaitEnd().Sub(d.Now))
	}
	for _, step := range d.next.Steps {
		timeout(step.Since, d.Settings.StepTimeout)
		if node := d.Nodes[step.Node]; d.whyPodNotReady(node) == "" && d.quietReason(step, node) != "" {
			timeout(node.Pod.Since, d.resumeLimit())
		}
	}
	for _, name := range d.order {
		switch pod := d.Nodes[name].Pod; {
		case pod == nil || !d.isUp(name):
		case d.hasTarget(d.Nodes[name]) && pod.Ready:
			within(d.readyEnoughAt(pod).Sub(d.Now))
		case !pod.Ready && d.next.canFail():
			timeout(pod.Since, unreadyDelay)
		}
	}
	if since, ready := d.harmSince(); ready && d.harmReason() != "" && d.next.canFail() {
		timeout(since, maxOutageTime)
	}
	return soonest
}
