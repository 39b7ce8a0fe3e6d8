package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// rest has what a node sends in a quiet cluster.
type rest struct{ packets, bytes float64 }

// atRest counts what each node sends per second in a quiet cluster. Each node receives as much.
func (n *network) atRest(d time.Duration) rest {
	n.packets, n.bytes = 0, 0
	n.run(d)
	per := d.Seconds() * float64(len(n.nodes))
	return rest{float64(n.packets) / per, float64(n.bytes) / per}
}

// deaths is how long it takes from the death of nodes until no other node has them alive.
type deaths struct {
	took  []time.Duration
	wrong int // how often a node that was alive was found dead
}

// mostTime is how long agreement may take for the measurement to go on.
const mostTime = 30 * time.Second

// agreement has a number of nodes die at once, several times, while one of a hundred datagrams is
// lost.
func (n *network) agreement(times, together int) (deaths, error) {
	var d deaths
	n.loss = 0.01
	defer func() { n.loss, n.found = 0, func(int, int) {} }()
	for range times {
		n.run(time.Duration(n.rng.Int64N(int64(standard.Interval))))
		victims := n.rng.Perm(len(n.nodes))[:together]
		found, want := map[[2]int]bool{}, together*(len(n.nodes)-together)
		n.found = func(by, dead int) {
			if n.nodes[dead].dead {
				found[[2]int{by, dead}] = true
			} else {
				d.wrong++
			}
		}
		for _, i := range victims {
			n.nodes[i].dead = true
		}
		begun := n.now
		for len(found) < want {
			if n.run(step); n.now.Sub(begun) > mostTime {
				return d, fmt.Errorf("%s after %d deaths %d of %d findings are missing", mostTime, together, want-len(found), want)
			}
		}
		d.took = append(d.took, n.now.Sub(begun))
		for _, i := range victims {
			if err := n.start(i); err != nil {
				return d, err
			}
		}
		n.run(3 * time.Second)
		if err := n.complete(); err != nil {
			return d, fmt.Errorf("after nodes that died were started again: %w", err)
		}
	}
	slices.Sort(d.took)
	return d, nil
}

// at returns a quantile in milliseconds; empty: nothing was measured.
func (d deaths) at(q float64) string {
	if len(d.took) == 0 {
		return ""
	}
	return strconv.FormatInt(d.took[int(q*float64(len(d.took)-1)+0.5)].Milliseconds(), 10)
}
