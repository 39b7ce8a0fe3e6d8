package ipam

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestPortSet_SameAsAMap(t *testing.T) {
	port := rapid.Custom(func(t *rapid.T) lb.Port {
		return lb.Port{
			Protocol: rapid.SampledFrom([]lb.Protocol{"TCP", "UDP", "SCTP"}).Draw(t, "protocol"),
			Number:   rapid.SampledFrom([]uint16{0, 1, 63, 64, 4095, 4096, 32768, 65535}).Draw(t, "number"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		set, want := &portSet{}, map[lb.Port]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			p := port.Draw(t, "port")
			if rapid.Bool().Draw(t, "set") {
				set.set(p)
				want[p] = true
			} else {
				set.clear(p)
				delete(want, p)
			}
			if got := set.has(p); got != want[p] {
				t.Fatalf("has(%s): got %v, want %v", p, got, want[p])
			}
			if got := portsIn(set); set.len() != len(want) || len(got) != len(want) {
				t.Fatalf("set: got %v (len %d), want %v", got, set.len(), want)
			}
			for p := range want {
				if !set.has(p) {
					t.Fatalf("has(%s): got false, want true", p)
				}
			}
		}
	})
	var none *portSet
	if none.len() != 0 || none.has(lb.Port{Protocol: "TCP", Number: 80}) {
		t.Error("a nil set: got ports, want none")
	}
}
