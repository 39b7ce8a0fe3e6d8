package mesh

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

var benchSizes = []int{24, 100, 300, 1000}

// benchBed has a runner, and the session of each peer with this runner.
type benchBed struct {
	self   *runner
	peers  map[lb.NodeName]*session.Table
	flying []datagram
	toPeer func(lb.NodeName, []byte) // receives what the runner sends, once all sessions are open
}

// newBenchBed returns a runner that has open sessions with count-1 active peers.
func newBenchBed(b *testing.B, count int, timing machine.Timing) *benchBed {
	b.Helper()
	bed := &benchBed{peers: map[lb.NodeName]*session.Table{}}
	send := func(to lb.NodeName, data []byte) {
		if bed.toPeer != nil {
			bed.toPeer(to, data)
			return
		}
		bed.flying = append(bed.flying, datagram{to: to, data: data})
	}
	bed.self = newRunner("node-0000", timing, randomInstance(), randomBytes, send, func(machine.View) {})
	bed.self.metrics = NewMetrics(prometheus.NewRegistry())
	now := time.Now()
	names := []lb.NodeName{"node-0000"}
	for i := 1; i < count; i++ {
		name := lb.NodeName(fmt.Sprintf("node-%04d", i))
		names = append(names, name)
		peer := session.New(name, randomInstance(), randomBytes)
		peer.SetKeys(now, []session.Key{simulatedKey(1)})
		peer.SetPeers(now, []lb.NodeName{"node-0000"})
		bed.peers[name] = peer
	}
	bed.self.SetKeys([]session.Key{simulatedKey(1)})
	bed.self.withMachine(func(now time.Time) []machine.OutgoingMessage { bed.self.machine.SetPeers(now, names); return nil })
	bed.self.Publish(wire.State{Phase: ownership.Active})
	bed.meet(b, names[1:])
	bed.toPeer = func(lb.NodeName, []byte) {}
	return bed
}

// meet opens the sessions of all peers with the runner, and has each peer publish that it is active.
func (bed *benchBed) meet(b *testing.B, names []lb.NodeName) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		bed.self.tick()
		for len(bed.flying) > 0 {
			d := bed.flying[0]
			bed.flying = bed.flying[1:]
			for _, reply := range bed.peers[d.to].Open(time.Now(), "node-0000", d.data).Replies {
				bed.self.receive(d.to, reply)
			}
		}
		met := 0
		for _, name := range names {
			if !bed.self.sessions.HasSession(name) {
				continue
			}
			for _, g := range bed.peers[name].Tick(time.Now()) {
				bed.self.receive(name, g.Datagram)
			}
			if bed.peers[name].HasSession("node-0000") {
				met++
			}
		}
		if met == len(names) && len(bed.flying) == 0 {
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d peers have met the runner after a minute", met, len(names))
		}
	}
	piece := wire.Piece{Count: 1, Data: wire.SplitState(&wire.State{Phase: ownership.Active})[0]}
	for _, name := range names {
		bed.self.receive(name, bed.sealed(b, name, &wire.Message{Kind: wire.KindState, Sequence: 1, Interval: bed.self.timing.Interval, Piece: piece}))
	}
	if live := bed.self.countLive(); live != 1+len(names) {
		b.Fatalf("%d speakers are alive, want %d", live, 1+len(names))
	}
}

func (bed *benchBed) sealed(b *testing.B, from lb.NodeName, msg *wire.Message) []byte {
	b.Helper()
	data, ok := bed.peers[from].Seal("node-0000", wire.AppendMessage(nil, msg))
	if !ok {
		b.Fatalf("%s has no session with the runner", from)
	}
	return data
}

// BenchmarkHeartbeatReceived measures everything that follows from a received heartbeat.
func BenchmarkHeartbeatReceived(b *testing.B) {
	for _, count := range benchSizes {
		b.Run(fmt.Sprintf("%d-nodes", count), func(b *testing.B) {
			bed := newBenchBed(b, count, machine.Timing{Interval: ProfileDefault.timing().Interval, Timeout: time.Hour})
			const batch = 8192
			datagrams := make([]datagram, 0, batch)
			watched := bed.self.machine.Peers()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%batch == 0 {
					b.StopTimer()
					datagrams = datagrams[:0]
					for j := range batch {
						from := watched[j%len(watched)]
						msg := &wire.Message{Kind: wire.KindHeartbeat, Sequence: 1, Interval: bed.self.timing.Interval}
						datagrams = append(datagrams, datagram{from: from, data: bed.sealed(b, from, msg)})
					}
					b.StartTimer()
				}
				bed.self.receive(datagrams[i%batch].from, datagrams[i%batch].data)
			}
		})
	}
}

// BenchmarkHeartbeatsSent measures a tick in which heartbeats are due. Heartbeats are due in each
// tick, since the interval is one nanosecond. Sealed: without the system calls. Sent: on loopback, to a
// socket that accepts no source.
func BenchmarkHeartbeatsSent(b *testing.B) {
	for _, count := range benchSizes {
		for _, way := range []string{"sealed", "sent"} {
			b.Run(fmt.Sprintf("%s/%d-nodes", way, count), func(b *testing.B) {
				bed := newBenchBed(b, count, machine.Timing{Interval: 1, Timeout: time.Hour})
				sent := 0
				bed.toPeer = func(lb.NodeName, []byte) { sent++ }
				if way == "sent" {
					from := benchSocket(b, 120)
					benchSocket(b, 121)
					at := netip.AddrPortFrom(loopback(121), port)
					bed.toPeer = func(_ lb.NodeName, data []byte) {
						sent++
						if err := from.send(data, at); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					bed.self.tick()
				}
				b.ReportMetric(float64(sent)/float64(b.N), "heartbeats")
			})
		}
	}
}

func benchSocket(b *testing.B, number byte) *socket {
	b.Helper()
	s, err := openSocket(netip.AddrPortFrom(loopback(number), port), func(netip.Addr, []byte) {})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.close(); err != nil {
			b.Error(err)
		}
	})
	return s
}
