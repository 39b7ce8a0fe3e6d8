package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// resumeTimeout is how long a ready speaker may take to report that it announces the addresses of its
	// node again: reports are at most 5 s old.
	resumeTimeout = 30 * time.Second
	// takeoverDelay is the time after which other speakers may have taken over the addresses of a node
	// whose speaker is replaced. Other speakers leave the addresses to the node for longer than this.
	// But the operator observes the replacement late, so this time is shorter.
	takeoverDelay = 20 * time.Second
)

// countOtherAddresses returns how many addresses the speakers of all nodes except the given one (but)
// announce on the local network. It includes speakers on nodes with a taint that keeps new pods away.
func (d *decision) countOtherAddresses(but lb.NodeName) int {
	addresses := 0
	for _, name := range d.order {
		if node := d.Nodes[name]; name != but && !node.Down && node.Report != nil {
			addresses += node.Report.Addresses
		}
	}
	return addresses
}

// recordMoved records whether other speakers may have taken the addresses of a step before its new
// speaker reported. This is so if they announce more addresses than before, or if takeoverDelay has
// passed. A new speaker without addresses is then no evidence against the revision. recordMoved assumes
// the same if the operator did not observe the cluster for the whole step.
func (d *decision) recordMoved(step Step) Step {
	node := d.Nodes[step.Node]
	if step.Moved || d.isToDelete(step, node) {
		return step
	}
	reports := d.hasTarget(node) && !node.Pod.Ending && node.Report != nil
	step.Moved = d.SeenSince.Truncate(time.Second).After(step.Since) || !reports && (d.countOtherAddresses(step.Node) > step.Others || d.Now.Sub(step.Since) >= takeoverDelay)
	return step
}

// isQuiet reports whether a speaker announced addresses on the local network before it was replaced, has
// announced none since then, and other speakers have taken them. This does not prove that the revision
// is the cause: the endpoints of the Services may have moved to other nodes at the same time. For routes
// there is another gate, see hasLostRoutes.
func (d *decision) isQuiet(step Step, node Node) bool {
	switch {
	case node.Report == nil || node.Report.Isolated || node.Report.Draining || d.next.targetRevision().Speaker == d.next.Good.Speaker:
		return false
	case step.Addresses == 0 || node.Report.Addresses > 0 || step.Moved || d.isEdited(step):
		return false
	}
	return d.countOtherAddresses(step.Node)-step.Others >= step.Addresses
}

// quietReason returns what the step of a canary waits for while its speaker may still begin to announce
// again; empty: the step does not wait for that.
func (d *decision) quietReason(step Step, node Node) string {
	if !d.isQuiet(step, node) || d.next.Proven || !d.next.canFail() || d.observedDuration(node.Pod.Since) >= d.resumeLimit() {
		return ""
	}
	return fmt.Sprintf("the speaker announced %d addresses on the local network before it was replaced, and announces none yet", step.Addresses)
}

// resumeLimit returns resumeTimeout, but at most half of StepTimeout.
func (d *decision) resumeLimit() time.Duration { return min(resumeTimeout, d.Settings.StepTimeout/2) }

// recordPassed records what a step that has passed its gate shows about the revision. why is set if the
// revision fails because of the step. A speaker that no longer announces anything does not prove that
// the revision works: another node is tried. If a second speaker does the same, the revision fails. It
// fails even because of the first one if too few former speakers are left to take over the addresses
// that a second one would lose.
func (d *decision) recordPassed(step Step, node Node) (why string) {
	switch {
	case d.next.Proven:
	case !d.isQuiet(step, node):
		d.next.Proven = d.isProof(step)
	case d.next.Quiet == "" && d.countFormerSpeakers() > 1:
		d.next.Quiet = step.Node
	default:
		why = fmt.Sprintf("the speaker announced %d addresses on the local network before it was replaced, and has announced none since, although other speakers do", step.Addresses)
		if d.next.Quiet != "" {
			why += fmt.Sprintf("; the speaker on %s failed in the same way", d.next.Quiet)
		}
	}
	return why
}

// isProof reports whether a step proves that the revision works. It does if a speaker of the revision
// announces in the same way as the speaker of the step did before: on the local network, or else to
// routers. It can be the speaker of another node: if addresses move at each restart, other speakers of
// the revision get them. If the speaker announced nothing before, its step is a proof, unless another
// canary no longer announces anything.
func (d *decision) isProof(step Step) bool {
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

// isProvenLater reports whether no node is left to be tried, and a speaker that was replaced in this rollout
// now announces an address although its step passed without that.
func (d *decision) isProvenLater() bool {
	if !d.next.canFail() || len(d.candidates()) > 0 {
		return false
	}
	announced := (*Report).countAddresses
	if d.next.Quiet != "" || d.countOtherAddresses("") > 0 {
		announced = func(r *Report) int { return r.Addresses }
	}
	return slices.ContainsFunc(d.order, func(name lb.NodeName) bool {
		node := d.Nodes[name]
		tried := d.isUp(name) && !d.next.hasStep(name) && node.isWorking() && d.whyPodNotReady(node) == "" && node.Report != nil && node.Report.Started.After(d.next.Since)
		return tried && announced(node.Report) > 0
	})
}

// countFormerSpeakers counts the working speakers that do not have the target.
func (d *decision) countFormerSpeakers() int {
	count := 0
	for _, name := range d.order {
		if node := d.Nodes[name]; d.isUp(name) && node.isWorking() && !d.hasTarget(node) {
			count++
		}
	}
	return count
}
