package bgp

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestRouterIDOf_NamesGiveUnicastAddresses(t *testing.T) {
	v6 := netip.MustParseAddr("2001:db8::1")
	seen := map[netip.Addr]string{}
	const nodes = 100000
	for i := range nodes {
		name := fmt.Sprintf("node-%d.rack-%d.example.org", i, i%40)
		id := RouterIDOf(name, v6)
		if first := id.As4()[0]; !id.Is4() || first == 0 || first == 127 || first >= 224 {
			t.Fatalf("RouterIDOf(%q): got %s, want a unicast address", name, id)
		}
		if again := RouterIDOf(name, v6); again != id {
			t.Fatalf("RouterIDOf(%q): got %s and then %s, want the same", name, id, again)
		}
		seen[id] = name
	}
	// 100000 of 3.7e9 numbers: about one pair is the same by chance.
	if len(seen) < nodes-20 {
		t.Errorf("got %d different identifiers for %d names", len(seen), nodes)
	}
}

func TestRouterIDOf_IPv4AddressIsTheIdentifier(t *testing.T) {
	if got, want := RouterIDOf("n1", netip.MustParseAddr("192.0.2.7")), netip.MustParseAddr("192.0.2.7"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
