package reports

import (
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Silent returns the nodes whose reports are from before their speakers died: a speaker
// that was killed tells nobody. It is silent if speakers miss it that it believes to hear,
// and none that nobody misses hears it. Where the network is cut, each side misses the
// other and knows it: nobody is silent then.
func Silent(all map[lb.NodeName]Report) map[lb.NodeName]bool {
	missed := missedBy(all)
	witnesses := 0
	for node, r := range all {
		if len(missed[node]) == 0 && !r.Stopped {
			witnesses++
		}
	}
	silent := map[lb.NodeName]bool{}
	for node, by := range missed {
		r, reports := all[node]
		agree := 0
		for _, witness := range by {
			if len(missed[witness]) == 0 && !slices.Contains(r.Missing, witness) {
				agree++
			}
		}
		if reports && agree > 0 && agree == witnesses {
			silent[node] = true
		}
	}
	return silent
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
