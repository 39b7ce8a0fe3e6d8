package election

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func nodes(n int) []lb.NodeName {
	list := make([]lb.NodeName, n)
	for i := range list {
		list[i] = lb.NodeName(fmt.Sprintf("node%d", i+1))
	}
	return list
}

func TestOwnerIsFixed(t *testing.T) {
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
		if got, _ := Owner(netip.MustParseAddr(tt.address), nodes(3)); got != tt.want {
			t.Errorf("owner of %s: got %s, want %s", tt.address, got, tt.want)
		}
	}
	if owner, ok := Owner(address(1), nil); ok {
		t.Errorf("owner among nobody: got %s, want none", owner)
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := nodes(rapid.IntRange(1, 20).Draw(t, "nodes"))
		a := address(rapid.IntRange(0, 1<<20).Draw(t, "address"))
		want, _ := Owner(a, list)
		if got, _ := Owner(a, rapid.Permutation(list).Draw(t, "order")); got != want {
			t.Fatalf("owner of %s: got %s, want %s as in the other order", a, got, want)
		}
	})
}

func TestOnlyTheAddressesOfANodeThatLeftMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := nodes(rapid.IntRange(2, 12).Draw(t, "nodes"))
		gone := rapid.SampledFrom(list).Draw(t, "gone")
		rest := slices.DeleteFunc(slices.Clone(list), func(n lb.NodeName) bool { return n == gone })
		for i := range 50 {
			before, _ := Owner(address(i), list)
			after, _ := Owner(address(i), rest)
			if before != gone && before != after {
				t.Fatalf("%s moved from %s to %s although %s left", address(i), before, after, gone)
			}
		}
	})
}

func TestAddressesSpreadEvenly(t *testing.T) {
	const addresses, count = 9000, 9
	owned := map[lb.NodeName]int{}
	for i := range addresses {
		owner, _ := Owner(address(i), nodes(count))
		owned[owner]++
	}
	for node, n := range owned {
		// The standard deviation is about 30: 150 is five of them.
		if want := addresses / count; n < want-150 || n > want+150 {
			t.Errorf("%s owns %d of %d addresses, want about %d", node, n, addresses, want)
		}
	}
}

func BenchmarkOwner(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprintf("%d-nodes", n), func(b *testing.B) {
			list := nodes(n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				Owner(address(i), list)
			}
		})
	}
}
