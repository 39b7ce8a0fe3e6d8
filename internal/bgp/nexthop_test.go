package bgp

import (
	"net/netip"
	"strings"
	"testing"
)

// node has these addresses: "eth0 2001:db8::1/64", with "temporary" (or any other word for
// unstable) or "learnt" behind it.
func node(texts ...string) (list []NodeAddress) {
	for _, text := range texts {
		words := strings.Fields(text)
		a := NodeAddress{Interface: words[0], Prefix: netip.MustParsePrefix(words[1]), Permanent: true}
		for _, word := range words[2:] {
			if word == "learnt" {
				a.Permanent = false
			} else {
				a.Unstable = true
			}
		}
		list = append(list, a)
	}
	return list
}

func addrs(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

func (n NextHop) String() string {
	var parts []string
	for _, a := range []netip.Addr{n.Address, n.LinkLocal} {
		if a.IsValid() {
			parts = append(parts, a.String())
		}
	}
	return strings.Join(parts, " ")
}

func TestNextHops(t *testing.T) {
	usual := node("lo 127.0.0.1/8", "lo ::1/128", "eth0 192.0.2.11/24", "eth0 2001:db8::11/64", "eth0 fe80::11/64", "eth1 198.51.100.11/24", "eth1 2001:db8:1::11/64", "eth1 fe80::12/64")
	direct := func(local string, addresses []NodeAddress, internal ...string) SessionPath {
		return SessionPath{Local: netip.MustParseAddr(local), Outgoing: "eth0", Direct: true, Addresses: addresses, Internal: addrs(internal...)}
	}
	over := func(s SessionPath) SessionPath { s.Direct = false; return s }
	unnumbered := func(s SessionPath) SessionPath { s.Unnumbered, s.ExtendedNextHop = true, true; return s }
	extended := func(s SessionPath) SessionPath { s.ExtendedNextHop = true; return s }
	for _, tt := range []struct {
		name       string
		path       SessionPath
		inUse      string // of IPv6
		ipv4, ipv6 string
	}{
		{"a direct session over IPv4", direct("192.0.2.11", usual), "", "192.0.2.11", "2001:db8::11 fe80::11"},
		{"a direct session over IPv6", direct("2001:db8::11", usual), "", "192.0.2.11", "2001:db8::11 fe80::11"},
		{"over several hops there is no link-local address", over(direct("192.0.2.11", usual)), "", "192.0.2.11", "2001:db8::11"},
		{"the InternalIP goes before a lower address", direct("192.0.2.11", node("eth0 192.0.2.11/24", "eth0 2001:db8::1/64", "eth0 2001:db8::11/64"), "192.0.2.11", "2001:db8::11"), "", "192.0.2.11", "2001:db8::11"},
		{"the InternalIP goes before what is in use", direct("192.0.2.11", node("eth0 192.0.2.11/24", "eth0 2001:db8::1/64", "eth0 2001:db8::11/64"), "2001:db8::11"), "2001:db8::1", "192.0.2.11", "2001:db8::11"},
		{"a direct router gets no InternalIP of another interface", direct("192.0.2.11", usual, "198.51.100.11", "2001:db8:1::11"), "", "192.0.2.11", "2001:db8::11 fe80::11"},
		{"a direct router gets it where the outgoing interface has none", direct("192.0.2.11", node("eth0 192.0.2.11/24", "eth0 fe80::11/64", "lo ::1/128", "lo 2001:db8:9::1/128"), "192.0.2.11", "2001:db8:9::1"), "", "192.0.2.11", "2001:db8:9::1"},
		{"and of IPv4 over IPv6", direct("2001:db8::11", node("eth0 2001:db8::11/64", "eth0 fe80::11/64", "dummy0 203.0.113.9/32"), "203.0.113.9"), "", "203.0.113.9", "2001:db8::11 fe80::11"},
		{"but not an unstable one", direct("192.0.2.11", node("eth0 192.0.2.11/24", "lo 2001:db8:9::1/128 deprecated"), "2001:db8:9::1"), "", "192.0.2.11", ""},
		{"nor an address there that is no InternalIP", direct("192.0.2.11", node("eth0 192.0.2.11/24", "lo 2001:db8:9::1/128"), "192.0.2.11"), "", "192.0.2.11", ""},
		{"nor a loopback address", direct("192.0.2.11", node("eth0 192.0.2.11/24", "lo ::1/128"), "::1"), "", "192.0.2.11", ""},
		{"the router takes IPv6 next hops for IPv4: they go before it", extended(direct("2001:db8::11", node("eth0 2001:db8::11/64", "lo 203.0.113.9/32"), "203.0.113.9")), "", "2001:db8::11", "2001:db8::11"},
		{"an unnumbered session uses its link-local address before it", unnumbered(direct("fe80::11%eth0", node("eth0 fe80::11/64", "lo 2001:db8:9::1/128"), "2001:db8:9::1")), "", "fe80::11", "fe80::11"},
		{"a router that is far away gets it", over(direct("192.0.2.11", usual, "198.51.100.11", "2001:db8:1::11")), "", "192.0.2.11", "2001:db8:1::11"},
		{"an InternalIP that the node does not have is not used", over(direct("192.0.2.11", usual, "2001:db8:9::9")), "", "192.0.2.11", "2001:db8::11"},
		{"from an address of the loopback interface", direct("203.0.113.9", append(node("lo 203.0.113.9/32"), usual...)), "", "203.0.113.9", "2001:db8::11 fe80::11"},
		{"never ::1", SessionPath{Local: netip.MustParseAddr("203.0.113.9"), Outgoing: "lo", Direct: true, Addresses: append(node("lo 203.0.113.9/32"), usual...)}, "", "203.0.113.9", ""},
		{"a router on the node itself gets no loopback address", SessionPath{Local: netip.MustParseAddr("127.0.0.1"), Outgoing: "lo", Addresses: usual, Internal: addrs("192.0.2.11")}, "", "192.0.2.11", ""},
		{"never a temporary address", direct("192.0.2.11", node("eth0 192.0.2.11/24", "eth0 2001:db8::1/64 temporary", "eth0 2001:db8::11/64 learnt")), "", "192.0.2.11", "2001:db8::11"},
		{"only unstable addresses are none", direct("192.0.2.11", node("eth0 192.0.2.11/24", "eth0 2001:db8::1/64 tentative", "eth0 2001:db8::2/64 deprecated", "eth0 fe80::11/64")), "", "192.0.2.11", ""},
		{"a session from a temporary address", direct("2001:db8::1", node("eth0 2001:db8::1/64 temporary", "eth0 2001:db8::11/64 learnt")), "", "", "2001:db8::11"},
		{"a session from a deprecated address, and there is no other", direct("2001:db8::1", node("eth0 2001:db8::1/64 deprecated")), "", "", "2001:db8::1"},
		{"a configured address goes before a learnt one", direct("192.0.2.11", node("eth0 2001:db8::1/64 learnt", "eth0 2001:db8::11/64")), "", "192.0.2.11", "2001:db8::11"},
		{"one with a network goes before one without", direct("192.0.2.11", node("eth0 2001:db8::1/128", "eth0 2001:db8::11/64")), "", "192.0.2.11", "2001:db8::11"},
		{"what is in use stays", direct("192.0.2.11", node("eth0 2001:db8::1/64", "eth0 2001:db8::11/64")), "2001:db8::11", "192.0.2.11", "2001:db8::11"},
		{"what is in use goes when it is deprecated", direct("192.0.2.11", node("eth0 2001:db8::1/64", "eth0 2001:db8::11/64 deprecated")), "2001:db8::11", "192.0.2.11", "2001:db8::1"},
		{"what is in use goes with its address", direct("192.0.2.11", node("eth0 2001:db8::1/64")), "2001:db8::11", "192.0.2.11", "2001:db8::1"},
		{"a link-local address is none", direct("192.0.2.11", node("eth0 192.0.2.11/24", "eth0 fe80::11/64")), "", "192.0.2.11", ""},
		{"an IPv4 link-local address is none", direct("2001:db8::11", node("eth0 169.254.0.7/16", "eth0 2001:db8::11/64")), "", "", "2001:db8::11"},
		{"a direct session over IPv4 link-local addresses", direct("169.254.0.7", node("eth0 169.254.0.7/16", "eth0 192.0.2.11/24")), "", "169.254.0.7", ""},
		{"a session over IPv4 link-local addresses and several hops", over(direct("169.254.0.7", node("eth0 169.254.0.7/16", "eth0 192.0.2.11/24"))), "", "192.0.2.11", ""},
		{"a router takes IPv6 next hops for IPv4", extended(direct("2001:db8::11", node("eth0 2001:db8::11/64", "eth0 fe80::11/64"))), "", "2001:db8::11 fe80::11", "2001:db8::11 fe80::11"},
		{"unnumbered, without a global address", unnumbered(direct("fe80::11%eth0", node("eth0 fe80::11/64"))), "", "fe80::11", "fe80::11"},
		{"unnumbered, with one", unnumbered(direct("fe80::11%eth0", node("eth0 fe80::11/64", "eth0 2001:db8::11/64"))), "", "fe80::11", "2001:db8::11 fe80::11"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var inUse NextHops
			if tt.inUse != "" {
				inUse.IPv6.Address = netip.MustParseAddr(tt.inUse)
			}
			n := tt.path.NextHops(inUse)
			if got := n.IPv4.String(); got != tt.ipv4 {
				t.Errorf("IPv4: got %q, want %q", got, tt.ipv4)
			}
			if got := n.IPv6.String(); got != tt.ipv6 {
				t.Errorf("IPv6: got %q, want %q", got, tt.ipv6)
			}
		})
	}
}
