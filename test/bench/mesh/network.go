package main

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

const (
	// step is how long a datagram takes, and how exactly moments are known.
	step = time.Millisecond
	// headers of IPv4 and UDP, in bytes.
	headers = 20 + 8
)

// standard is the timing of the profile Default.
var standard = machine.Timing{Interval: 90 * time.Millisecond, Timeout: 300 * time.Millisecond}

// network is many machines with their sessions. Its time is not the time of the clock. It passes
// as fast as the processor can.
type network struct {
	now    time.Time
	rng    *rand.Rand
	loss   float64
	names  []lb.NodeName
	nodes  []*node
	index  map[lb.NodeName]int
	flying []datagram // arrive with the next step
	// packets and bytes that were sent, headers of IP and UDP included.
	packets, bytes int
	// found is called when a machine finds another node dead.
	found func(by, dead int)
	// recorded is what is sent to node 0, if recording.
	recording bool
	recorded  []recorded
	// outside takes what is sent to node 0 while a real process runs there; nil: none does. The
	// machines are not ticked then, and receive nothing from each other: see idleAmong.
	outside func(from int, data []byte)
}

// recorded is a message to node 0.
type recorded struct {
	from    int
	at      time.Time
	message *wire.Message
}

// node is one process.
type node struct {
	machine  *machine.Machine
	sessions *session.Table
	next     time.Time // when a tick is due
	dead     bool
	encoded  []byte
	received wire.Message
}

type datagram struct {
	from, to int
	data     []byte
}

func nodeName(i int) lb.NodeName { return lb.NodeName(fmt.Sprintf("node-%04d.example.com", i)) }

// newNetwork returns nodes with open sessions.
func newNetwork(count int) (*network, error) {
	n := &network{
		now: time.Unix(1_800_000_000, 0), rng: rand.New(rand.NewPCG(1, uint64(count))), index: map[lb.NodeName]int{},
		nodes: make([]*node, count), found: func(int, int) {},
	}
	for i := range count {
		n.names = append(n.names, nodeName(i))
		n.index[n.names[i]] = i
	}
	for i := range count {
		if err := n.start(i); err != nil {
			return nil, err
		}
	}
	n.run(3 * time.Second)
	return n, n.complete()
}

// complete returns an error unless all are alive in the view of each.
func (n *network) complete() error {
	for i, node := range n.nodes {
		if live := len(node.machine.View().Peers); live != len(n.nodes)-1 {
			return fmt.Errorf("three seconds later %d peers are alive in the view of %s, want %d", live, n.names[i], len(n.nodes)-1)
		}
	}
	return nil
}

// state is what a node publishes: a link, and an address that it owns.
func state(i int) wire.State {
	return wire.State{
		Phase:  ownership.Active,
		Links:  []wire.Link{{Name: ownLink, Hardware: [6]byte{2, 0, 0, 0, byte(i >> 8), byte(i)}, IPv4: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}}},
		Claims: ownership.Claims{ownAddress(i): 1},
	}
}

// ownAddress returns the address of a Service that a node owns.
func ownAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }

// start begins a process on a node.
func (n *network) start(i int) error {
	k, err := session.ParseKey(keyBytes)
	if err != nil {
		return err
	}
	var instance wire.Instance
	binary.BigEndian.PutUint64(instance[:], n.rng.Uint64())
	node := &node{machine: machine.New(n.names[i], standard), sessions: session.New(n.names[i], instance, func(b []byte) { _, _ = crand.Read(b) })}
	n.nodes[i] = node
	node.machine.SetPeers(n.now, n.names)
	node.sessions.SetPeers(n.now, n.names)
	node.sessions.SetKeys(n.now, []session.Key{k})
	n.act(i, node.machine.Publish(n.now, state(i)))
	return nil
}

// act sends the messages of a machine, as a runner does.
func (n *network) act(i int, sends []machine.OutgoingMessage) {
	node := n.nodes[i]
	var last *wire.Message
	for _, s := range sends {
		to := n.index[s.To]
		if n.outside != nil && to != 0 {
			continue
		}
		if to == 0 && n.recording {
			n.recorded = append(n.recorded, recorded{i, n.now, s.Message})
		}
		if s.Message != last {
			node.encoded, last = wire.AppendMessage(node.encoded[:0], s.Message), s.Message
		}
		if data, met := node.sessions.Seal(s.To, node.encoded); met {
			n.send(i, to, data)
		}
	}
	for _, lost := range node.machine.TakeLost() {
		node.sessions.Reset(n.now, lost)
		n.found(i, n.index[lost])
	}
}

func (n *network) send(from, to int, data []byte) {
	n.packets++
	n.bytes += headers + len(data)
	switch {
	case to == 0 && n.outside != nil:
		n.outside(from, data)
	case n.loss == 0 || n.rng.Float64() >= n.loss:
		n.flying = append(n.flying, datagram{from: from, to: to, data: data})
	}
}

// receive passes a datagram to its receiver.
func (n *network) receive(d datagram) {
	node := n.nodes[d.to]
	if node.dead || n.outside == nil && n.nodes[d.from].dead {
		return
	}
	from := n.names[d.from]
	opened := node.sessions.Open(n.now, from, d.data)
	for _, reply := range opened.Replies {
		n.send(d.to, d.from, reply)
	}
	if opened.Greeted {
		node.machine.NoteGreeted(n.now, from, opened.Instance, opened.Silent)
	}
	if opened.Met {
		n.act(d.to, node.machine.NoteMet(n.now, from, opened.Instance))
	}
	if opened.Message != nil && wire.Decode(opened.Message, &node.received) == nil {
		n.act(d.to, node.machine.Receive(n.now, from, opened.Instance, &node.received))
	}
	if at := node.sessions.Next(n.now); at.Before(node.next) {
		node.next = at
	}
}

// tick has a node send the messages that are due.
func (n *network) tick(i int) {
	node := n.nodes[i]
	for _, g := range node.sessions.Tick(n.now) {
		n.send(i, n.index[g.To], g.Datagram)
	}
	node.next = node.sessions.Next(n.now)
	if n.outside != nil {
		return
	}
	n.act(i, node.machine.Tick(n.now))
	if at := node.machine.Next(n.now); at.Before(node.next) {
		node.next = at
	}
}

// run advances the time.
func (n *network) run(d time.Duration) {
	for end := n.now.Add(d); n.now.Before(end); {
		n.advance(n.now.Add(step))
	}
}

// advance sets the time.
func (n *network) advance(now time.Time) {
	n.now = now
	arriving := n.flying
	n.flying = nil
	for _, d := range arriving {
		n.receive(d)
	}
	for i, node := range n.nodes {
		if !node.dead && !n.now.Before(node.next) {
			n.tick(i)
		}
	}
}
