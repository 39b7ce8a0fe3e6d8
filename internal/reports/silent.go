package reports

import (
	"maps"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// SilentNodes returns the nodes whose speakers died without reporting that they end, so that their last
// reports are out of date. A speaker misses another one if its Report.Missing contains the node of the
// other one. A speaker is silent if all other running speakers miss it, and at least one does. If two
// speakers miss each other, SilentNodes does not use the report of either about the other, since the
// network between them may be cut.
//
// A speaker whose report is Ended is silent as well.
//
// A report can be wrong or forged, so two witnesses are required. These are two speakers that miss the
// silent speaker, or one speaker if the report of the silent speaker is Confirmed. Speakers that are
// themselves missed by such witnesses are ignored. If the report is Dead, one speaker that misses the
// silent speaker is enough. A report of another speaker that still receives from the silent one may then
// be forged, or may be old because that speaker cannot write.
func SilentNodes(all map[lb.NodeName]Report) map[lb.NodeName]bool {
	missing, silent := missedNodes(all), map[lb.NodeName]bool{}
	for node, r := range all {
		if r.Ended {
			silent[node] = true
		}
	}
	for {
		next := moreSilentNodes(all, missing, silent)
		if len(next) == 0 {
			return silent
		}
		maps.Copy(silent, next)
	}
}

// moreSilentNodes returns the nodes that are silent in addition to the nodes in known.
func moreSilentNodes(all map[lb.NodeName]Report, missing map[lb.NodeName]map[lb.NodeName]bool, known map[lb.NodeName]bool) map[lb.NodeName]bool {
	running, suspected, full := map[lb.NodeName]bool{}, map[lb.NodeName]bool{}, false
	for node, r := range all {
		running[node] = !r.Stopped && !known[node]
		full = full || running[node] && r.MissingBounded
	}
	for node, n := range countMissing(missing, running) {
		suspected[node] = n >= 2 || n == 1 && all[node].Confirmed
	}
	next := map[lb.NodeName]bool{}
	for node := range suspected {
		if _, reports := all[node]; !reports || known[node] || !suspected[node] {
			continue
		}
		agree, witnesses := 0, 0
		for witness, w := range all {
			// If lists of missing nodes are full, a speaker whose list is not full may be dead too: the
			// full lists may leave it out.
			if witness == node || !running[witness] || suspected[witness] || full && !w.MissingBounded {
				continue
			}
			misses := missing[witness][node]
			if misses && missing[node][witness] || !misses && w.MissingBounded {
				continue
			}
			witnesses++
			agree += boolToInt(misses)
		}
		if agree > 0 && (agree == witnesses || all[node].Dead) {
			next[node] = true
		}
	}
	return next
}

// countMissing returns for each node how many running speakers miss it.
func countMissing(missing map[lb.NodeName]map[lb.NodeName]bool, running map[lb.NodeName]bool) map[lb.NodeName]int {
	count := map[lb.NodeName]int{}
	for witness, list := range missing {
		for node := range list {
			count[node] += boolToInt(running[witness])
		}
	}
	return count
}

// NodesToConfirm returns the nodes whose kubelets the caller has to ask before it calls Confirm. These
// are nodes that only one speaker misses, and nodes that are not ready (down) and that any speaker
// misses. It leaves out nodes that are silent already (SilentNodes). The value is a witness: the node of
// a running speaker that misses the node in the key. The caller also asks the kubelet of the witness.
func NodesToConfirm(all map[lb.NodeName]Report, down func(lb.NodeName) bool) map[lb.NodeName]lb.NodeName {
	silent, missing, running := SilentNodes(all), missedNodes(all), map[lb.NodeName]bool{}
	for node, r := range all {
		running[node] = !r.Stopped && !silent[node]
	}
	doubts, count := map[lb.NodeName]lb.NodeName{}, countMissing(missing, running)
	for witness, list := range missing {
		for node := range list {
			if !running[witness] || !running[node] || count[node] > 1 && !down(node) {
				continue
			}
			if other, has := doubts[node]; !has || isBetterWitness(witness, other, down) {
				doubts[node] = witness
			}
		}
	}
	return doubts
}

// isBetterWitness reports whether the first of two nodes is the better witness. A ready node is better;
// of two nodes that are alike, the first by name is better.
func isBetterWitness(node, other lb.NodeName, down func(lb.NodeName) bool) bool {
	if down(node) != down(other) {
		return down(other)
	}
	return node < other
}

// Confirm returns the reports, with Confirmed set for each node in doubts (see NodesToConfirm) whose
// kubelet does not answer while the kubelet of the witness answers. If neither kubelet answers, the
// caller may be unable to reach any kubelet. Dead is set as well if the node is not ready (down).
// answers has an entry for each kubelet that was asked.
func Confirm(all map[lb.NodeName]Report, doubts map[lb.NodeName]lb.NodeName, answers map[lb.NodeName]bool, down func(lb.NodeName) bool) map[lb.NodeName]Report {
	confirmed := maps.Clone(all)
	for node, witness := range doubts {
		if answer, asked := answers[node]; asked && !answer && answers[witness] {
			r := confirmed[node]
			r.Confirmed, r.Dead = true, down(node)
			confirmed[node] = r
		}
	}
	return confirmed
}

func boolToInt(is bool) int {
	if is {
		return 1
	}
	return 0
}

// Staleness is the reason why a report is out of date.
type Staleness int

const (
	// NotStale: nothing shows that the report is out of date.
	NotStale Staleness = iota
	// SpeakerStopped: the speaker has stopped, and reported that.
	SpeakerStopped
	// SpeakerMissed: the other speakers miss the one that reported.
	SpeakerMissed
	// SpeakerDead: a speaker misses the one that reported, and Report.Dead is set. Other speakers may
	// still receive from it.
	SpeakerDead
	// ContainerEnded: no speaker runs on the node: see Report.Ended.
	ContainerEnded
	// NodeDown: the node is not ready, and no ready node has a speaker that could report whether
	// the speaker of this node still runs.
	NodeDown
)

// StaleReports returns which reports are out of date, and why. down reports whether a node is not ready.
// The speaker of such a node may still run: the reports of other speakers show whether it does.
func StaleReports(all map[lb.NodeName]Report, down func(lb.NodeName) bool) map[lb.NodeName]Staleness {
	silent, stale := SilentNodes(all), map[lb.NodeName]Staleness{}
	var witnesses []Report
	for node, r := range all {
		if !r.Stopped && !silent[node] && !down(node) {
			witnesses = append(witnesses, r)
		}
	}
	for node, r := range all {
		isReceived := slices.ContainsFunc(witnesses, func(w Report) bool { return !w.MissingBounded && !slices.Contains(w.Missing, node) })
		switch {
		case r.Ended:
			stale[node] = ContainerEnded
		case r.Stopped:
			stale[node] = SpeakerStopped
		case silent[node] && r.Dead:
			stale[node] = SpeakerDead
		case silent[node], down(node) && !isReceived && len(witnesses) > 0:
			stale[node] = SpeakerMissed
		case down(node) && !isReceived:
			stale[node] = NodeDown
		}
	}
	return stale
}

// NodesWithoutSpeaker returns the nodes whose speakers were stopped and that no running speaker misses.
// Either no speaker should run any more on such a node, or the next speaker is about to start. Without a
// running speaker the result is nil, since no report shows which speakers are missed.
func NodesWithoutSpeaker(all map[lb.NodeName]Report) map[lb.NodeName]bool {
	missed, left, running := map[lb.NodeName]bool{}, map[lb.NodeName]bool{}, 0
	for _, list := range missedNodes(all) {
		maps.Copy(missed, list)
	}
	for node, r := range all {
		switch {
		case !r.Stopped:
			running++
		case !missed[node]:
			left[node] = true
		}
	}
	if running == 0 {
		return nil
	}
	return left
}

// missedNodes returns the nodes that each speaker misses, without speakers that have stopped. For a
// silent speaker it returns the nodes in the last report.
func missedNodes(all map[lb.NodeName]Report) map[lb.NodeName]map[lb.NodeName]bool {
	missing := make(map[lb.NodeName]map[lb.NodeName]bool, len(all))
	for node, r := range all {
		if r.Stopped {
			continue
		}
		missing[node] = make(map[lb.NodeName]bool, len(r.Missing))
		for _, m := range r.Missing {
			if m != node {
				missing[node][m] = true
			}
		}
	}
	return missing
}
