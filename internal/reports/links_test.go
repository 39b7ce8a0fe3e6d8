package reports_test

import (
	"net/netip"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/reports"
)

func TestWhyNoLinkCanAnnounceAnAddress(t *testing.T) {
	both := []lb.Family{lb.IPv4, lb.IPv6}
	eth0 := reports.Link{Name: "eth0", Families: both, Subnets: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("2001:db8::/64")}}
	eth1 := reports.Link{Name: "eth1", Families: both[:1], Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	bare := reports.Link{Name: "eth2", Families: both[1:]}
	tests := []struct {
		name      string
		links     []reports.Link
		candidate ownership.Candidate
		address   string
		near      bool
		want      string
	}{
		{"another candidate has an interface in a subnet", []reports.Link{eth1}, ownership.Candidate{}, "192.168.1.9", true,
			"has no interface in a subnet of 192.168.1.9, only eth1 (10.0.0.0/8)"},
		{"so has this one", []reports.Link{eth1, eth0}, ownership.Candidate{}, "192.168.1.9", true, ""},
		{"another candidate has one, and an advertisement names others", []reports.Link{eth1}, ownership.Candidate{Interfaces: []string{"eth1"}}, "192.168.1.9", true, ""},
		{"any link will do", []reports.Link{eth0}, ownership.Candidate{}, "203.0.113.1", false, ""},
		{"no link at all", nil, ownership.Candidate{}, "203.0.113.1", false, "has no interface to announce on"},
		{"an interface that does not exist", []reports.Link{eth0}, ownership.Candidate{Interfaces: []string{"eth7"}}, "203.0.113.1", false,
			"has no interface eth7 to announce on, only eth0 (192.168.1.0/24 2001:db8::/64)"},
		{"one of the named interfaces exists", []reports.Link{eth0}, ownership.Candidate{Interfaces: []string{"eth0", "eth7"}}, "203.0.113.1", false, ""},
		{"an interface without an address of the family", []reports.Link{eth0, bare}, ownership.Candidate{Interfaces: []string{"eth2"}}, "203.0.113.1", false, "has no IPv4 address on eth2"},
		{"an interface without an IPv6 address", []reports.Link{eth1}, ownership.Candidate{}, "2001:db8::5", false, "has no IPv6 link-local address on eth1 (10.0.0.0/8)"},
		{"a subnet is required and there", []reports.Link{eth1, eth0}, ownership.Candidate{RequireSubnet: true}, "192.168.1.9", false, ""},
		{"a subnet is required and missing", []reports.Link{eth1, eth0}, ownership.Candidate{RequireSubnet: true}, "192.168.77.1", false,
			"has no interface in a subnet of 192.168.77.1, only eth1 (10.0.0.0/8), eth0 (192.168.1.0/24 2001:db8::/64)"},
		{"a subnet is required, on an interface that has another one", []reports.Link{eth1, eth0}, ownership.Candidate{RequireSubnet: true, Interfaces: []string{"eth1"}}, "192.168.1.9", false,
			"has no interface in a subnet of 192.168.1.9, only eth1 (10.0.0.0/8)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := reports.Report{Links: tt.links}
			if got := r.WhyUnable(&tt.candidate, netip.MustParseAddr(tt.address), tt.near); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if r.LinksBounded = true; r.WhyUnable(&tt.candidate, netip.MustParseAddr(tt.address), tt.near) != "" {
				t.Error("not all links are listed: got a reason, want none")
			}
		})
	}
}
