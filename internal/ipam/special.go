package ipam

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// SpecialRanges returns the addresses that no Service can use: no host can have them, or
// routers do not forward to them.
func SpecialRanges() []TakenRange {
	var list []TakenRange
	for _, s := range []struct {
		prefix netip.Prefix
		by     string
	}{
		{netip.MustParsePrefix("0.0.0.0/8"), "this network (RFC 791)"},
		{netip.MustParsePrefix("127.0.0.0/8"), "loopback (RFC 1122)"},
		{netip.MustParsePrefix("169.254.0.0/16"), "link-local use (RFC 3927)"},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 5771)"},
		{netip.MustParsePrefix("240.0.0.0/4"), "no use yet, or broadcast (RFC 1112)"},
		{netip.MustParsePrefix("::/128"), "no host (RFC 4291)"},
		{netip.MustParsePrefix("::1/128"), "loopback (RFC 4291)"},
		{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4 mapped into IPv6 (RFC 4291)"},
		{netip.MustParsePrefix("fe80::/10"), "link-local use (RFC 4291)"},
		{netip.MustParsePrefix("ff00::/8"), "multicast (RFC 4291)"},
	} {
		list = append(list, TakenRange{Range: lb.RangeOf(s.prefix), By: s.by})
	}
	return list
}
