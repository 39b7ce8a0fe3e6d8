package election

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestTheWeightsAreFixed(t *testing.T) {
	// These are part of the protocol, as in TestTheOrderIsFixed.
	tests := []struct {
		address string
		node    lb.NodeName
		want    uint64
	}{
		{"192.168.1.240", "node1", 0xb74198a21f4f47e7},
		{"::ffff:192.168.1.240", "node1", 0xb74198a21f4f47e7},
		{"2001:db8::1", "node1", 0x19ae3eb870eb94d7},
		{"192.168.1.240", "worker-a.example.com", 0x3f20557f6eaa8119},
	}
	for _, tt := range tests {
		if got := weight(netip.MustParseAddr(tt.address), tt.node); got != tt.want {
			t.Errorf("weight of %s on %s: got %#x, want %#x", tt.address, tt.node, got, tt.want)
		}
	}
}

func TestTheWholeOrderIsFixed(t *testing.T) {
	for address, want := range map[string][]lb.NodeName{
		"192.168.1.240": {"node6", "node1", "node2", "node4", "node3", "node5"},
		"10.0.0.1":      {"node6", "node4", "node2", "node1", "node3", "node5"},
		"2001:db8::1":   {"node3", "node6", "node4", "node2", "node5", "node1"},
	} {
		var got []lb.NodeName
		for _, c := range nodes(6) {
			got = append(got, c.Node)
		}
		slices.SortFunc(got, func(x, y lb.NodeName) int {
			if ComesBefore(netip.MustParseAddr(address), x, y) {
				return -1
			}
			return 1
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("order for %s (-want +got):\n%s", address, diff)
		}
	}
}

func TestAFairShareIsRoundedUp(t *testing.T) {
	for _, tt := range []struct{ addresses, nodes, want int }{{0, 3, 0}, {1, 3, 1}, {3, 3, 1}, {4, 3, 2}, {10, 3, 4}, {5, 0, 0}} {
		if got := FairShare(tt.addresses, tt.nodes); got != tt.want {
			t.Errorf("share of %d among %d: got %d, want %d", tt.addresses, tt.nodes, got, tt.want)
		}
	}
}

func TestNobodyGoesOverTheShareWhileAnotherIsUnderIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawn(t)
		a, share := address(rapid.IntRange(0, 1<<20).Draw(t, "address")), rapid.IntRange(0, 6).Draw(t, "share")
		got, _ := Choose(a, list, share)
		chosen := list[slices.IndexFunc(list, func(c Candidate) bool { return c.Node == got })]
		for _, c := range list {
			if c.Preference != chosen.Preference || c.Node == got {
				continue
			}
			if chosen.Load >= share && c.Load < share {
				t.Fatalf("got %+v, although %+v is under the share %d", chosen, c, share)
			}
			if chosen.Load == share-1 && c.Load < share-1 {
				t.Fatalf("got %+v, although %+v has less: the share %d is rounded up", chosen, c, share)
			}
			if same := (c.Load < share-1) == (chosen.Load < share-1); same && c.Load < share && ComesBefore(a, c.Node, got) {
				t.Fatalf("got %+v, although %+v comes first and is under the share %d as well", chosen, c, share)
			}
			if chosen.Load >= share && c.Load == chosen.Load && ComesBefore(a, c.Node, got) {
				t.Fatalf("got %+v, although %+v comes first and has as much", chosen, c)
			}
		}
	})
}

func TestNodeThatLeavesMovesOnlyItsAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := nodes(rapid.IntRange(2, 12).Draw(t, "nodes"))
		gone := rapid.IntRange(0, len(list)-1).Draw(t, "gone")
		rest := slices.Delete(slices.Clone(list), gone, gone+1)
		for i := range 50 {
			before, _ := Choose(address(i), list, 1)
			after, _ := Choose(address(i), rest, 1)
			if before != list[gone].Node && before != after {
				t.Fatalf("%s moved from %s to %s although %s left", address(i), before, after, list[gone].Node)
			}
		}
	})
}

func TestWeightsAloneSpreadEvenly(t *testing.T) {
	const addresses, count = 9000, 9
	owned := map[lb.NodeName]int{}
	for i := range addresses {
		owner, _ := Choose(address(i), nodes(count), 1)
		owned[owner]++
	}
	for node, n := range owned {
		// The standard deviation is about 30: 150 is five of them.
		if want := addresses / count; n < want-150 || n > want+150 {
			t.Errorf("%s comes first for %d of %d addresses, want about %d", node, n, addresses, want)
		}
	}
}
