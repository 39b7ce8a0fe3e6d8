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
// So is one whose container does not run. One speaker alone makes none silent as long as a third one runs, since a report can be wrong
// or forged. What a speaker that is silent reports does not count.
func Silent(all map[lb.NodeName]Report) map[lb.NodeName]bool {
	missed, silent := missedBy(all), map[lb.NodeName]bool{}
	for node, r := range all {
		if r.Ended && !r.Stopped {
			silent[node] = true
		}
	}
	for {
		next := silentWithout(all, missed, silent)
		if len(next) == 0 {
			return silent
		}
		maps.Copy(silent, next)
	}
}

// silentWithout returns the nodes that are silent, of those that are not yet known to be.
func silentWithout(all map[lb.NodeName]Report, missed map[lb.NodeName][]lb.NodeName, known map[lb.NodeName]bool) map[lb.NodeName]bool {
	running, accused := map[lb.NodeName]bool{}, map[lb.NodeName]bool{}
	for node, r := range all {
		running[node] = !r.Stopped && !known[node]
	}
	for node, by := range missed {
		count := 0
		for _, witness := range by {
			count += bit(running[witness])
		}
		accused[node] = count >= 2 || count == 1 && others(running, node) == 1
	}
	next := map[lb.NodeName]bool{}
	for node := range accused {
		r, reports := all[node]
		if !reports || known[node] || !accused[node] {
			continue
		}
		agree, witnesses := 0, 0
		for witness := range all {
			if witness == node || !running[witness] || accused[witness] {
				continue
			}
			misses := slices.Contains(missed[node], witness)
			if misses && slices.Contains(r.Missing, witness) {
				continue
			}
			witnesses++
			agree += bit(misses)
		}
		if agree > 0 && agree == witnesses {
			next[node] = true
		}
	}
	return next
}

// others returns how many run besides a node.
func others(running map[lb.NodeName]bool, node lb.NodeName) (count int) {
	for other, is := range running {
		count += bit(is && other != node)
	}
	return count
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
	// Ended: the speaker's container does not run.
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
		heard := slices.ContainsFunc(witnesses, func(w Report) bool { return !slices.Contains(w.Missing, node) })
		switch {
		case r.Stopped:
			stale[node] = Stopped
		case r.Ended:
			stale[node] = Ended
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
	missed, left, running := missedBy(all), map[lb.NodeName]bool{}, 0
	for node, r := range all {
		switch {
		case !r.Stopped:
			running++
		case len(missed[node]) == 0:
			left[node] = true
		}
	}
	if running == 0 {
		return nil
	}
	return left
}

// missedBy returns who is missed, and by whom of those that run.
func missedBy(all map[lb.NodeName]Report) map[lb.NodeName][]lb.NodeName {
	missed := map[lb.NodeName][]lb.NodeName{}
	for node, r := range all {
		for _, m := range r.Missing {
			if m != node && !r.Stopped {
				missed[m] = append(missed[m], node)
			}
		}
	}
	return missed
}
