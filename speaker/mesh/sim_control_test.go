package mesh

import (
	"maps"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// The API server and the controller of the simulation. The report of a speaker is in its SpeakerState
// within 0.7 s. The controller evaluates all SpeakerStates. A speaker in a minority reads the result
// once a second. A speaker without the API server (world.noAPI) neither writes nor reads.

const readInterval = time.Second

// reported has a report of the engine written, as speaker/kube does.
func (p *process) reported(r layer2.Report) {
	p.gate()
	w := p.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	p.latest = reports.Report{Node: p.n.name, Missing: r.Missing, MinoritySince: r.MinoritySince, Isolated: r.Phase == ownership.Isolated.String(), Standby: r.Standby}
	p.silentHere = slices.Contains(r.Silent, "eth0")
	maps.DeleteFunc(p.shared, func(n lb.NodeName, _ bool) bool { return r.MinoritySince.IsZero() || !slices.Contains(r.Missing, n) })
	p.write()
}

// write writes the latest report into the SpeakerState after a delay. A frozen process writes when it
// runs again. Without the API server nothing is written: unreachable and outage call write when the
// API server is back. The caller holds the lock.
func (p *process) write() {
	w := p.n.w
	delay := 200*time.Millisecond + time.Duration(p.n.rng.Int64N(int64(500*time.Millisecond)))
	time.AfterFunc(delay, func() {
		p.gate()
		w.mu.Lock()
		defer w.mu.Unlock()
		if !p.dead && !w.noAPI[p.n.name] {
			w.states[p.n.name] = p.latest
		}
	})
}

// readState reads what the controller reports of a speaker in a minority.
func (p *process) readState() {
	w := p.n.w
	w.mu.Lock()
	wait := time.Duration(p.n.rng.Int64N(int64(readInterval)))
	w.mu.Unlock()
	for ; ; wait = readInterval {
		select {
		case <-p.ctx.Done():
			return
		case <-time.After(wait):
		}
		p.gate()
		w.mu.Lock()
		own, noAPI := w.states[p.n.name], w.noAPI[p.n.name]
		all := w.reportsNow()
		stale := reports.StaleReports(all, func(n lb.NodeName) bool { return w.want.Down[n] })
		maps.DeleteFunc(stale, func(n lb.NodeName, s reports.Staleness) bool { return s != reports.SpeakerStopped && !w.want.Down[n] })
		_, cut := reports.PartitionedNodes(all, stale)[p.n.name]
		w.mu.Unlock()
		switch {
		case noAPI || own.MinoritySince.IsZero():
		case cut:
			p.setPartitioned(own.MinoritySince)
		default:
			p.setPartitioned(time.Time{})
		}
	}
}

// probed is how long a kubelet takes to report that a speaker stands still: three probes of 5 s each.
// unreadyFor is how long the report must last to count: the constant of the controller.
const probed, unreadyFor = 21 * time.Second, 5 * time.Second

// isUnready returns whether the kubelet of a node has reported for some time that its speaker stands
// still. The caller holds the lock.
func (w *world) isUnready(name lb.NodeName, lasts time.Duration) bool {
	p := w.nodes[name].p
	if p == nil || p.dead || p.frozen.Load() == nil || w.noAPI[name] {
		return false
	}
	since := p.froze.Add(probed)
	if w.attached.After(since) {
		since = w.attached // before, the kubelet did not reach the API server either
	}
	return time.Since(since) >= lasts
}

// reportsNow returns the reports as the controller evaluates them. The caller holds the lock.
func (w *world) reportsNow() map[lb.NodeName]reports.Report {
	all := maps.Clone(w.states)
	for name, r := range all {
		r.Unready = w.isUnready(name, unreadyFor)
		r.Confirmed, all[name] = r.Unready, r
	}
	return all
}

// partitionedFor is how long a report counts that a speaker is cut from a larger group: the
// constant of the engine.
const partitionedFor = 30 * time.Second

func (p *process) setPartitioned(since time.Time) {
	p.n.w.mu.Lock()
	switch now := time.Now(); {
	case !since.IsZero():
		p.partitioned = now.Add(partitionedFor)
	case now.Before(p.partitioned):
		p.partitioned = now
	}
	p.n.w.mu.Unlock()
	p.engine.SetPartitioned(since)
}

// separate cuts nodes from all others, in the mesh and in the segment, while all reach the gateway.
// Private VLANs between nodes do the same.
func (w *world) separate(some ...lb.NodeName) {
	w.part(some...)
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.away)
	w.sides = map[lb.NodeName]int{}
	w.separated = true
	w.note("all reach the gateway")
}

// lost sets exactly these nodes NotReady.
func (w *world) lost(nodes ...lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want.Down = setOf(nodes)
	w.note("not ready: %v", nodes)
	for _, name := range w.names {
		if p := w.nodes[name].p; p != nil && !p.dead {
			w.inform(p, 50*time.Millisecond)
		}
	}
}

// unreachable cuts exactly these nodes from the API server.
func (w *world) unreachable(nodes ...lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("without the API server: %v", nodes)
	w.attached = time.Now()
	for _, name := range w.names {
		w.noAPI[name] = slices.Contains(nodes, name)
		if p := w.nodes[name].p; !w.noAPI[name] && p != nil && !p.dead {
			w.inform(p, 50*time.Millisecond)
			p.write()
		}
	}
}

// watchNodes sets nodes NotReady that have not reached the API server for a grace period, as the
// node lifecycle controller does. While no node reaches the API server, nothing changes.
func (w *world) watchNodes(grace time.Duration) {
	reached := map[lb.NodeName]time.Time{}
	for _, name := range w.names {
		reached[name] = time.Now()
	}
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
		w.mu.Lock()
		away := !slices.ContainsFunc(w.names, func(n lb.NodeName) bool { return !w.noAPI[n] })
		var down []lb.NodeName
		for _, name := range w.names {
			if away || w.nodes[name].kernel && !w.noAPI[name] {
				reached[name] = time.Now()
			}
			if time.Since(reached[name]) >= grace {
				down = append(down, name)
			}
		}
		changed := !maps.Equal(w.want.Down, setOf(down))
		w.mu.Unlock()
		if changed && !away {
			w.lost(down...)
		}
	}
}

func setOf(nodes []lb.NodeName) map[lb.NodeName]bool {
	set := map[lb.NodeName]bool{}
	for _, n := range nodes {
		set[n] = true
	}
	return set
}
