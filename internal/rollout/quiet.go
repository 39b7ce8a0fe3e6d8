package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// resumeTimeout is how long a ready speaker may take to report that it announces again what its node
	// announced before: reports are at most 5 s old.
	resumeTimeout = 30 * time.Second
	// takeoverDelay is how long other speakers do not take over the addresses of a node whose speaker is
	// replaced, minus the delay of the operator.
	takeoverDelay = 20 * time.Second
)

// otherAddresses returns how many addresses the speakers of all other nodes announce on the local
// network. They announce also on nodes with a taint that keeps new pods away.
func (d *decision) otherAddresses(but lb.NodeName) int {
	addresses := 0
	for _, name := range d.order {
		if node := d.Nodes[name]; name != but && !node.Down && node.Report != nil {
			addresses += node.Report.Addresses
		}
	}
	return addresses
}

// recordMoved records whether other speakers may have taken the addresses of a step before its new
// speaker ran: because it started late, or because they could not find out that the node is up. If
// so, that the speaker has no addresses shows nothing about the revision. moved assumes it if the
// operator did not see the cluster for the whole step.
func (d *decision) recordMoved(step Step) Step {
	node := d.Nodes[step.Node]
	if step.Moved || d.isToDelete(step, node) {
		return step
	}
	reports := d.hasTarget(node) && !node.Pod.Ending && node.Report != nil
	step.Moved = d.SeenSince.Truncate(time.Second).After(step.Since) || !reports && (d.otherAddresses(step.Node) > step.Others || d.Now.Sub(step.Since) >= takeoverDelay)
	return step
}

// isQuiet reports whether a speaker announced addresses on the local network before it was replaced, and
// announces none since, and others have taken them. It is no proof: the endpoints of its Services may
// have moved to other nodes at the same time. Routes have a gate of their own, see hasLostRoutes.
func (d *decision) isQuiet(step Step, node Node) bool {
	switch {
	case node.Report == nil || node.Report.Isolated || node.Report.Draining || d.next.targetRevision().Speaker == d.next.Good.Speaker:
		return false
	case step.Addresses == 0 || node.Report.Addresses > 0 || step.Moved || d.isEdited(step):
		return false
	}
	return d.otherAddresses(step.Node)-step.Others >= step.Addresses
}

// quietGate makes the canary wait while its speaker may still resume announcing.
func (d *decision) quietGate(step Step, node Node) string {
	if !d.isQuiet(step, node) || d.next.Proven || !d.next.canFail() || d.observedFor(node.Pod.Since) >= d.resumeLimit() {
		return ""
	}
	return fmt.Sprintf("the speaker announced %d addresses on the local network before it was replaced, and announces none yet", step.Addresses)
}

// resumeLimit returns resume, at most half of StepTimeout.
func (d *decision) resumeLimit() time.Duration { return min(resumeTimeout, d.Settings.StepTimeout/2) }

// recordPassed records what a step shows that has passed its gate; why is set if it fails the
// revision. A speaker that announces nothing any more does not prove the revision: another node is
// tried. A second such speaker fails the revision. The first one does if too few former speakers
// are left to take over the addresses that a second one would lose.
func (d *decision) recordPassed(step Step, node Node) (why string) {
	switch {
	case d.next.Proven:
	case !d.isQuiet(step, node):
		d.next.Proven = d.stepProves(step)
	case d.next.Quiet == "" && d.countFormer() > 1:
		d.next.Quiet = step.Node
	default:
		why = fmt.Sprintf("the speaker announced %d addresses on the local network before it was replaced, and announces none since, while other speakers do", step.Addresses)
		if d.next.Quiet != "" {
			why += fmt.Sprintf(": the same was so on %s", d.next.Quiet)
		}
	}
	return why
}

// stepProves reports whether a step proves the revision: a speaker of the revision announces in the
// way in which the speaker of the step announced before, on the local network or else to routers.
// It need not be the same speaker: if addresses move at each restart, others of the revision get
// them. If the speaker announced nothing before, its step is a proof, unless another canary
// announces nothing any more.
func (d *decision) stepProves(step Step) bool {
	announced := func(r *Report) int { return r.Routes }
	switch {
	case step.Addresses > 0 || d.next.Quiet != "":
		announced = func(r *Report) int { return r.Addresses }
	case step.Routes == 0:
		return true
	}
	return slices.ContainsFunc(d.order, func(name lb.NodeName) bool {
		node := d.Nodes[name]
		return d.isUp(name) && d.hasTarget(node) && node.isWorking() && node.Report != nil && announced(node.Report) > 0
	})
}

// isProvenLater reports whether no node is left to be tried, and a speaker that was replaced in
// this rollout announces something by now: its step passed before that.
func (d *decision) isProvenLater() bool {
	if !d.next.canFail() || len(d.candidates()) > 0 {
		return false
	}
	announced := (*Report).countAddresses
	if d.next.Quiet != "" || d.otherAddresses("") > 0 {
		announced = func(r *Report) int { return r.Addresses }
	}
	return slices.ContainsFunc(d.order, func(name lb.NodeName) bool {
		node := d.Nodes[name]
		tried := d.isUp(name) && !d.next.hasStep(name) && node.isWorking() && d.podGate(node) == "" && node.Report != nil && node.Report.Started.After(d.next.Since)
		return tried && announced(node.Report) > 0
	})
}

// countFormer counts the speakers that work and do not have the target.
func (d *decision) countFormer() int {
	count := 0
	for _, name := range d.order {
		if node := d.Nodes[name]; d.isUp(name) && node.isWorking() && !d.hasTarget(node) {
			count++
		}
	}
	return count
}
