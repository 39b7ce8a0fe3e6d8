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

func BenchmarkTick(b *testing.B) {
	for _, count := range sizes {
		b.Run(fmt.Sprintf("%d-speakers", count), func(b *testing.B) {
			m, now := among(count)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(standard.Interval)
				for _, p := range m.watchedPeers() {
					p.received = now
				}
				m.Tick(now)
			}
		})
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
