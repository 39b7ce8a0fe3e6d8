package layer2

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

var equate = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

func TestALinkIsUsedForAnAddress(t *testing.T) {
	subnet, other := netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("10.0.0.0/8")
	both := wire.Link{Name: "eth0", IPv4: true, IPv6: true, Prefixes: []netip.Prefix{other, subnet}}
	link := func(change func(*wire.Link)) wire.Link { l := both; change(&l); return l }
	internal := link(func(l *wire.Link) { l.Internal = true })
	tests := []struct {
		name      string
		link      wire.Link
		candidate ownership.Candidate
		address   string
		near      bool
		want      bool
	}{
		{name: "inside of its subnets, and other candidates have such links", link: both, near: true, address: "192.168.1.1", want: true},
		{name: "not outside of its subnets, if a candidate has a link inside", link: both, near: true, address: "172.16.0.1"},
		{name: "outside of its subnets, if an advertisement names the link, although a candidate has a link inside", link: both, near: true, candidate: ownership.Candidate{Interfaces: []string{"eth0"}}, address: "172.16.0.1", want: true},
		{name: "IPv4 on a link with both families", link: both, address: "192.168.1.1", want: true},
		{name: "IPv6 on a link with both families", link: both, address: "fd00::1", want: true},
		{name: "no IPv4 on a link without IPv4", link: link(func(l *wire.Link) { l.IPv4 = false }), address: "192.168.1.1"},
		{name: "no IPv6 on a link without IPv6", link: link(func(l *wire.Link) { l.IPv6 = false }), address: "fd00::1"},
		{name: "a link that an advertisement names", link: both, candidate: ownership.Candidate{Interfaces: []string{"a", "eth0"}}, address: "192.168.1.1", want: true},
		{name: "not a link that the advertisement does not name", link: both, candidate: ownership.Candidate{Interfaces: []string{"eth1"}}, address: "192.168.1.1"},
		{name: "not a link of pods", link: internal, address: "192.168.1.1"},
		{name: "a link of pods, if the advertisement names it", link: internal, candidate: ownership.Candidate{Interfaces: []string{"eth0"}}, address: "192.168.1.1", want: true},
		{name: "outside of its subnets", link: both, address: "172.16.0.1", want: true},
		{name: "inside of its subnets, as required", link: both, candidate: ownership.Candidate{RequireSubnet: true}, address: "192.168.1.1", want: true},
		{name: "not outside of its subnets, if a subnet is required", link: both, candidate: ownership.Candidate{RequireSubnet: true}, address: "172.16.0.1"},
		{name: "not a link without a subnet, if a subnet is required", link: link(func(l *wire.Link) { l.Prefixes = nil }), candidate: ownership.Candidate{RequireSubnet: true}, address: "192.168.1.1"},
		{name: "not a link that the advertisement does not name, in spite of its subnet", link: both, candidate: ownership.Candidate{Interfaces: []string{"eth1"}, RequireSubnet: true}, address: "192.168.1.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := netip.MustParseAddr(tt.address)
			if got := isUsable(&tt.link, &tt.candidate, address, tt.near); got != tt.want {
				t.Errorf("the link is used: got %t, want %t", got, tt.want)
			}
			// A node that has this link alone is able to announce the address if the link is used.
			never := wire.Link{Name: "none"}
			if got := canAnnounceFunc([]wire.Link{never, tt.link, never}, func(netip.Addr) bool { return tt.near })(&tt.candidate, address); got != tt.want {
				t.Errorf("the node is able: got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestANodeWithoutLinksIsNotAble(t *testing.T) {
	if canAnnounceFunc(nil, func(netip.Addr) bool { return false })(&ownership.Candidate{}, netip.MustParseAddr("192.168.1.1")) {
		t.Error("the node is able, want not")
	}
}

func TestInterfaces_AreTheUsedLinksInOrder(t *testing.T) {
	links := []wire.Link{{Name: "eth2", IPv4: true}, {Name: "eth1", IPv6: true}, {Name: "br0", IPv4: true, Internal: true}, {Name: "eth0", IPv4: true}}
	tests := []struct {
		name      string
		candidate ownership.Candidate
		address   string
		want      []string
	}{
		{name: "of one family", address: "192.168.1.1", want: []string{"eth0", "eth2"}},
		{name: "of the other", address: "fd00::1", want: []string{"eth1"}},
		{name: "that are named", candidate: ownership.Candidate{Interfaces: []string{"br0", "eth1", "eth2"}}, address: "192.168.1.1", want: []string{"br0", "eth2"}},
		{name: "none", candidate: ownership.Candidate{RequireSubnet: true}, address: "192.168.1.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, candidateInterfaces(links, &tt.candidate, netip.MustParseAddr(tt.address), false), equate); diff != "" {
				t.Errorf("interfaces (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheCounterpartOfALinkIsOnTheSameNetwork(t *testing.T) {
	net1, net2, net3 := netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd00::/64"), netip.MustParsePrefix("10.0.0.0/8")
	link := func(name string, last byte, prefixes ...netip.Prefix) wire.Link {
		return wire.Link{Name: name, Hardware: [6]byte{2, 0, 0, 0, 0, last}, Prefixes: prefixes}
	}
	tests := []struct {
		name   string
		own    wire.Link
		theirs []wire.Link
		want   net.HardwareAddr
	}{
		{name: "one subnet of several is the same", own: link("eth0", 1, net1, net2), theirs: []wire.Link{link("eth0", 2, net3), link("eth1", 3, net3, net2)}, want: net.HardwareAddr{2, 0, 0, 0, 0, 3}},
		{name: "without subnets, the name is the same", own: link("eth0", 1), theirs: []wire.Link{link("eth1", 2), link("eth0", 3)}, want: net.HardwareAddr{2, 0, 0, 0, 0, 3}},
		{name: "the name does not count when subnets differ", own: link("eth0", 1, net1), theirs: []wire.Link{link("eth0", 2, net3)}},
		{name: "the name does not count when only the own link has a subnet", own: link("eth0", 1, net1), theirs: []wire.Link{link("eth0", 2)}},
		{name: "the name does not count when only the other link has a subnet", own: link("eth0", 1), theirs: []wire.Link{link("eth0", 2, net1)}},
		{name: "there is no other link", own: link("eth0", 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := counterpart(&tt.own, tt.theirs)
			if diff := cmp.Diff(tt.want, got, equate); diff != "" || ok != (tt.want != nil) {
				t.Errorf("found: %t; hardware address (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func TestLinks_ArePublishedAsTheyAre(t *testing.T) {
	subnet := []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	got := wireLinks([]Link{
		{Name: "eth0", Index: 4, Hardware: mac, IPv4: true, Prefixes: subnet},
		{Name: "br0", Internal: true, LinkLocal: netip.MustParseAddr("fe80::1")},
	})
	want := []wire.Link{
		{Name: "eth0", Hardware: [6]byte(mac), IPv4: true, Prefixes: subnet},
		{Name: "br0", Internal: true, IPv6: true},
	}
	if diff := cmp.Diff(want, got, equate); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestALinkSpeaksAFamilyAndReachesItsSubnets(t *testing.T) {
	l := Link{IPv4: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/64")}}
	l6 := Link{LinkLocal: netip.MustParseAddr("fe80::1")}
	tests := []struct {
		name            string
		link            Link
		address         string
		speaks, reaches bool
	}{
		{name: "IPv4 in a subnet", link: l, address: "10.1.1.1", speaks: true, reaches: true},
		{name: "IPv4 elsewhere", link: l, address: "11.1.1.1", speaks: true},
		{name: "IPv6 in a subnet, without a link-local address", link: l, address: "fd00::1", reaches: true},
		{name: "IPv6 only", link: l6, address: "fd00::1", speaks: true},
		{name: "IPv4 on a link with IPv6 only", link: l6, address: "10.1.1.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := netip.MustParseAddr(tt.address)
			if speaks, reaches := tt.link.CanAnnounce(a), tt.link.HasSubnetOf(a); speaks != tt.speaks || reaches != tt.reaches {
				t.Errorf("speaks, reaches: got %t, %t, want %t, %t", speaks, reaches, tt.speaks, tt.reaches)
			}
		})
	}
}

func TestTwoWaysOfServingAreTheSame(t *testing.T) {
	on := func(names ...string) Serving { return Serving{Interfaces: names} }
	covers := func(name string, last byte) Serving {
		return Serving{Interfaces: []string{"eth0"}, For: map[string]net.HardwareAddr{name: {2, 0, 0, 0, 0, last}}}
	}
	tests := []struct {
		name string
		x, y Serving
		want bool
	}{
		{name: "on the same interfaces", x: on("eth0", "eth1"), y: on("eth0", "eth1"), want: true},
		{name: "not on more interfaces", x: on("eth0"), y: on("eth0", "eth1")},
		{name: "whether it is the first time or not", x: Serving{First: true}, y: Serving{}, want: true},
		{name: "for another node, with the same hardware address", x: covers("eth0", 1), y: covers("eth0", 1), want: true},
		{name: "not with two hardware addresses", x: covers("eth0", 1), y: covers("eth0", 2)},
		{name: "not on different interfaces", x: covers("eth0", 1), y: covers("eth1", 1)},
		{name: "not for another node and for itself", x: covers("eth0", 1), y: on("eth0")},
		{name: "not for itself and for another node", x: on("eth0"), y: covers("eth0", 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.x.IsSame(tt.y); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}
