package mesh

import (
	"maps"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
)

// startWait is how long a starting speaker waits for the states of others.
const startWait = 2 * time.Second

// cutFrom drops everything that one node sends to another.
func (w *world) cutFrom(from, to lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]lb.NodeName{from, to}] = true
	w.oneWaySince = time.Now()
	w.fault, w.split = time.Now(), time.Now()
	w.note("cut: %s to %s", from, to)
}

// part cuts some nodes from all others.
func (w *world) part(some ...lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lan.part(w.names, some)
	w.fault, w.split = time.Now(), time.Now()
	// The gateway stays with one side, by default the larger one.
	for _, n := range w.names {
		if in := slices.Contains(some, n); in == (2*len(some) <= len(w.names) != w.swapped) {
			w.away[n] = true
		}
	}
	w.note("parted: %v from the others, the gateway is reached by all but %v", some, slices.Sorted(maps.Keys(w.away)))
}

// aside returns the nodes on one side of the present cut or wall: the side without the first node.
// Without a cut or wall aside returns node alone.
func (w *world) aside(node lb.NodeName) (side []lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.names[1:] {
		if w.blocked(w.names[0], n) && w.blocked(n, w.names[0]) {
			side = append(side, n)
		}
	}
	if len(side) == 0 {
		return []lb.NodeName{node}
	}
	return side
}

func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lan.heal()
	w.second.heal()
	clear(w.walls)
	clear(w.away)
	w.separated = false
	w.fault, w.split, w.healed = time.Now(), time.Now(), time.Now()
	w.note("healed")
}

// datagram is a datagram between two speakers.
type datagram struct {
	from, to lb.NodeName
	data     []byte
}

// send passes a datagram to the network. A frozen process sends the datagram when it runs again.
func (p *process) send(to lb.NodeName, data []byte) {
	d := datagram{p.n.name, to, slices.Clone(data)}
	if p.frozen.Load() != nil {
		go func() { p.gate(); p.post(d) }()
		return
	}
	p.post(d)
}

func (p *process) post(d datagram) {
	w := p.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead || w.blocked(d.from, d.to) {
		return
	}
	copies := 1
	if p.n.rng.Float64() < w.dup {
		copies = 2
	}
	for range copies {
		if p.n.rng.Float64() < w.loss {
			continue
		}
		delay := leastDelay + time.Duration(p.n.rng.Int64N(int64(mostDelay-leastDelay)))
		if p.n.rng.Float64() < w.late {
			delay += time.Duration(p.n.rng.Int64N(int64(3 * w.timing.Interval)))
		}
		time.AfterFunc(delay, func() { w.deliver(d, false) })
	}
}

// deliver passes a datagram to its receiver. Cuts and walls do not stop a forged datagram.
func (w *world) deliver(d datagram, forged bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.nodes[d.to]
	if n == nil || n.p == nil || n.p.dead || !forged && w.blocked(d.from, d.to) {
		return
	}
	if w.replay && !forged {
		w.record(n.rng, d)
	}
	// A copy: opening a datagram decrypts it where it is.
	d.data = slices.Clone(d.data)
	select {
	case n.p.inbox <- d:
	default: // the socket's buffer is full
	}
}

func (p *process) listen() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case d := <-p.inbox:
			p.gate()
			p.runner.receive(d.from, d.data)
		}
	}
}

// view passes a view of the machine to the engine, and logs its changes.
func (p *process) view(v machine.View) {
	live := map[lb.NodeName]bool{}
	for i := range v.Peers {
		live[v.Peers[i].Node] = true
	}
	p.n.w.mu.Lock()
	for _, node := range p.n.w.names {
		if live[node] != p.live[node] {
			p.n.w.note("%s: %s is alive: %v", p.n.name, node, live[node])
		}
	}
	p.live, p.unreached = live, v.Unreached
	p.n.w.mu.Unlock()
	p.engine.SetView(v)
}
