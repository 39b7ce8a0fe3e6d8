package mesh

import (
	"fmt"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// among returns a machine that has met count-1 others, which are active.
func among(count int) (*Machine, time.Time) {
	now := time.Unix(1000, 0)
	m := New("node000", standard)
	var names []lb.NodeName
	for i := range count {
		names = append(names, lb.NodeName(fmt.Sprintf("node%03d", i)))
	}
	m.SetPeers(now, names)
	m.Publish(now, wire.State{Phase: ownership.Active})
	piece := wire.SplitState(&wire.State{Phase: ownership.Active})[0]
	for _, name := range names[1:] {
		m.NoteMet(now, name, wire.Instance{1})
		m.Receive(now, name, wire.Instance{1}, &wire.Message{Kind: wire.KindState, Sequence: 1, Interval: standard.Interval, Piece: wire.Piece{Count: 1, Data: piece}})
	}
	m.Tick(now)
	return m, now
}

var sizes = []int{3, 24, 100, 300, 1000}

func BenchmarkReceiveHeartbeat(b *testing.B) {
	for _, count := range sizes {
		b.Run(fmt.Sprintf("%d-speakers", count), func(b *testing.B) {
			m, now := among(count)
			msg := &wire.Message{Kind: wire.KindHeartbeat, Sequence: 1, Interval: standard.Interval}
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Microsecond)
				m.Receive(now, "node001", wire.Instance{1}, msg)
			}
		})
	}
}

// BenchmarkTick measures a tick in which heartbeats are due, as one tick in each interval is. The tick makes
// its messages, and does not encode, seal or send them. Steady: all peers are alive and send. Unknown: in
// addition a watched peer is suspected, which its other watchers refute, another peer has not sent its state
// yet, and a third one asks for a session.
func BenchmarkTick(b *testing.B) {
	for _, count := range sizes {
		for _, unknown := range []bool{false, true} {
			name := "steady"
			if unknown {
				name = "unknown"
			}
			b.Run(fmt.Sprintf("%s/%d-speakers", name, count), func(b *testing.B) { benchmarkTick(b, count, unknown) })
		}
	}
}

func benchmarkTick(b *testing.B, count int, unknown bool) {
	m, now := among(count)
	for _, p := range m.peers { // a message of each counts as one that has just come
		p.received = now.AddDate(10, 0, 0)
		p.heartbeat = p.received
	}
	suspects, strangers := 0, 0
	if unknown {
		suspects, strangers = 1, 1
		m.watchedPeers()[0].received = now
		m.SetPeers(now, append(m.Peers(), "node000", "starting"))
		m.NoteMet(now, "starting", wire.Instance{1})
	}
	tick := func() {
		now = now.Add(standard.Interval)
		if unknown {
			m.greeted = now
		}
		m.Tick(now)
	}
	for range 10 { // until the silent peer is suspected, and that was sent to all
		tick()
	}
	b.ReportAllocs()
	for b.Loop() {
		tick()
	}
	suspected := 0
	for _, p := range m.peers {
		if !p.suspected.IsZero() {
			suspected++
		}
		if p.lost && p.suspected.IsZero() {
			b.Errorf("%s is lost", p.node)
		}
	}
	if live := len(m.View().Peers); live != count-1 || suspected != suspects || len(m.unknown) != strangers {
		b.Errorf("%d peers are alive, %d are suspected, the states of %d are unknown; want %d, %d and %d", live, suspected, len(m.unknown), count-1, suspects, strangers)
	}
}

// BenchmarkView is what each change costs besides: those of all speakers that start together come
// one after the other.
func BenchmarkView(b *testing.B) {
	for _, count := range sizes {
		b.Run(fmt.Sprintf("%d-speakers", count), func(b *testing.B) {
			m, _ := among(count)
			b.ReportAllocs()
			for b.Loop() {
				m.View()
			}
		})
	}
}
