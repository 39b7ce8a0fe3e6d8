package mesh

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// The segment of the simulation: kernels answer for the addresses of their nodes, speakers for the
// addresses that they announce, and a gateway for itself. To a speaker, a node with an unknown hardware
// address is a foreign host. A cut separates both the segment and the mesh. A wall (a firewall, or another
// key) separates the mesh alone.

var (
	gateway = netip.MustParseAddr("192.168.0.1")
	// pod is a pod of each node, on a link that reaches nothing but this pod.
	pod = netip.MustParseAddr("10.244.0.2")
)

// settleTime is the grace period for another node that announces the same address: Timing.Settle of
// the responder. contestTime is Timing.Contest and defendTime is Timing.Defend of the responder.
const settleTime, contestTime, defendTime = 200 * time.Millisecond, time.Second, 10 * time.Second

// rivalTime is the constant rivalRepeatTime of the engine.
const rivalTime = 100 * time.Millisecond

// wall drops the messages of the mesh between some speakers and all others.
func (w *world) wall(some ...lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range some {
		for _, b := range w.names {
			if !slices.Contains(some, b) {
				w.walls[[2]lb.NodeName{a, b}], w.walls[[2]lb.NodeName{b, a}] = true, true
			}
		}
	}
	w.fault, w.split = time.Now(), time.Now()
	w.note("wall: %v from the others", some)
}

// wallBetween drops the messages of the mesh between two speakers.
func (w *world) wallBetween(a, b lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.walls[[2]lb.NodeName{a, b}], w.walls[[2]lb.NodeName{b, a}] = true, true
	w.fault, w.split = time.Now(), time.Now()
	w.note("wall between %s and %s", a, b)
}

// blocked returns whether the messages from one speaker to another are dropped. The caller holds
// the lock.
func (w *world) blocked(from, to lb.NodeName) bool {
	way := [2]lb.NodeName{from, to}
	return w.cuts[way] || w.walls[way]
}

// connected returns whether frames go both ways between two nodes. The caller holds the lock.
func (w *world) connected(l *lan, a, b lb.NodeName) bool {
	return w.nodes[a].up[l.name] && w.nodes[b].up[l.name] && !l.cuts[[2]lb.NodeName{a, b}] && !l.cuts[[2]lb.NodeName{b, a}]
}

// hardware returns the hardware address of a link.
func (n *node) hardware(link string) segment.Hardware {
	return segment.Hardware{map[string]byte{"eth0": 2, "eth1": 6, "cni0": 10}[link], 0, 0, 0, 0, n.mac}
}

// host returns the address that the kernel of a node answers for.
func (n *node) host() netip.Addr {
	return netip.AddrFrom4([4]byte{192, 168, 0, byte(10 + slices.Index(n.w.names, n.name))})
}

// hosts returns the addresses of all other nodes.
func (n *node) hosts() map[lb.NodeName]netip.Addr {
	all := map[lb.NodeName]netip.Addr{}
	for _, name := range n.w.names {
		if name != n.name {
			all[name] = n.w.nodes[name].host()
		}
	}
	return all
}

// SetNodeHardware implements layer2.Announcer.
func (p *process) SetNodeHardware(list []net.HardwareAddr) {
	p.gate()
	ours := map[segment.Hardware]bool{}
	for _, hardware := range list {
		ours[segment.Hardware(hardware)] = true
	}
	p.n.w.mu.Lock()
	defer p.n.w.mu.Unlock()
	p.ours = ours
}

// SetQuestions implements layer2.Announcer.
func (p *process) SetQuestions(about *layer2.Questions) {
	p.gate()
	w := p.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	q := segment.Questions{}
	p.asked, p.awaited = nil, nil
	if about != nil {
		neighbours := slices.SortedFunc(maps.Values(p.n.hosts()), netip.Addr.Compare)
		q.Witnesses = map[string][]netip.Addr{"eth0": append([]netip.Addr{gateway}, neighbours...), "cni0": {pod}}
		if w.storage {
			q.Witnesses["eth1"] = nil // no route uses eth1, so that the kernel has no neighbour there
		}
		q.Nodes, q.Addresses = map[string][]netip.Addr{"eth0": about.Nodes}, about.Addresses
		p.asked, p.awaited = about.Addresses, about.Awaited
	}
	p.segment.SetQuestions(q)
	if p.segment.IsAsking() && !p.asking {
		p.asking = true
		go p.keepAsking()
	}
}

// keepAsking does what Responder.keepAsking does.
func (p *process) keepAsking() {
	w := p.n.w
	for {
		p.gate()
		w.mu.Lock()
		if p.dead || !p.segment.IsAsking() {
			p.asking = false
			w.mu.Unlock()
			return
		}
		p.segment.Step(p.n.now(), func(probe segment.Probe) bool { return w.probe(p, probe) })
		changed, results := p.segment.TakeChanged(), p.segment.Results()
		w.mu.Unlock()
		if changed {
			p.engine.SetSegment(results)
		}
		select {
		case <-p.ctx.Done():
			return
		case <-time.After(segment.StepInterval):
		}
	}
}

// probe has all hosts that have an address answer, and returns whether the probe was sent. The
// caller holds the lock.
func (w *world) probe(p *process, probe segment.Probe) bool {
	answer := func(hardware segment.Hardware) {
		if p.n.rng.Float64() < w.loss {
			return
		}
		time.AfterFunc(time.Duration(p.n.rng.Int64N(int64(time.Millisecond))), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			p.segment.NoteAnswer(p.n.now(), probe.Link, probe.Address, hardware)
		})
	}
	if !p.n.up[probe.Link] || !p.runner.MayAnswer() {
		return false
	}
	if probe.Link == "cni0" {
		if probe.Address == pod {
			answer(segment.Hardware{0xfd})
		}
		return true
	}
	l := w.lanOf(probe.Link)
	switch probe.Address {
	case gateway:
		if !w.away[p.n.name] {
			answer(segment.Hardware{0xff})
		}
	case client:
		answer(segment.Hardware{0xfe})
	}
	for _, name := range w.names {
		n := w.nodes[name]
		if name == p.n.name || !w.connected(l, name, p.n.name) {
			continue
		}
		if n.kernel && probe.Address == n.host() {
			answer(n.hardware(l.name))
			if !p.latest.MinoritySince.IsZero() && slices.Contains(p.latest.Missing, name) {
				p.shared[name] = true
			}
		}
		q := n.p
		if q == nil {
			continue
		}
		if owner, covers := q.answers(probe.Address, time.Now()); owner || covers {
			answer(q.answersWith(probe.Address))
		}
	}
	return true
}

// bursts are the times after taking an address at which a node announces it: those of the responder.
var bursts = []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 1100 * time.Millisecond, 2200 * time.Millisecond}

// announce has a node announce addresses for as long as it owns them. The caller holds the
// lock.
func (w *world) announce(p *process, addresses []netip.Addr) {
	for _, address := range addresses {
		probed := max(0, time.Until(p.ready[address]))
		for _, at := range bursts {
			time.AfterFunc(probed+at, func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.announceOnce(p, []netip.Addr{address})
			})
		}
	}
}

// announceOnce sends one announcement of each address to the other nodes. A node that owns the same
// address announces it again after the settle time if it still owns it then. The caller holds the lock.
func (w *world) announceOnce(p *process, addresses []netip.Addr) {
	for _, address := range addresses {
		l := w.lanOf(linkOf(address))
		if owner, _ := p.answers(address, time.Now()); !owner || w.over {
			continue
		}
		for _, name := range w.names {
			q := w.nodes[name].p
			if name == p.n.name || q == nil || l.cuts[[2]lb.NodeName{p.n.name, name}] {
				continue
			}
			if q.n.up[l.name] && q.frozen.Load() == nil && slices.Contains(q.asked[address], l.name) {
				q.segment.NoteAnswer(q.n.now(), l.name, address, p.n.hardware(l.name)) // an address that is announced is in use
			}
			owner, covers := q.answers(address, time.Now())
			switch {
			case owner:
				w.contest(p, q, address)
			case covers:
				w.proveReturn(p, q, address)
			}
		}
	}
}

// proveReturn has the covering process q receive that p, the process that returned, announces an address
// or answers for it. The caller holds the lock.
func (w *world) proveReturn(p, q *process, address netip.Addr) {
	if o := q.owned[address]; o.Returned && q.answersWith(address) == p.n.hardware(linkOf(address)) {
		time.AfterFunc(time.Duration(q.n.rng.Int64N(int64(time.Millisecond))), func() { q.engine.AddAnnounced(address) })
	}
}

// askReturned has a covering process request each second an address whose owner has restarted, as the
// responder does.
func (w *world) askReturned(q *process, address netip.Addr) {
	time.AfterFunc(time.Second, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !q.owned[address].Returned || q.dead || w.over {
			return
		}
		for _, name := range w.names {
			if p := w.nodes[name].p; p != nil && p != q && w.connected(w.lanOf(linkOf(address)), name, q.n.name) {
				if owner, _ := p.answers(address, time.Now()); owner {
					w.proveReturn(p, q, address)
				}
			}
		}
		w.askReturned(q, address)
	})
}

// contest has q receive that p announces an address that q owns. The caller holds the lock.
func (w *world) contest(p, q *process, address netip.Addr) {
	theirs, own := p.n.hardware(linkOf(address)), q.n.hardware(linkOf(address))
	time.AfterFunc(time.Duration(q.n.rng.Int64N(int64(time.Millisecond))), func() { q.engine.AddRival(address, theirs[:], own[:]) })
	interval, wait := contestTime, settleTime
	if !q.ours[theirs] {
		interval, wait = defendTime, time.Millisecond
	}
	if time.Since(q.contested[address]) < interval {
		return
	}
	q.contested[address] = time.Now()
	time.AfterFunc(wait, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.announceOnce(q, []netip.Addr{address})
	})
}

// Repeat implements layer2.Announcer.
func (p *process) Repeat(addresses ...netip.Addr) {
	p.gate()
	w := p.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(addresses) == 0 {
		for address := range p.owned {
			addresses = append(addresses, address)
		}
	}
	if !p.dead {
		w.announce(p, addresses)
	}
}

var _ layer2.Announcer = (*process)(nil)
