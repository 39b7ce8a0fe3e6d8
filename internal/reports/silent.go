package reports

import (
	"maps"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Silent returns the nodes whose reports are from before their speakers died: a speaker
// that was killed does not report that. It is silent if all others that run miss it, but for
// those that it misses as well: with them the network may be cut, and where it is, each side
// reports that. At least one must be left: one that misses it and that it does not miss.
//
// So is one of which it is known otherwise that it has ended. A report can be wrong or forged,
// so that there must be two witnesses: two speakers that miss it, or one, and the report is
// Confirmed. What a speaker that is silent reports does not count. Of a node that is Dead one
// report of another speaker is enough, whatever others report: one of these may be old, of a
// speaker that cannot write, or forged.
func Silent(all map[lb.NodeName]Report) map[lb.NodeName]bool {
	missing, silent := missing(all), map[lb.NodeName]bool{}
	for node, r := range all {
		if r.Ended {
			silent[node] = true
		}
	}
	for {
		next := silentWithout(all, missing, silent)
		if len(next) == 0 {
			return silent
		}
		maps.Copy(silent, next)
	}
}

// silentWithout returns the nodes that are silent, of those that are not yet known to be.
func silentWithout(all map[lb.NodeName]Report, missing map[lb.NodeName]map[lb.NodeName]bool, known map[lb.NodeName]bool) map[lb.NodeName]bool {
	running, accused, full := map[lb.NodeName]bool{}, map[lb.NodeName]bool{}, false
	for node, r := range all {
		running[node] = !r.Stopped && !known[node]
		full = full || running[node] && r.MissingBounded
	}
	for node, n := range counted(missing, running) {
		accused[node] = n >= 2 || n == 1 && all[node].Confirmed
	}
	next := map[lb.NodeName]bool{}
	for node := range accused {
		if _, reports := all[node]; !reports || known[node] || !accused[node] {
			continue
		}
		agree, witnesses := 0, 0
		for witness, w := range all {
			// Where so many died that lists are full, one that misses few may be dead and not
			// on them.
			if witness == node || !running[witness] || accused[witness] || full && !w.MissingBounded {
				continue
			}
			misses := missing[witness][node]
			if misses && missing[node][witness] || !misses && w.MissingBounded {
				continue
			}
			witnesses++
			agree += bit(misses)
		}
		if agree > 0 && (agree == witnesses || all[node].Dead) {
			next[node] = true
		}
	}
	return next
}

// counted counts the speakers that run and miss a node.
func counted(missing map[lb.NodeName]map[lb.NodeName]bool, running map[lb.NodeName]bool) map[lb.NodeName]int {
	count := map[lb.NodeName]int{}
	for witness, list := range missing {
		for node := range list {
			count[node] += bit(running[witness])
		}
	}
	return count
}

// Doubts returns the nodes whose kubelets are to be asked, each with the node of a speaker that
// misses it and runs, whose kubelet is the other witness for Confirm: nodes that one speaker
// alone misses, and those of down, which are not ready, that not all speakers miss.
func Doubts(all map[lb.NodeName]Report, down func(lb.NodeName) bool) map[lb.NodeName]lb.NodeName {
	silent, missing, running := Silent(all), missing(all), map[lb.NodeName]bool{}
	for node, r := range all {
		running[node] = !r.Stopped && !silent[node]
	}
	doubts, count := map[lb.NodeName]lb.NodeName{}, counted(missing, running)
	for witness, list := range missing {
		for node := range list {
			if !running[witness] || !running[node] || count[node] > 1 && !down(node) {
				continue
			}
			if other, has := doubts[node]; !has || preferred(witness, other, down) {
				doubts[node] = witness
			}
		}
	}
	return doubts
}

// preferred reports whether a node is the better witness of two: one that is ready, then the
// first by name.
func preferred(node, other lb.NodeName, down func(lb.NodeName) bool) bool {
	if down(node) != down(other) {
		return down(other)
	}
	return node < other
}

// Confirm returns the reports with those confirmed whose node's kubelet does not answer, while
// that of the witness does: where neither does, the one who asks may be unable to reach any. A
// node of down, which is not ready, is dead then. answers has the kubelets that were asked.
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

func bit(is bool) int {
	if is {
		return 1
	}
	return 0
}

// Staleness is why a report is not of now.
type Staleness int

const (
	// Fresh: the report is of now, as far as is known.
	Fresh Staleness = iota
	// Stopped: the speaker has stopped, and reported that.
	Stopped
	// Missed: the other speakers miss the one that reported.
	Missed
	// Dead: a speaker misses the one that reported, and its node is dead, see Report. Others may
	// not miss it.
	Dead
	// Ended: no speaker runs on the node, see Report.
	Ended
	// NodeDown: the node is not ready, and so is every other node with a speaker that could
	// report whether this one still runs.
	NodeDown
)

// Stale returns which reports are not of now, given which nodes are not ready. A node that is
// not ready can have a speaker that runs: the other speakers know.
func Stale(all map[lb.NodeName]Report, down func(lb.NodeName) bool) map[lb.NodeName]Staleness {
	silent, stale := Silent(all), map[lb.NodeName]Staleness{}
	var witnesses []Report
	for node, r := range all {
		if !r.Stopped && !silent[node] && !down(node) {
			witnesses = append(witnesses, r)
		}
	}
	for node, r := range all {
		heard := slices.ContainsFunc(witnesses, func(w Report) bool { return !w.MissingBounded && !slices.Contains(w.Missing, node) })
		switch {
		case r.Ended:
			stale[node] = Ended
		case r.Stopped:
			stale[node] = Stopped
		case silent[node] && r.Dead:
			stale[node] = Dead
		case silent[node], down(node) && !heard && len(witnesses) > 0:
			stale[node] = Missed
		case down(node) && !heard:
			stale[node] = NodeDown
		}
	}
	return stale
}

// Left returns the nodes whose speakers were stopped and are missed by none of those that
// run: none is meant to be there any more, or the next one is about to start. Where none
// runs at all, nobody knows.
func Left(all map[lb.NodeName]Report) map[lb.NodeName]bool {
	missed, left, running := map[lb.NodeName]bool{}, map[lb.NodeName]bool{}, 0
	for _, list := range missing(all) {
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

// missing returns, of those that run, whom each misses. A speaker that is silent has the list
// that it had.
func missing(all map[lb.NodeName]Report) map[lb.NodeName]map[lb.NodeName]bool {
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
