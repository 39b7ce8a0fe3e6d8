package routes

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// OverhangingPrefix returns the first prefix that the advertisement would announce for an address in the
// ranges, and that also contains addresses outside of the ranges.
func (a *Advertisement) OverhangingPrefix(ranges []lb.Range) (netip.Prefix, bool) {
	for _, r := range lb.Union(ranges...) {
		// Union has joined adjacent ranges: only the prefixes at the ends of a range can overhang.
		for _, end := range []netip.Addr{r.First, r.Last} {
			prefix, _ := end.Prefix(a.prefixLength(r.Family())) // never fails: the length is valid for the family
			if all := lb.RangeOf(prefix); !r.Contains(all.First) || !r.Contains(all.Last) {
				return prefix, true
			}
		}
	}
	return netip.Prefix{}, false
}

// AggregatePrefix returns the first prefix with several addresses that the advertisement announces for
// addresses in the ranges; false: the advertisement announces single addresses.
func (a *Advertisement) AggregatePrefix(ranges []lb.Range) (netip.Prefix, bool) {
	for _, r := range ranges {
		if prefix, _ := r.First.Prefix(a.prefixLength(r.Family())); !prefix.IsSingleIP() { // never fails: the length is valid for the family
			return prefix, true
		}
	}
	return netip.Prefix{}, false
}

// SharesLength reports whether both advertisements announce addresses of the family as prefixes of the
// same length.
func (a *Advertisement) SharesLength(other *Advertisement, family lb.Family) bool {
	return a.prefixLength(family) == other.prefixLength(family)
}

// SharesPeer reports whether both advertisements are announced to some of the same peers.
func (a *Advertisement) SharesPeer(other *Advertisement) bool {
	return len(a.Peers) == 0 || len(other.Peers) == 0 ||
		slices.ContainsFunc(a.Peers, func(peer bgp.PeerName) bool { return slices.Contains(other.Peers, peer) })
}
