package routes

import (
	"net/netip"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestAggregate(t *testing.T) {
	span := func(prefix string) lb.Range { return lb.RangeOf(netip.MustParsePrefix(prefix)) }
	for _, tt := range []struct {
		name   string
		ad     Advertisement
		ranges []lb.Range
		want   string
	}{
		{"single addresses are none", Advertisement{}, []lb.Range{span("192.0.2.0/24"), span("2001:db8::/64")}, ""},
		{"the first prefix of the first range", Advertisement{Length: 26}, []lb.Range{span("192.0.2.64/26"), span("192.0.2.128/25")}, "192.0.2.64/26"},
		{"a length of one family alone", Advertisement{LengthV6: 64}, []lb.Range{span("192.0.2.0/24"), span("2001:db8::/63")}, "2001:db8::/64"},
		{"no ranges", Advertisement{Length: 24}, nil, ""},
	} {
		prefix, got := tt.ad.AggregatePrefix(tt.ranges)
		if got != (tt.want != "") || (got && prefix.String() != tt.want) {
			t.Errorf("%s: got %v, %s, want %q", tt.name, got, prefix, tt.want)
		}
	}
}

func TestOverhang(t *testing.T) {
	span := func(first, last string) lb.Range {
		return lb.Range{First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}
	}
	whole := span("192.0.2.0", "192.0.2.255")
	for _, tt := range []struct {
		name   string
		ad     Advertisement
		ranges []lb.Range
		want   string
	}{
		{"single addresses never do", Advertisement{}, []lb.Range{span("192.0.2.7", "192.0.2.9")}, ""},
		{"a prefix that is the pool", Advertisement{Length: 24}, []lb.Range{whole}, ""},
		{"a narrower one", Advertisement{Length: 26}, []lb.Range{whole}, ""},
		{"a wider one", Advertisement{Length: 23}, []lb.Range{whole}, "192.0.2.0/23"},
		{"a pool without its first address", Advertisement{Length: 24}, []lb.Range{span("192.0.2.1", "192.0.2.255")}, "192.0.2.0/24"},
		{"a pool without its last one", Advertisement{Length: 24}, []lb.Range{span("192.0.2.0", "192.0.2.254")}, "192.0.2.0/24"},
		{"halves that touch", Advertisement{Length: 24}, []lb.Range{span("192.0.2.128", "192.0.2.255"), span("192.0.2.0", "192.0.2.127")}, ""},
		{"halves that do not", Advertisement{Length: 24}, []lb.Range{span("192.0.2.0", "192.0.2.126"), span("192.0.2.128", "192.0.2.255")}, "192.0.2.0/24"},
		{"the other family is another length", Advertisement{Length: 24}, []lb.Range{span("2001:db8::", "2001:db8::1")}, ""},
		{"of IPv6", Advertisement{LengthV6: 64}, []lb.Range{whole, span("2001:db8::", "2001:db8::ffff")}, "2001:db8::/64"},
		{"all there is", Advertisement{LengthV6: 1}, []lb.Range{span("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}, ""},
		{"no pool", Advertisement{Length: 1}, nil, ""},
	} {
		prefix, got := tt.ad.OverhangingPrefix(tt.ranges)
		if got != (tt.want != "") || (got && prefix.String() != tt.want) {
			t.Errorf("%s: got %v, %s, want %q", tt.name, got, prefix, tt.want)
		}
	}
}
