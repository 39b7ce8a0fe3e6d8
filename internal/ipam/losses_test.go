package ipam

import (
	"net/netip"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestLosses_AreBounded(t *testing.T) {
	start := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	span := func(first, last string) []lb.Range {
		return []lb.Range{{First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}}
	}
	tests := []struct {
		name   string
		listed []lb.Range
		every  time.Duration // between the hosts that answer
		tries  int
		want   int
	}{
		{"large pool loses MaxLosses at once", span("10.0.0.0", "10.0.3.255"), 0, 100, MaxLosses},
		{"pool of IPv6 loses MaxLosses at once", span("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"), 0, 100, MaxLosses},
		{"pool of nine loses four", span("10.0.0.1", "10.0.0.9"), 0, 100, 4},
		{"pool of two loses one", span("10.0.0.1", "10.0.0.2"), 0, 100, 1},
		{"pool of one loses it", span("10.0.0.1", "10.0.0.1"), 0, 100, 1},
		{"hour after a loss the pool may lose again", span("10.0.0.1", "10.0.0.2"), 30 * time.Minute, 5, 3},
		{"few losses are not refused", span("10.0.0.0", "10.0.3.255"), 10 * time.Minute, 50, 50},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			losses, got := Losses{}, 0
			for i := range tt.tries {
				if losses.TakeLoss("p", tt.listed, start.Add(time.Duration(i)*tt.every)) {
					got++
				}
			}
			if got != tt.want {
				t.Errorf("lost %d addresses, want %d", got, tt.want)
			}
			if !losses.TakeLoss("other", tt.listed, start) {
				t.Error("another pool may not lose any, want it to be counted apart")
			}
		})
	}
}

func TestLosses_AreRestored(t *testing.T) {
	start := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	one := []lb.Range{{First: netip.MustParseAddr("10.0.0.1"), Last: netip.MustParseAddr("10.0.0.2")}}
	losses := Losses{}
	losses.Restore("p", start)
	if losses.TakeLoss("p", one, start.Add(time.Minute)) {
		t.Error("a loss that was restored does not count")
	}
	if !losses.TakeLoss("p", one, start.Add(LossPeriod)) {
		t.Error("a loss that was restored counts for ever")
	}
}
