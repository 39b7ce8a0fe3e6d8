// Package routes decides which routes this node announces to which BGP router, and with which
// attributes. It also explains why no node announces an address. It recomputes only what a change
// affects. It uses no Kubernetes types, sockets, clock or logger.
package routes

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
)

// Community is a standard community (RFC 1997): the ASN in the upper 16 bits, the value in the lower
// 16.
type Community uint32

// GracefulShutdown marks routes to which routers prefer any other route (RFC 8326).
const GracefulShutdown Community = 0xFFFF0000

// LargeCommunity is a large community (RFC 8092).
type LargeCommunity struct {
	Global, Local1, Local2 uint32
}

// OptionalNumber is a number that may be missing.
type OptionalNumber struct {
	Value uint32
	Set   bool
}

// Attributes are the path attributes of a route. They are shared: do not modify them.
type Attributes struct {
	// LocalPref is the LOCAL_PREF that internal routers get (RFC 4271 section 5.1.5).
	LocalPref OptionalNumber
	// MED is the MULTI_EXIT_DISC (RFC 4271 section 5.1.4).
	MED OptionalNumber
	// Prepend is how often our ASN is prepended to the AS_PATH that external routers get, 0 to 10. In
	// addition, the AS_PATH always has our ASN once.
	Prepend uint8
	// Communities and Large are the standard and the large communities, ordered and without duplicates.
	Communities []Community
	Large       []LargeCommunity
}

// Equal reports whether two sets of attributes are equal.
func (a Attributes) Equal(b Attributes) bool {
	return a.LocalPref == b.LocalPref && a.MED == b.MED && a.Prepend == b.Prepend &&
		slices.Equal(a.Communities, b.Communities) && slices.Equal(a.Large, b.Large)
}

// Advertisement defines which addresses are announced to which routers, and how. An empty one announces
// the addresses of all pools and Services, from all nodes to all peers, as single addresses.
type Advertisement struct {
	// Scope selects the pools, Services and nodes.
	eligibility.Scope
	// Peers that the advertisement announces to; empty: all peers.
	Peers []bgp.PeerName
	// Length and LengthV6 are the prefix lengths to which IPv4 and IPv6 addresses are aggregated, 1 to 32
	// and 1 to 128. 0 means single addresses.
	Length, LengthV6 uint8
	// Attributes of the routes.
	Attributes Attributes
}

// Table has the routes that a router should have from this node.
type Table map[netip.Prefix]*Attributes
