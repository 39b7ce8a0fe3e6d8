package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// gate returns what a step waits for; empty: nothing.
func (d *decision) gate(step Step, node Node) string {
	if why := d.podGate(node); why != "" {
		return why
	}
	if d.next.forward() && !d.controllerReady() {
		return "the controller is not ready" + detail(d.Controller.Problem)
	}
	if node.Report == nil {
		return "the speaker has not reported its state"
	}
	if why := d.muteGate(step); why != "" {
		return why
	}
	if step.Pod != "" {
		if gap := d.gap(step.Node, d.next.Steps); gap > step.Gap {
			return fmt.Sprintf("%d other speakers do not receive from the speaker or it does not receive from them, and %d did not before", gap, step.Gap)
		}
		if peer := d.lacks(step, node); peer != "" {
			return fmt.Sprintf("the BGP session with %s was established before and is not", peer)
		}
		if d.routeless(step, node) {
			return fmt.Sprintf("the speaker announces no address to routers, and announced %d before", step.Routes)
		}
	}
	if why := d.quietGate(step, node); why != "" {
		return why
	}
	return d.harm()
}

// podGate returns why a node has no pod of the target that has been ready for long enough; empty: it
// has one.
func (d *decision) podGate(node Node) string {
	switch pod := node.Pod; {
	case pod == nil:
		return "it has no speaker pod"
	case pod.Ending:
		return "its former speaker has not ended"
	case !d.target(node):
		return "its speaker has another revision" + detail(pod.Problem)
	case !pod.Ready:
		return "its speaker is not ready" + detail(pod.Problem)
	case d.Now.Before(d.steadyAt(pod)):
		return "its speaker has just become ready"
	}
	return ""
}

// steadyAt returns when a ready pod will have been ready for long enough: minReady, or longer after
// restarts, but at most half of StepTimeout.
func (d *decision) steadyAt(pod *Pod) time.Time {
	long := minReady << min(max(0, pod.Restarts), 6)
	return pod.Since.Add(min(long, d.Settings.StepTimeout/2))
}

// gap counts the other speakers that miss the one of a node, or that it misses. Speakers that are
// being replaced, that do not work, or that are in another mesh do not count.
func (d *decision) gap(name lb.NodeName, steps []Step) int {
	node, count := d.Nodes[name], 0
	for _, other := range d.order {
		o := d.Nodes[other]
		inStep := slices.ContainsFunc(steps, func(s Step) bool { return s.Node == other })
		if other == name || inStep || o.Down || !o.works() || node.Pod == nil || o.Pod.Mesh != node.Pod.Mesh {
			continue
		}
		missed := o.Report != nil && slices.Contains(o.Report.Misses, name)
		if missed || node.Report != nil && slices.Contains(node.Report.Misses, other) {
			count++
		}
	}
	return count
}

// muteGate returns that other nodes receive no announcements of a speaker; empty: that is not reported,
// or no evidence.
func (d *decision) muteGate(step Step) string {
	switch by := d.coveredBy[step.Node]; {
	case !d.showsAnnouncing():
		return ""
	case by != "":
		return fmt.Sprintf("the speaker does not announce its addresses on the network: %s answers for them, with the hardware address of the node", by)
	case step.CoveredBy != "":
		return fmt.Sprintf("%s reported that the speaker does not announce its addresses on the network, and has not reported since that it does", step.CoveredBy)
	}
	return ""
}

// verify sets Unverified if a speaker of the good revision receives no announcements of another speaker of
// it. Speakers of other revisions are no evidence. It does so in any phase: which speakers cover for others
// is lost when they restart, as they do in a rollout.
func (d *decision) verify() {
	good := func(name lb.NodeName) bool {
		return d.next.Good != Revision{} && d.Nodes[name].Pod.Revision == d.next.Good.Speaker
	}
	for _, name := range d.order {
		if d.next.Unverified || !d.hasEvidence(name) || !good(name) {
			continue
		}
		d.next.Unverified = slices.ContainsFunc(d.Nodes[name].Report.Unannounced, func(other lb.NodeName) bool {
			node := d.Nodes[other]
			return other != name && d.up(other) && node.works() && good(other) && !d.Now.Before(d.steadyAt(node.Pod))
		})
	}
}

// covered records which speaker reports that the one of a step does not announce its addresses. The
// record stays until the same process no longer reports that. If the process restarts, may be isolated or
// does not report, that shows nothing about the revision, and the record stays.
func (d *decision) covered(step Step) Step {
	node := d.Nodes[step.Node]
	if !d.showsAnnouncing() || !d.target(node) {
		step.CoveredBy, step.CoveredByStarted = "", time.Time{}
		return step
	}
	switch by := d.Nodes[step.CoveredBy]; {
	case step.CoveredBy == "" || by.Report == nil:
	case by.Silent || by.Report.Isolated || !by.Report.Started.Equal(step.CoveredByStarted):
		step.CoveredByStarted = time.Time{}
	case d.witness(step.CoveredBy) && !step.CoveredByStarted.IsZero() && !slices.Contains(by.Report.Unannounced, step.Node):
		step.CoveredBy, step.CoveredByStarted = "", time.Time{}
	}
	if by := d.coveredBy[step.Node]; step.CoveredBy == "" && by != "" && node.works() {
		step.CoveredBy, step.CoveredByStarted = by, d.Nodes[by].Report.Started
	}
	return step
}

// witness reports whether the report of a node's speaker is evidence that others announce.
func (d *decision) witness(name lb.NodeName) bool { return d.up(name) && d.hasEvidence(name) }

// hasEvidence reports whether the report of a node's speaker is evidence that others do not announce. A
// taint that keeps new pods away does not matter.
func (d *decision) hasEvidence(name lb.NodeName) bool {
	node := d.Nodes[name]
	return !node.Down && node.works() && node.Report != nil && !node.Report.Isolated
}

// showsAnnouncing reports whether missing announcements are evidence against the revision: its speakers
// differ from those of the good revision, and the announcements of those were received.
func (d *decision) showsAnnouncing() bool {
	return d.next.forward() && d.next.target().Speaker != d.next.Good.Speaker && !d.next.Unverified
}

// covering returns, for each node that does not announce its addresses, the first of the other nodes
// whose speakers cover for it.
func (d *decision) covering() map[lb.NodeName]lb.NodeName {
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

// lacks returns a router with which the node had an established session before, should have one now,
// and has none. A router with which no other node has a session either is left out: it is down.
func (d *decision) lacks(step Step, node Node) bgp.PeerName {
	for _, peer := range step.Sessions {
		if established, wanted := node.Report.Sessions[peer]; wanted && !established && !d.lost(peer) {
			return peer
		}
	}
	return ""
}

// lost reports whether nodes without a step should have a session with a router, and none has.
// Speakers of a revision that is not proven are no evidence.
func (d *decision) lost(peer bgp.PeerName) bool {
	wanted := false
	for _, name := range d.order {
		node := d.Nodes[name]
		if !d.up(name) || d.next.has(name) || !node.works() || node.Report == nil || d.next.forward() && !d.next.Proven && d.target(node) {
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

// routeless reports whether a speaker announces nothing to routers, announced something before, and
// former speakers still do. Without this gate a revision that announces no routes would remove the
// routes of one node after the other, until no node announces a Service. A speaker that should have
// no session with any router is right to announce nothing; after an edit, any speaker may be.
func (d *decision) routeless(step Step, node Node) bool {
	if !d.next.forward() || d.edited(step) || step.Routes == 0 || node.Report.Routes > 0 || node.Report.Draining || len(node.Report.Sessions) == 0 {
		return false
	}
	return slices.ContainsFunc(d.order, func(name lb.NodeName) bool {
		other := d.Nodes[name]
		return d.up(name) && !d.next.has(name) && other.works() && !d.target(other) && other.Report != nil && other.Report.Routes > 0
	})
}

// edited reports whether the spec has changed since a step recorded what its node announced: the change
// may be why the node announces nothing any more.
func (d *decision) edited(step Step) bool {
	return d.next.Edits.Last.After(step.Since.Add(-reportDelay))
}

// harm returns which Service is not announced since the rollout began; empty: none.
func (d *decision) harm() string {
	for _, o := range d.outages() {
		return fmt.Sprintf("the Service %s is not announced, and was before", o.Service)
	}
	return ""
}

// outages returns the outages that count against the revision: those that began in this rollout, and
// not soon after the owner changed the Service. While a speaker of a former revision does not work,
// none counts: that speaker can be the cause. None counts either while a speaker works and cannot report:
// it may announce what nobody reports.
func (d *decision) outages() []Outage {
	var list []Outage
	for _, name := range d.order {
		node := d.Nodes[name]
		fails := d.up(name) && node.Pod != nil && !node.Pod.Ending && !d.target(node) && !node.works()
		if fails || d.cannotReport(name) {
			return nil
		}
	}
	for _, o := range d.Outages {
		if !o.Since.Before(d.next.Since) && o.Changed.Before(o.Since.Add(-maxOutage)) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(x, y Outage) int { return x.Service.Compare(y.Service) })
	return list
}

// cannotReport reports whether the speaker of a node works and its reports do not reach the API server: the
// API server refuses its token, or the node is down for Kubernetes while another speaker receives from it.
func (d *decision) cannotReport(name lb.NodeName) bool {
	node := d.Nodes[name]
	if node.Pod == nil || node.Silent {
		return false
	}
	return node.Pod.Unauthorized || node.Down && slices.ContainsFunc(d.order, func(other lb.NodeName) bool {
		return other != name && d.witness(other) && !slices.Contains(d.Nodes[other].Report.Misses, name)
	})
}

// harmful reports whether a Service has not been announced for maxOutage, with all replaced speakers
// ready.
func (d *decision) harmful() bool {
	since, ready := d.harmSince()
	return ready && d.elapsed(since) >= maxOutage
}

// harmSince returns since when a Service is not announced and all replaced speakers are ready. ready
// is false if one of them is not, or there is none.
func (d *decision) harmSince() (since time.Time, ready bool) {
	for _, o := range d.outages() {
		if since.IsZero() || o.Since.Before(since) {
			since = o.Since
		}
	}
	for _, name := range d.order {
		node := d.Nodes[name]
		if !d.up(name) || !d.target(node) && !d.next.has(name) {
			continue
		}
		if !d.target(node) || !node.works() {
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

// controllerReady reports whether the controller is ready on the target.
func (d *decision) controllerReady() bool {
	return d.Controller.Ready && d.Controller.Template == d.next.target().Controller
}

func detail(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
