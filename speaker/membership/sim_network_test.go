package membership

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// cutFrom cuts what goes from one to another.
func (w *world) cutFrom(from, to lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]lb.NodeName{from, to}] = true
	w.fault, w.split = time.Now(), time.Now()
	w.note("cut: %s to %s", from, to)
}

// part cuts some off all others.
func (w *world) part(some ...lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range some {
		for _, b := range w.names {
			if !slices.Contains(some, b) {
				w.cuts[[2]lb.NodeName{a, b}], w.cuts[[2]lb.NodeName{b, a}] = true, true
			}
		}
	}
	w.fault, w.split = time.Now(), time.Now()
	// The gateway stays with the larger side.
	for _, n := range w.names {
		if in := slices.Contains(some, n); in == (2*len(some) <= len(w.names)) {
			w.away[n] = true
		}
	}
	w.note("parted: %v from the others", some)
}

// filter has what some send to others, and what these send back if both is said, lost
// unless it goes over a connection.
func (w *world) filter(from []lb.NodeName, to []lb.NodeName, both bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range from {
		for _, b := range to {
			w.filtered[[2]lb.NodeName{a, b}] = true
			if both {
				w.filtered[[2]lb.NodeName{b, a}] = true
			}
		}
	}
	w.note("datagrams are lost: from %v to %v, both ways: %v", from, to, both)
}

// refuse has connections lost.
func (w *world) refuse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = true
	w.note("connections are lost")
}

func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cuts)
	clear(w.walls)
	clear(w.away)
	clear(w.filtered)
	w.refused = false
	w.fault, w.split, w.healed = time.Now(), time.Now(), time.Now()
	w.note("healed")
}

// send takes a message to the network.
func (p *process) send(s mesh.Send) {
	p.gate()
	w := p.n.w
	packet, streamed := wire.Encode(s.Message), wire.Encode(s.Streamed())
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead || w.blocked(p.n.name, s.To) {
		return
	}
	datagram, quiet, stream := carriers(s, len(packet))
	if datagram && !w.filtered[[2]lb.NodeName{p.n.name, s.To}] {
		copies := 1
		if p.n.rng.Float64() < w.dup {
			copies = 2
		}
		for range copies {
			if p.arrives(len(packet)) {
				w.post(p, s.To, packet, 0, quiet)
			}
		}
	}
	if stream && !w.refused {
		// It arrives, but late if a part of it was lost.
		late := time.Duration(0)
		if p.n.rng.Float64() < w.loss {
			late = 200 * time.Millisecond
		}
		w.post(p, s.To, streamed, late, false)
	}
}

// arrives says whether no piece of a datagram is lost. The caller holds the lock.
func (p *process) arrives(size int) bool {
	for ; size > 0; size -= 1480 {
		if p.n.rng.Float64() < p.n.w.loss {
			return false
		}
	}
	return true
}

// post has a message on its way. The caller holds the lock.
func (w *world) post(from *process, to lb.NodeName, packet []byte, late time.Duration, quiet bool) {
	delay := leastDelay + late + time.Duration(from.n.rng.Int64N(int64(mostDelay-leastDelay)))
	time.AfterFunc(delay, func() { w.deliver(from.n.name, to, packet, quiet) })
}

func (w *world) deliver(from, to lb.NodeName, packet []byte, quiet bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.nodes[to]
	if n == nil || n.p == nil || n.p.dead || w.blocked(from, to) {
		return
	}
	if quiet {
		n.p.quiet = append(n.p.quiet, arrival{time.Now(), w.read(n.p, packet)})
		return
	}
	select {
	case n.p.inbox <- packet:
	default: // the socket's buffer is full
	}
}

func (p *process) listen() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case packet := <-p.inbox:
			p.gate()
			p.receive(packet)
		}
	}
}

// read reads a message, which must mean something. The caller holds the lock.
func (w *world) read(p *process, packet []byte) *wire.Message {
	msg, err := wire.Decode(packet)
	if err != nil {
		w.fail("%s cannot read a message: %v", p.n.name, err)
		return &wire.Message{}
	}
	return msg
}

// readQuiet does what Mesh.readQuiet does.
func (p *process) readQuiet() (list []arrival) {
	p.gate()
	p.n.w.mu.Lock()
	defer p.n.w.mu.Unlock()
	list, p.quiet = p.quiet, nil
	return list
}

func (p *process) receive(packet []byte) {
	p.n.w.mu.Lock()
	msg := p.n.w.read(p, packet)
	p.n.w.mu.Unlock()
	p.runner.do(func(now time.Time, m *mesh.Machine) []mesh.Send { return m.Receive(now, msg) })
}
