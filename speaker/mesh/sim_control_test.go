package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/speaker"
)

// The API server and the controller of the simulation: the report of a speaker stands in its
// SpeakerState within 0.7 s, the controller looks at all of them, and a speaker in a minority
// reads once a second what it has found. A speaker that is deaf does neither.

const readInterval = time.Second

// reported has a report written, as speaker/kube does.
func (p *process) reported(r speaker.Report) {
	p.gate()
	w := p.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	p.latest = reports.Report{Node: p.n.name, Missing: r.Missing, MinoritySince: r.MinoritySince, Isolated: r.Phase == ownership.Isolated.String(), Standby: r.Standby}
	delay := 200*time.Millisecond + time.Duration(p.n.rng.Int64N(int64(500*time.Millisecond)))
	time.AfterFunc(delay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !p.dead && !w.deaf[p.n.name] {
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
		own, deaf := w.states[p.n.name], w.deaf[p.n.name]
		_, cut := reports.Partitioned(w.states, nil)[p.n.name]
		w.mu.Unlock()
		switch {
		case deaf || own.MinoritySince.IsZero():
		case cut:
			p.engine.SetPartitioned(own.MinoritySince)
		default:
			p.engine.SetPartitioned(time.Time{})
		}
	}
}

// separate cuts nodes from all others, at layer 2 as well, while all reach the gateway, as
// private VLANs between nodes do.
func (w *world) separate(some ...lb.NodeName) {
	w.part(some...)
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.away)
	w.note("all reach the gateway")
}

// lost has the cluster know that nodes are down.
func (w *world) lost(nodes ...lb.NodeName) {
	w.change(func(s *speaker.Snapshot) {
		for _, n := range w.names {
			s.Down[n] = slices.Contains(nodes, n)
		}
	})
}
