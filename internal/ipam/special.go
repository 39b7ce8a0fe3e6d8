package ipam

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// SpecialRanges returns the addresses that no Service can use, because no host can have them or because
// routers do not forward packets to them.
func SpecialRanges() []TakenRange {
	var list []TakenRange
	for _, s := range []struct {
		prefix netip.Prefix
		by     string
	}{
		{netip.MustParsePrefix("0.0.0.0/8"), "the range 0.0.0.0/8 for \"this network\" (RFC 791)"},
		{netip.MustParsePrefix("127.0.0.0/8"), "the loopback range (RFC 1122)"},
		{netip.MustParsePrefix("169.254.0.0/16"), "the link-local range (RFC 3927)"},
		{netip.MustParsePrefix("224.0.0.0/4"), "the multicast range (RFC 5771)"},
		{netip.MustParsePrefix("240.0.0.0/4"), "the reserved range with the broadcast address (RFC 1112)"},
		{netip.MustParsePrefix("::/128"), "no host (RFC 4291)"},
		{netip.MustParsePrefix("::1/128"), "the loopback range (RFC 4291)"},
		{netip.MustParsePrefix("::ffff:0:0/96"), "the range of IPv4 addresses mapped into IPv6 (RFC 4291)"},
		{netip.MustParsePrefix("fe80::/10"), "the link-local range (RFC 4291)"},
		{netip.MustParsePrefix("ff00::/8"), "the multicast range (RFC 4291)"},
	} {
		list = append(list, TakenRange{Range: lb.RangeOf(s.prefix), By: s.by})
	}
	return list
}
