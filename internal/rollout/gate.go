package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// whyStepWaits returns what a step waits for; empty: it waits for nothing.
func (d *decision) whyStepWaits(step Step, node Node) string {
	if why := d.whyPodNotReady(node); why != "" {
		return why
	}
	if d.next.canFail() && !d.isControllerReady() {
		return "the controller is not ready" + detailSuffix(d.Controller.Problem)
	}
	if node.Report == nil {
		return "the speaker has not reported its state"
	}
	if why := d.muteReason(step); why != "" {
		return why
	}
	if step.Pod != "" {
		if gap := d.countGap(step.Node, d.next.Steps); gap > step.Gap {
			return fmt.Sprintf("communication between the speaker and %d other speakers fails; before the replacement it failed with %d", gap, step.Gap)
		}
		if peer := d.lostSession(step, node); peer != "" {
			return fmt.Sprintf("the BGP session with %s was established before the replacement and is not established now", peer)
		}
		if d.hasLostRoutes(step, node) {
			return fmt.Sprintf("the speaker announces no address to routers; before the replacement it announced %d", step.Routes)
		}
	}
	if why := d.quietReason(step, node); why != "" {
		return why
	}
	return d.harmReason()
}

// whyPodNotReady returns why a node does not have a pod of the target that has been ready for long enough; empty: it
// has one.
func (d *decision) whyPodNotReady(node Node) string {
	switch pod := node.Pod; {
	case pod == nil:
		return "the node has no speaker pod"
	case pod.Ending:
		return "the former speaker has not ended"
	case !d.hasTarget(node):
		return "the speaker has another revision" + detailSuffix(pod.Problem)
	case !pod.Ready:
		return "the speaker is not ready" + detailSuffix(pod.Problem)
	case d.Now.Before(d.readyEnoughAt(pod)):
		return "the speaker has just become ready"
	}
	return ""
}

// readyEnoughAt returns when a ready pod will have been ready for long enough. That takes minReadyTime, and more
// after restarts, but at most half of StepTimeout.
func (d *decision) readyEnoughAt(pod *Pod) time.Time {
	long := minReadyTime << min(max(0, pod.Restarts), 6)
	return pod.Since.Add(min(long, d.Settings.StepTimeout/2))
}

// countGap counts the other speakers that receive nothing from the speaker of a node, or from which it
// receives nothing (Report.Misses). It ignores speakers that are being replaced, that do not work, or
// that are in another mesh.
func (d *decision) countGap(name lb.NodeName, steps []Step) int {
	node, count := d.Nodes[name], 0
	for _, other := range d.order {
		o := d.Nodes[other]
		inStep := slices.ContainsFunc(steps, func(s Step) bool { return s.Node == other })
		if other == name || inStep || o.Down || !o.isWorking() || node.Pod == nil || o.Pod.Mesh != node.Pod.Mesh {
			continue
		}
		missed := o.Report != nil && slices.Contains(o.Report.Misses, name)
		if missed || node.Report != nil && slices.Contains(node.Report.Misses, other) {
			count++
		}
	}
	return count
}

// muteReason returns a sentence if other nodes receive no announcements of a step's speaker. It is empty
// if no speaker reports that, or if such a report is not evidence against the revision
// (isAnnouncingTested).
func (d *decision) muteReason(step Step) string {
	switch by := d.coveredBy[step.Node]; {
	case !d.isAnnouncingTested():
		return ""
	case by != "":
		return fmt.Sprintf("the speaker does not announce its addresses on the network: the speaker on %s answers for these addresses, with the hardware address of %s", by, step.Node)
	case step.CoveredBy != "":
		return fmt.Sprintf("the speaker on %s reported that the speaker on %s does not announce its addresses on the network, and has not withdrawn the report", step.CoveredBy, step.Node)
	}
	return ""
}

// setUnverified sets Stored.Unverified if a speaker of the good revision receives no announcements of
// another speaker of the good revision. It ignores speakers of other revisions. It does so in all
// phases: a speaker that restarts, for example in a rollout, no longer reports for which nodes it
// covered.
func (d *decision) setUnverified() {
	good := func(name lb.NodeName) bool {
		return d.next.Good != Revision{} && d.Nodes[name].Pod.Revision == d.next.Good.Speaker
	}
	for _, name := range d.order {
		if d.next.Unverified || !d.hasEvidence(name) || !good(name) {
			continue
		}
		d.next.Unverified = slices.ContainsFunc(d.Nodes[name].Report.Unannounced, func(other lb.NodeName) bool {
			node := d.Nodes[other]
			return other != name && d.isUp(other) && node.isWorking() && good(other) && !d.Now.Before(d.readyEnoughAt(node.Pod))
		})
	}
}

// recordCovered records which speaker reports that the speaker of a step does not announce its addresses. The
// record stays until a later report of the same process no longer lists the node of the step. It also stays
// if the process restarts, may be isolated or does not report, since that shows nothing about the revision.
func (d *decision) recordCovered(step Step) Step {
	node := d.Nodes[step.Node]
	if !d.isAnnouncingTested() || !d.hasTarget(node) {
		step.CoveredBy, step.CoveredByStarted = "", time.Time{}
		return step
	}
	switch by := d.Nodes[step.CoveredBy]; {
	case step.CoveredBy == "" || by.Report == nil:
	case by.Silent || by.Report.Isolated || !by.Report.Started.Equal(step.CoveredByStarted):
		step.CoveredByStarted = time.Time{}
	case d.isWitness(step.CoveredBy) && !step.CoveredByStarted.IsZero() && !slices.Contains(by.Report.Unannounced, step.Node):
		step.CoveredBy, step.CoveredByStarted = "", time.Time{}
	}
	if by := d.coveredBy[step.Node]; step.CoveredBy == "" && by != "" && node.isWorking() {
		step.CoveredBy, step.CoveredByStarted = by, d.Nodes[by].Report.Started
	}
	return step
}

// isWitness reports whether a report of the speaker on a node is evidence that other speakers announce.
func (d *decision) isWitness(name lb.NodeName) bool { return d.isUp(name) && d.hasEvidence(name) }

// hasEvidence reports whether a report of the speaker on a node is evidence that other speakers do not
// announce. The node may have a taint that keeps new pods away.
func (d *decision) hasEvidence(name lb.NodeName) bool {
	node := d.Nodes[name]
	return !node.Down && node.isWorking() && node.Report != nil && !node.Report.Isolated
}

// isAnnouncingTested reports whether missing announcements are evidence against the revision: its speakers
// differ from those of the good revision, and the announcements of the good revision were received.
func (d *decision) isAnnouncingTested() bool {
	return d.next.canFail() && d.next.targetRevision().Speaker != d.next.Good.Speaker && !d.next.Unverified
}

// coveringNodes returns, for each node that does not announce its addresses, the first other node whose
// speaker covers for it.
func (d *decision) coveringNodes() map[lb.NodeName]lb.NodeName {
	by := map[lb.NodeName]lb.NodeName{}
	for _, name := range d.order {
		if !d.hasEvidence(name) {
			continue
		}
		for _, other := range d.Nodes[name].Report.Unannounced {
			if _, known := by[other]; !known && other != name {
				by[other] = name
			}
		}
	}
	return by
}

// lostSession returns a router with which the node has no session now, although it had one before and
// should have one; empty: there is none. It ignores a router with which no other node has a session
// either, since that router is down.
func (d *decision) lostSession(step Step, node Node) bgp.PeerName {
	for _, peer := range step.Sessions {
		if established, wanted := node.Report.Sessions[peer]; wanted && !established && !d.isRouterLost(peer) {
			return peer
		}
	}
	return ""
}

// isRouterLost reports whether nodes without a step should have a session with a router, and none of
// them has one. It ignores speakers of a revision that is not proven.
func (d *decision) isRouterLost(peer bgp.PeerName) bool {
	wanted := false
	for _, name := range d.order {
		node := d.Nodes[name]
		if !d.isUp(name) || d.next.hasStep(name) || !node.isWorking() || node.Report == nil || d.next.canFail() && !d.next.Proven && d.hasTarget(node) {
			continue
		}
		established, wants := node.Report.Sessions[peer]
		if established {
			return false
		}
		wanted = wanted || wants
	}
	return wanted
}

// hasLostRoutes reports whether a speaker announces nothing to routers although it did before, and
// former speakers still announce something. Without this gate, a revision that announces no routes would
// remove the routes of one node after the other, until no node announces a Service. It is correct that a
// speaker announces nothing if it should have no session with any router. After an edit, this may be
// correct for any speaker.
func (d *decision) hasLostRoutes(step Step, node Node) bool {
	if !d.next.canFail() || d.isEdited(step) || step.Routes == 0 || node.Report.Routes > 0 || node.Report.Draining || len(node.Report.Sessions) == 0 {
		return false
	}
	return slices.ContainsFunc(d.order, func(name lb.NodeName) bool {
		other := d.Nodes[name]
		return d.isUp(name) && !d.next.hasStep(name) && other.isWorking() && !d.hasTarget(other) && other.Report != nil && other.Report.Routes > 0
	})
}

// isEdited reports whether the spec has changed since a step recorded what its node announced. Because of
// such a change, the node may announce nothing any more.
func (d *decision) isEdited(step Step) bool {
	return d.next.Edits.Last.After(step.Since.Add(-reportDelay))
}

// harmReason returns a sentence about a Service that is no longer announced, perhaps because of the rollout
// (see countedOutages); empty: there is none.
func (d *decision) harmReason() string {
	for _, o := range d.countedOutages() {
		return fmt.Sprintf("the Service %s was announced before and is not announced now", o.Service)
	}
	return ""
}

// countedOutages returns the outages of which the revision can be the cause: those that began in this
// rollout, and not soon after the owner changed the Service. While a speaker of a former revision does
// not work, there are none, since that speaker can be the cause. While a speaker works but cannot
// report, there are none either, since it may announce the Service.
func (d *decision) countedOutages() []Outage {
	var list []Outage
	for _, name := range d.order {
		node := d.Nodes[name]
		fails := d.isUp(name) && node.Pod != nil && !node.Pod.Ending && !d.hasTarget(node) && !node.isWorking()
		if fails || d.cannotReport(name) {
			return nil
		}
	}
	for _, o := range d.Outages {
		if !o.Since.Before(d.next.Since) && o.Changed.Before(o.Since.Add(-maxOutageTime)) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(x, y Outage) int { return x.Service.Compare(y.Service) })
	return list
}

// cannotReport reports whether the speaker of a node works but its reports do not reach the API server.
// This is so if the API server refuses its token, or if Kubernetes shows the node as down while another
// speaker receives from it.
func (d *decision) cannotReport(name lb.NodeName) bool {
	node := d.Nodes[name]
	if node.Pod == nil || node.Silent {
		return false
	}
	return node.Pod.Unauthorized || node.Down && slices.ContainsFunc(d.order, func(other lb.NodeName) bool {
		return other != name && d.isWitness(other) && !slices.Contains(d.Nodes[other].Report.Misses, name)
	})
}

// isHarmful reports whether a Service has not been announced for maxOutageTime while all replaced speakers are
// ready.
func (d *decision) isHarmful() bool {
	since, ready := d.harmSince()
	return ready && d.observedDuration(since) >= maxOutageTime
}

// harmSince returns the time since which a Service has not been announced and all replaced speakers have
// been ready. ready is false if a replaced speaker is not ready, or if there is no replaced speaker.
func (d *decision) harmSince() (since time.Time, ready bool) {
	for _, o := range d.countedOutages() {
		if since.IsZero() || o.Since.Before(since) {
			since = o.Since
		}
	}
	for _, name := range d.order {
		node := d.Nodes[name]
		if !d.isUp(name) || !d.hasTarget(node) && !d.next.hasStep(name) {
			continue
		}
		if !d.hasTarget(node) || !node.isWorking() {
			return time.Time{}, false
		}
		ready = true
		for _, t := range []time.Time{node.Pod.Since, node.UpSince} {
			if t.After(since) {
				since = t
			}
		}
	}
	return since, ready
}

// isControllerReady reports whether the controller is ready on the target.
func (d *decision) isControllerReady() bool {
	return d.Controller.Ready && d.Controller.Template == d.next.targetRevision().Controller
}

func detailSuffix(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
