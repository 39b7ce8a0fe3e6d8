package main

import (
	"fmt"
	"slices"
	"time"
)

// rest is what a node sends while nothing happens.
type rest struct{ packets, bytes float64 }

// atRest counts what is sent for a while, for each node and second. As much is received.
func (n *network) atRest(d time.Duration) rest {
	n.packets, n.bytes = 0, 0
	n.run(d)
	per := d.Seconds() * float64(len(n.nodes))
	return rest{float64(n.packets) / per, float64(n.bytes) / per}
}

// deaths is how long it takes from the death of a node until no other one has it alive.
type deaths struct {
	took  []time.Duration
	wrong int // how often a node that was alive was found dead
}

// mostTime is how long agreement may take for the measurement to go on.
const mostTime = 30 * time.Second

// agreement has nodes die, one after the other, while one of a hundred datagrams is lost.
func (n *network) agreement(count int) (deaths, error) {
	var d deaths
	n.loss = 0.01
	defer func() { n.loss, n.found = 0, func(int, int) {} }()
	for range count {
		n.run(time.Duration(n.rng.Int64N(int64(standard.Interval))))
		victim := n.rng.IntN(len(n.nodes))
		found := map[int]bool{}
		n.found = func(by, dead int) {
			if dead == victim {
				found[by] = true
			} else {
				d.wrong++
			}
		}
		n.nodes[victim].dead = true
		begun := n.now
		for len(found) < len(n.nodes)-1 {
			if n.run(step); n.now.Sub(begun) > mostTime {
				return d, fmt.Errorf("%s after a death %d of %d nodes have found it", mostTime, len(found), len(n.nodes)-1)
			}
		}
		d.took = append(d.took, n.now.Sub(begun))
		if err := n.start(victim); err != nil {
			return d, err
		}
		n.run(3 * time.Second)
	}
	slices.Sort(d.took)
	return d, nil
}

// at returns a quantile.
func (d deaths) at(q float64) time.Duration { return d.took[int(q*float64(len(d.took)-1)+0.5)] }
