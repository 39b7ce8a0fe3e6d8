// Package apiconv converts API objects to the types of the pure packages
// (ipam, eligibility, routes and others) and back. It is the only place that
// parses strings of API objects: the controller, the speaker and the kubectl
// plugin all use it, so that they read each field alike.
package apiconv

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lbstack/lbstack/internal/lb"
)

// ParseAddress parses an IPv4 or IPv6 address. It refuses addresses with a
// zone, which no Service can have. An IPv4 address mapped into IPv6 becomes
// IPv4.
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

// ParseRange parses an item of a pool's addresses: a CIDR, a range with a dash
// between its first and last address, or one address.
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
