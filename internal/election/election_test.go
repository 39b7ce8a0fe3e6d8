package election

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func nodes(n int) []Candidate {
	list := make([]Candidate, n)
	for i := range list {
		list[i].Node = lb.NodeName(fmt.Sprintf("node%d", i+1))
	}
	return list
}

func TestTheOrderIsFixed(t *testing.T) {
	// These are part of the protocol: a change here is a change that two
	// versions side by side do not survive.
	tests := []struct {
		address string
		want    lb.NodeName
	}{
		{"192.168.1.240", "node1"},
		{"192.168.1.241", "node3"},
		{"2001:db8::1", "node3"},
	}
	for _, tt := range tests {
		if got, _ := Choose(netip.MustParseAddr(tt.address), nodes(3), 1); got != tt.want {
			t.Errorf("chosen for %s: got %s, want %s", tt.address, got, tt.want)
		}
	}
	if owner, ok := Choose(address(1), nil, 1); ok {
		t.Errorf("chosen among nobody: got %s, want none", owner)
	}
}

// drawn are candidates with loads and preferences.
func drawn(t *rapid.T) []Candidate {
	list := nodes(rapid.IntRange(1, 12).Draw(t, "nodes"))
	for i := range list {
		list[i].Load = rapid.IntRange(0, 5).Draw(t, "load")
		list[i].Preference = int32(rapid.IntRange(0, 2).Draw(t, "preference"))
	}
	return list
}

func TestTheOrderOfTheCandidatesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawn(t)
		a, share := address(rapid.IntRange(0, 1<<20).Draw(t, "address")), rapid.IntRange(0, 5).Draw(t, "share")
		want, _ := Choose(a, list, share)
		if got, _ := Choose(a, rapid.Permutation(list).Draw(t, "order"), share); got != want {
			t.Fatalf("chosen for %s: got %s, want %s as in the other order", a, got, want)
		}
	})
}

func TestPreferredNodeWithRoomIsElected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawn(t)
		a, share := address(rapid.IntRange(0, 1<<20).Draw(t, "address")), rapid.IntRange(0, 5).Draw(t, "share")
		got, _ := Choose(a, list, share)
		var chosen Candidate
		for _, c := range list {
			if c.Node == got {
				chosen = c
			}
		}
		for _, c := range list {
			if c.Preference > chosen.Preference {
				t.Fatalf("got %+v, although %+v is preferred", chosen, c)
			}
			if c.Preference == chosen.Preference && chosen.Load >= share && c.Load < chosen.Load {
				t.Fatalf("got %+v over the share %d, although %+v has less", chosen, share, c)
			}
		}
	})
}

func TestAddressesSpreadEvenly(t *testing.T) {
	for _, count := range []int{3, 9, 100} {
		const addresses = 1000
		list := nodes(count)
		share := FairShare(addresses, count)
		for i := range addresses {
			owner, _ := Choose(address(i), list, share)
			for j := range list {
				if list[j].Node == owner {
					list[j].Load++
				}
			}
		}
		for _, c := range list {
			if c.Load > share {
				t.Errorf("%d nodes: %s owns %d, want at most %d", count, c.Node, c.Load, share)
			}
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprintf("%d-nodes", n), func(b *testing.B) {
			list := nodes(n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				Choose(address(i), list, 1)
			}
		})
	}
}
