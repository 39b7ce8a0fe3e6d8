package mesh

import (
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/segment"
)

// lan is a segment of the network. Each node has one link in the segment.
type lan struct {
	name  string                  // of the links
	cuts  map[[2]lb.NodeName]bool // from, to: no frame is carried
	sides map[lb.NodeName]int     // the part of the segment that each node is in
}

// part names a part of the segment of an address.
type part struct {
	address netip.Addr
	side    int
}

func newLAN(name string) lan {
	return lan{name, map[[2]lb.NodeName]bool{}, map[lb.NodeName]int{}}
}

// part cuts some nodes from all others.
func (l *lan) part(names, some []lb.NodeName) {
	for _, a := range some {
		for _, b := range names {
			if !slices.Contains(some, b) {
				l.cuts[[2]lb.NodeName{a, b}], l.cuts[[2]lb.NodeName{b, a}] = true, true
			}
		}
		l.sides[a] = 1
	}
}

// partAll cuts each node from all others.
func (l *lan) partAll(names []lb.NodeName) {
	for i, a := range names {
		for _, b := range names {
			l.cuts[[2]lb.NodeName{a, b}] = a != b
		}
		l.sides[a] = i + 1
	}
}

func (l *lan) heal() {
	clear(l.cuts)
	clear(l.sides)
}

// linkOf returns the link whose subnet has an address.
func linkOf(address netip.Addr) string {
	if address.Is4() && address.As4()[0] == 10 {
		return "eth1"
	}
	return "eth0"
}

// lanOf returns the segment of a link.
func (w *world) lanOf(link string) *lan {
	if link == w.second.name {
		return w.second
	}
	return &w.lan
}

// partSecond cuts some nodes from all others on the segment without a gateway.
func (w *world) partSecond(some ...lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.second.part(w.names, some)
	w.fault, w.split = time.Now(), time.Now()
	w.note("parted on eth1: %v from the others", some)
}

// cutAll has the switch of the mesh carry nothing, as during a reboot of the switch.
func (w *world) cutAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partAll(w.names)
	for _, n := range w.names {
		w.away[n] = true
	}
	w.fault, w.split = time.Now(), time.Now()
	w.note("the switch carries nothing")
}

// mute drops all messages that one speaker sends, as a firewall does. The speaker still receives.
func (w *world) mute(name lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.names {
		if n != name {
			w.walls[[2]lb.NodeName{name, n}] = true
		}
	}
	w.fault, w.split = time.Now(), time.Now()
	w.note("no message of %s is carried", name)
}

// deafen drops all that is sent to a node, by nodes and by the gateway. What the node sends arrives.
func (w *world) deafen(name lb.NodeName) {
	for _, n := range w.names {
		if n != name {
			w.cutFrom(n, name)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away[name] = true
	w.note("%s receives nothing", name)
}

// client is a host on eth1 that all parts of the segment reach.
var client = netip.MustParseAddr("10.255.0.1")

// askEvery is how often hosts ask for an address that no host answers for: the kernel of Linux
// repeats an ARP request after a second.
const askEvery = time.Second

// askForAddresses has hosts on eth1 request the addresses there that no node answers for. These requests
// show a node in a minority that it receives from the segment.
func (w *world) askForAddresses() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(askEvery):
		}
		w.mu.Lock()
		for i := range w.want.Addresses {
			address := w.want.Addresses[i].Address
			for _, name := range w.names {
				p := w.nodes[name].p
				if p == nil || p.dead || p.frozen.Load() != nil || linkOf(address) != "eth1" || !w.nodes[name].up["eth1"] || w.answered(name, address) || !slices.Contains(p.awaited, address) {
					continue
				}
				p.segment.NoteRequest(p.n.now(), "eth1", client)
			}
		}
		w.mu.Unlock()
	}
}

// answered returns whether any node answers for an address in the part of the segment that the node
// in is in. The caller holds the lock.
func (w *world) answered(in lb.NodeName, address netip.Addr) bool {
	l := w.lanOf(linkOf(address))
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		if p == nil || l.sides[n] != l.sides[in] {
			return false
		}
		owner, covers := p.answers(address, time.Now())
		return owner || covers
	})
}

// coversFor returns whether a process answers for an address on behalf of a node that restarts.
func (p *process) coversFor(address netip.Addr) bool { return len(p.owned[address].For) > 0 }

// answersWith returns the hardware address that a process answers with.
func (p *process) answersWith(address netip.Addr) segment.Hardware {
	if theirs, covering := p.owned[address].For[linkOf(address)]; covering {
		return segment.Hardware(theirs)
	}
	return p.n.hardware(linkOf(address))
}
