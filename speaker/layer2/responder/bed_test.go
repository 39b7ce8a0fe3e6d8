package responder

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
)

var (
	vip   = netip.MustParseAddr("192.168.1.240")
	vip2  = netip.MustParseAddr("192.168.1.241")
	vip6  = netip.MustParseAddr("2001:db8::240")
	asker = netip.MustParseAddr("192.168.1.9")

	ours     = packet.MAC{2, 0, 0, 0, 0, 1}
	nodeMAC  = packet.MAC{2, 0, 0, 0, 0, 2}
	stranger = packet.MAC{2, 0, 0, 0, 0, 9}

	eth0 = layer2.Link{Name: "eth0", Index: 2, Hardware: ours.Hardware(), IPv4: true, LinkLocal: netip.MustParseAddr("fe80::1")}
	eth1 = layer2.Link{Name: "eth1", Index: 3, Hardware: packet.MAC{2, 0, 0, 0, 1, 1}.Hardware(), IPv4: true}

	byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
)

// event is an announcement or a probe that was sent.
type event struct {
	At      time.Duration
	Address netip.Addr
}

// answer is an answer that was sent for an address.
type answer struct {
	Address netip.Addr
	MAC     packet.MAC
}

// wire is the connection of a link. It records each packet that is sent, and when.
type wire struct {
	start time.Time
	in    chan packet.Message
	done  chan struct{}
	once  sync.Once
	hang  chan struct{} // an answer waits until hang is closed; nil: no answer waits
	// kernel: the kernel of a node answers each probe.
	kernel atomic.Bool

	mu                sync.Mutex
	announced, probed []event
	answered          []answer
	watched           []netip.Addr
	broken            bool // probes cannot be sent
	unwatched         bool // a packet was sent about an address that was not watched
}

func newWire() *wire {
	return &wire{start: time.Now(), in: make(chan packet.Message), done: make(chan struct{})}
}

func (w *wire) Watch(addresses []netip.Addr) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched = addresses
	return nil
}

func (w *wire) Read() (packet.Message, bool, error) {
	select {
	case m := <-w.in:
		return m, m != packet.Message{}, nil
	case <-w.done:
		return packet.Message{}, false, net.ErrClosed
	}
}

func (w *wire) Answer(m packet.Message, at packet.MAC) error {
	w.mu.Lock()
	w.unwatched = w.unwatched || !slices.Contains(w.watched, m.Asks)
	w.mu.Unlock()
	if w.hang != nil {
		<-w.hang
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered = append(w.answered, answer{Address: m.Asks, MAC: at})
	return nil
}

func (w *wire) Announce(a netip.Addr) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.announced = append(w.announced, event{At: time.Since(w.start), Address: a})
	w.unwatched = w.unwatched || !slices.Contains(w.watched, a)
	return nil
}

func (w *wire) Probe(a netip.Addr) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return errors.New("network is down")
	}
	w.probed = append(w.probed, event{At: time.Since(w.start), Address: a})
	if w.kernel.Load() {
		go func() {
			select {
			case w.in <- packet.Message{Claims: a, Sender: nodeMAC}:
			case <-w.done:
			}
		}()
	}
	w.unwatched = w.unwatched || !slices.Contains(w.watched, a)
	return nil
}

func (*wire) Dropped() uint64 { return 1 }
func (w *wire) Close() error  { w.fail(); return nil }

// fail ends Read with an error, as a socket whose interface was deleted.
func (w *wire) fail() { w.once.Do(func() { close(w.done) }) }

// receive passes a message to the responder, and waits until the responder is idle.
func (w *wire) receive(m packet.Message) {
	w.in <- m
	synctest.Wait()
}

// asks passes a request of a client to the responder.
func (w *wire) asks(a netip.Addr) {
	w.receive(packet.Message{Asks: a, Claims: asker, From: asker, Sender: stranger})
}

// claims passes an announcement to the responder.
func (w *wire) claims(a netip.Addr, sender packet.MAC) {
	w.receive(packet.Message{Asks: a, Claims: a, From: a, Sender: sender})
}

// take returns the packets that were sent since the last call.
func (w *wire) take() (announced, probed []event, answered []answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	announced, probed, answered = w.announced, w.probed, w.answered
	w.announced, w.probed, w.answered = nil, nil, nil
	return announced, probed, answered
}

// times returns when addresses were announced since the last call.
func (w *wire) times() (times []time.Duration) {
	announced, _, _ := w.take()
	for _, e := range announced {
		times = append(times, e.At)
	}
	return times
}

// bed is a responder with two links. The first link has IPv6 as well.
type bed struct {
	*Responder
	v4, v6, second *wire
	mute           atomic.Bool
	kernel         atomic.Bool // nodeMAC is the address of the kernel of node2
	binds          atomic.Bool // the service proxy puts addresses on interfaces
	registry       *prometheus.Registry

	mu       sync.Mutex
	reported [][]layer2.Conflict
	rivals   []packet.MAC
	returned []netip.Addr    // addresses that the node which the responder covers for has announced
	segment  segment.Results // the latest
}

func newBed(t *testing.T) *bed {
	t.Helper()
	return newBedWith(t, layer2.DetectionEnforce)
}

func newBedWith(t *testing.T, detection layer2.Detection) *bed {
	t.Helper()
	b := &bed{v4: newWire(), v6: newWire(), second: newWire(), registry: prometheus.NewRegistry()}
	b.Responder = New(t.Context(), logr.Discard(), Options{
		ARP: func(l layer2.Link) (Conn, error) {
			if w := map[string]*wire{"eth0": b.v4, "eth1": b.second}[l.Name]; w != nil {
				return w, nil
			}
			return nil, errors.New("no such link")
		},
		NDP:       func(layer2.Link) (Conn, error) { return b.v6, nil },
		Metrics:   NewMetrics(b.registry),
		MayAnswer: func() bool { return !b.mute.Load() },
		Conflicts: b.report,
		AnswerSource: func(_ netip.Addr, hardware net.HardwareAddr) (lb.NodeName, bool) {
			name, known := map[string]lb.NodeName{ours.String(): "node1", nodeMAC.String(): "node2"}[hardware.String()]
			return name, known && (name == "node1" || b.kernel.Load())
		},
		ProxyBinds: b.binds.Load,
		Segment: func(r segment.Results) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.segment = r
		},
		Rival: func(_ netip.Addr, its, _ net.HardwareAddr) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.rivals = append(b.rivals, packet.MAC(its))
		},
		Announced: func(address netip.Addr) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.returned = append(b.returned, address)
		},
		Witnesses: func(layer2.Link) []netip.Addr { return []netip.Addr{asker} },
	})
	b.SetDetection(detection)
	b.SetNodeHardware([]net.HardwareAddr{ours.Hardware(), nodeMAC.Hardware()})
	t.Cleanup(func() {
		for name, w := range map[string]*wire{"v4": b.v4, "v6": b.v6, "second": b.second} {
			if w.unwatched {
				t.Errorf("%s: a packet was sent about an address that was not watched", name)
			}
		}
	})
	return b
}

func (b *bed) report(list []layer2.Conflict) {
	b.SetNodeHardware([]net.HardwareAddr{ours.Hardware(), nodeMAC.Hardware()}) // deadlocks if the responder reports with its lock held
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reported = append(b.reported, list)
}

// reports returns the reports since the last call.
func (b *bed) reports() [][]layer2.Conflict {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.reported
	b.reported = nil
	return list
}

func owns(interfaces ...string) map[netip.Addr]layer2.Serving {
	return map[netip.Addr]layer2.Serving{vip: {Interfaces: interfaces}}
}

func first(addresses ...netip.Addr) map[netip.Addr]layer2.Serving {
	owned := map[netip.Addr]layer2.Serving{}
	for _, a := range addresses {
		owned[a] = layer2.Serving{Interfaces: []string{"eth0"}, First: true}
	}
	return owned
}

func ms(list ...int) []time.Duration {
	var out []time.Duration
	for _, n := range list {
		out = append(out, time.Duration(n)*time.Millisecond)
	}
	return out
}

func equal[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
