package mesh

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// startWait is how long a starting speaker waits for the states of others.
const startWait = 2 * time.Second

// cutFrom drops everything that one node sends to another.
func (w *world) cutFrom(from, to lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]lb.NodeName{from, to}] = true
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
	sealed   [2]lb.NodeName // who sent it first, and to whom: an attacker replaces from and to
	reader   *process       // that ran at the receiver when it was sent
}

// send passes a datagram to the network. A frozen process sends the datagram when it runs again.
func (p *process) send(to lb.NodeName, data []byte) {
	d := datagram{p.n.name, to, slices.Clone(data), [2]lb.NodeName{p.n.name, to}, nil}
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
	d.reader = w.nodes[d.to].p
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
			p.noteRead(d)
			p.runner.receive(d.from, d.data)
		}
	}
}

// noteRead records what a process reads, apart from the process itself: the latest datagram of each instance
// under a key that the process has, and when that was a greeting. A datagram that is not later than that was read before, or
// came too late, and must have no effect (docs/design/mesh.md has the header).
func (p *process) noteRead(d datagram) {
	const greeting = 0xC2
	w := p.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	isGreeting := d.data[0] == greeting
	if d.sealed != [2]lb.NodeName{d.from, d.to} || !slices.Contains(p.keys, keyID(d.data[1:5])) || !isGreeting && d.reader != p {
		return
	}
	instance, counter := wire.Instance(d.data[5:21]), binary.BigEndian.Uint64(d.data[21:29])
	if counter <= p.read[instance] {
		return
	}
	p.read[instance] = counter
	if isGreeting {
		p.greeted[d.from] = time.Now()
	}
}

// keyID is the name of a key in the header of datagrams.
type keyID [4]byte

// idOf returns the name of a key, from the header of a greeting.
func idOf(key session.Key) keyID {
	table := session.New("a", wire.Instance{}, func([]byte) {})
	table.SetKeys(time.Time{}, []session.Key{key})
	table.SetPeers(time.Time{}, []lb.NodeName{"b"})
	return keyID(table.Tick(time.Time{})[0].Datagram[1:5])
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
		if live[node] {
			p.met[node] = p.n.w.nodes[node].p
			p.knows[node] = p.knows[node] || p.n.w.nodes[node].up["eth1"]
		}
	}
	p.live, p.unreached = live, v.Unreached
	p.n.w.mu.Unlock()
	p.engine.SetView(v)
}
