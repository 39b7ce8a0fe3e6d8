// Package apiconv converts API objects to the types of the pure packages, such as ipam, eligibility and routes,
// and back. No other package parses strings of API objects. The controller, the speaker and the kubectl plugin
// use it, so that all of them read a field in the same way.
package apiconv

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lbstack/lbstack/internal/lb"
)

// ParseAddress parses an IPv4 or IPv6 address. It refuses an address with a zone, which no Service can have. It
// turns an IPv4 address that is mapped into IPv6 into an IPv4 address.
func ParseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	}
	if a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q: an address with a zone cannot be given out", s)
	}
	return a.Unmap(), nil
}

// ParseRange parses an item of spec.addresses of a pool: a CIDR, a first and a last address with a dash between
// them, or one address.
func ParseRange(s string) (lb.Range, error) {
	if first, last, ok := strings.Cut(s, "-"); ok {
		from, err := ParseAddress(first)
		if err != nil {
			return lb.Range{}, fmt.Errorf("range %q: %w", s, err)
		}
		to, err := ParseAddress(last)
		if err != nil {
			return lb.Range{}, fmt.Errorf("range %q: %w", s, err)
		}
		return lb.NewRange(from, to)
	}
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(strings.TrimSpace(s))
		if err != nil || p.Addr().Is4In6() {
			return lb.Range{}, fmt.Errorf("%q is not a CIDR", s)
		}
		return lb.RangeOf(p), nil
	}
	a, err := ParseAddress(s)
	if err != nil {
		return lb.Range{}, err
	}
	return lb.NewRange(a, a)
}
