package bfd

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/bfd"
)

// segment joins two engines without a kernel.
type segment struct {
	mu      sync.Mutex
	cut     bool
	taken   map[PacketClass]bool // classes whose port another program uses
	refused int                  // how often listening on one of those failed
	failing error                // error of sending
	hosts   map[netip.Addr]*host
}

// host is an engine's side of the segment.
type host struct {
	*segment
	address netip.Addr
	open    map[PacketClass]*port
	ports   []uint16 // that were sent from
	sent    int

	engine   *Engine
	registry *prometheus.Registry
	changes  []statusChange
	hangs    time.Duration // how long Changed takes
}

type port struct {
	owner  *host
	class  PacketClass
	queue  chan Arrival
	closed chan struct{}
	fails  chan error
}

var left, right = netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("192.168.1.2")

func newSegment() *segment {
	return &segment{taken: map[PacketClass]bool{}, hosts: map[netip.Addr]*host{}}
}

// host starts an engine. The end of the test stops it.
func (s *segment) host(t *testing.T, address netip.Addr) *host {
	h := &host{segment: s, address: address, open: map[PacketClass]*port{}, registry: prometheus.NewRegistry()}
	s.mu.Lock()
	s.hosts[address] = h
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	h.engine = New(ctx, Options{Log: logr.Discard(), Metrics: NewMetrics(h.registry), Network: h, Changed: func(k Key, st Status) {
		h.engine.Status(k) // may be called from here
		s.mu.Lock()
		h.changes = append(h.changes, statusChange{k, st})
		hangs := h.hangs
		s.mu.Unlock()
		<-time.After(hangs)
	}})
	t.Cleanup(func() {
		cancel()
		<-h.engine.done
		if len(h.listening()) > 0 {
			t.Errorf("%s still listens on %v", address, h.listening())
		}
	})
	return h
}

func (h *host) listening() (classes []PacketClass) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.open {
		classes = append(classes, c)
	}
	return classes
}

// states returns the states that were reported.
func (h *host) states() (states []bfd.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.changes {
		states = append(states, c.status.State)
	}
	return states
}

func (h *host) Listen(c PacketClass) (Receiver, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.taken[c] {
		h.refused++
	}
	if h.taken[c] || h.open[c] != nil {
		return nil, &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
	}
	p := &port{owner: h, class: c, queue: make(chan Arrival, 16), closed: make(chan struct{}), fails: make(chan error)}
	h.open[c] = p
	return p, nil
}

func (p *port) Read(buffer []byte) (Arrival, error) {
	select {
	case a := <-p.queue:
		a.Packet = buffer[:copy(buffer, a.Packet)]
		return a, nil
	case err := <-p.fails:
		return Arrival{}, err
	case <-p.closed:
		return Arrival{}, net.ErrClosed
	}
}

// Admit admits all: the engine itself drops packets of unknown hosts.
func (p *port) Admit([]netip.Addr) error { return nil }

func (p *port) Close() error {
	p.owner.mu.Lock()
	defer p.owner.mu.Unlock()
	delete(p.owner.open, p.class)
	close(p.closed)
	return nil
}

func (h *host) Dial(k Key, port uint16) (Sender, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ports = append(h.ports, port)
	if len(h.ports) == 1 {
		return nil, &net.OpError{Op: "listen", Err: syscall.EADDRINUSE} // the first one is always taken
	}
	return &outlet{h, k}, nil
}

type outlet struct {
	from *host
	key  Key
}

func (o *outlet) Interface() int { return 0 }
func (o *outlet) Close() error   { return nil }

func (o *outlet) Send(packet []byte) error {
	o.from.mu.Lock()
	failing := o.from.failing
	o.from.sent++
	o.from.mu.Unlock()
	if failing != nil {
		return failing
	}
	o.from.deliver(o.key, Arrival{Packet: packet, From: o.from.address, To: o.key.Peer, TTL: maxTTL})
	return nil
}

// deliver passes a packet to the host at the other side of a session.
func (s *segment) deliver(k Key, a Arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.Packet = append([]byte(nil), a.Packet...)
	if to := s.hosts[k.Peer]; to != nil && !s.cut {
		if p := to.open[PacketClass{IPv6: k.Peer.Is6(), Multihop: k.Multihop}]; p != nil {
			select {
			case p.queue <- a:
			default:
			}
		}
	}
}

func (s *segment) set(change func(*segment)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}
