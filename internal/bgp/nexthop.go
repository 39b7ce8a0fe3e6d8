package bgp

import (
	"cmp"
	"net/netip"
	"slices"
)

// NodeAddress is an address of the node, as its kernel reports it.
type NodeAddress struct {
	// Prefix is the address with the length of its network.
	Prefix netip.Prefix
	// Interface that has the address.
	Interface string
	// Unstable addresses are about to be removed, or are not usable yet: temporary addresses (RFC 8981),
	// and deprecated, tentative and duplicate addresses (RFC 4862).
	Unstable bool
	// Permanent addresses have no lifetime: they were configured by an administrator.
	Permanent bool
}

// NextHop is the next hop of the routes of a family. The zero value means that there is no next hop,
// and that no route of the family is announced.
type NextHop struct {
	// Address of this node. For IPv4 routes it may be an IPv6 address if the router supports that (RFC
	// 8950). It is link-local only if the session is unnumbered, or if it is an IPv4 address and the router
	// is on the same network.
	Address netip.Addr
	// LinkLocal is sent in addition to a global IPv6 address if the router is on the same network
	// (RFC 2545 section 3).
	LinkLocal netip.Addr
}

// NextHops are the next hops of both families.
type NextHops struct{ IPv4, IPv6 NextHop }

// SessionPath has everything that the next hops of a session depend on.
type SessionPath struct {
	// Local is the address of this node in the session.
	Local netip.Addr
	// Outgoing is the interface that leads to the router.
	Outgoing string
	// Direct: the router is on a network of the interface Outgoing.
	Direct bool
	// Unnumbered: the session runs between link-local addresses.
	Unnumbered bool
	// ExtendedNextHop: the router accepts IPv6 next hops for IPv4 routes.
	ExtendedNextHop bool
	// Addresses of the node.
	Addresses []NodeAddress
	// Internal are the InternalIPs of the Node object.
	Internal []netip.Addr
}

// NextHops returns the next hops of a session. The argument inUse has the present next hops. For the
// family of the session the next hop is the address of the session (see sessionFamilyNextHop), unless
// the router cannot reach this address, or the address is unstable and a stable one exists. In all
// other cases the next hop is the first of these that exists:
//   - The address of the session, for IPv4 routes of an unnumbered session with ExtendedNextHop.
//   - An InternalIP of the node. If the router is on a network of the outgoing interface (Direct), the
//     InternalIP must be on that interface: the router may not accept a next hop of another network (RFC
//     4271 section 5.1.3).
//   - A stable address of the outgoing interface. Of several, the address in use comes first. Then
//     configured addresses come before learnt ones, then addresses of a network before single addresses
//     (/32 or /128), which are often virtual addresses of other programs, and then lower addresses
//     before higher ones.
//   - The address of the session, for IPv6 routes of an unnumbered session.
//   - The IPv6 next hop, for IPv4 routes with ExtendedNextHop.
//   - An InternalIP on any interface of the node, such as a loopback or dummy interface. The router
//     needs a route to that address.
func (s SessionPath) NextHops(inUse NextHops) (n NextHops) {
	local := s.Local.WithZone("")
	var v4, v6 netip.Addr
	if local.Is4() {
		v4, v6 = s.sessionFamilyNextHop(local, inUse.IPv4.Address), s.interfaceNextHop(netip.Addr.Is6, inUse.IPv6.Address)
	} else {
		v4, v6 = s.interfaceNextHop(netip.Addr.Is4, inUse.IPv4.Address), s.sessionFamilyNextHop(local, inUse.IPv6.Address)
	}
	switch {
	case v6.IsValid():
		n.IPv6 = NextHop{Address: v6, LinkLocal: s.linkLocalNextHop(v6)}
	case s.Unnumbered:
		n.IPv6 = NextHop{Address: local}
	default:
		n.IPv6 = NextHop{Address: s.usableInternalIP(netip.Addr.Is6)}
	}
	switch {
	case s.Unnumbered && s.ExtendedNextHop:
		n.IPv4 = NextHop{Address: local}
	case v4.IsValid():
		n.IPv4 = NextHop{Address: v4}
	case s.ExtendedNextHop && n.IPv6.Address.IsValid():
		n.IPv4 = n.IPv6
	default:
		n.IPv4 = NextHop{Address: s.usableInternalIP(netip.Addr.Is4)}
	}
	return n
}

// usableInternalIP returns the first usable InternalIP of a family.
func (s SessionPath) usableInternalIP(family func(netip.Addr) bool) netip.Addr {
	for _, a := range s.Internal {
		if family(a) && s.isUsable(a) {
			return a
		}
	}
	return netip.Addr{}
}

// sessionFamilyNextHop returns the next hop for routes of the session's own family: the address of the
// session, unless this address is unstable and there is a stable one. A router on the same network also
// reaches an IPv4 link-local address.
func (s SessionPath) sessionFamilyNextHop(local, inUse netip.Addr) netip.Addr {
	reachable := isGlobal(local) || s.Direct && local.Is4() && local.IsLinkLocalUnicast()
	if i := s.addressIndex(local); reachable && (i < 0 || !s.Addresses[i].Unstable) {
		return local
	}
	family := netip.Addr.Is6
	if local.Is4() {
		family = netip.Addr.Is4
	}
	if stable := s.interfaceNextHop(family, inUse); stable.IsValid() || !reachable {
		return stable
	}
	return local // the router reaches this address as long as the session lasts
}

// interfaceNextHop returns the next hop of a family that is chosen without regard to the address of the
// session: an InternalIP, or a stable address of the interface Outgoing.
func (s SessionPath) interfaceNextHop(family func(netip.Addr) bool, inUse netip.Addr) netip.Addr {
	for _, a := range s.Internal {
		if family(a) && s.isUsable(a) && (!s.Direct || s.Addresses[s.addressIndex(a)].Interface == s.Outgoing) {
			return a
		}
	}
	var candidates []NodeAddress
	for _, a := range s.Addresses {
		address := a.Prefix.Addr()
		if !family(address) || a.Interface != s.Outgoing || !s.isUsable(address) {
			continue
		}
		if address == inUse {
			return inUse
		}
		candidates = append(candidates, a)
	}
	if len(candidates) == 0 {
		return netip.Addr{}
	}
	rank := func(bad bool) int {
		if bad {
			return 1
		}
		return 0
	}
	return slices.MinFunc(candidates, func(x, y NodeAddress) int {
		return cmp.Or(cmp.Compare(rank(!x.Permanent), rank(!y.Permanent)), cmp.Compare(rank(x.Prefix.IsSingleIP()), rank(y.Prefix.IsSingleIP())),
			x.Prefix.Addr().Compare(y.Prefix.Addr()))
	}).Prefix.Addr()
}

// linkLocalNextHop returns the link-local address to send in addition to a global next hop; invalid:
// none.
func (s SessionPath) linkLocalNextHop(beside netip.Addr) netip.Addr {
	if i := s.addressIndex(beside); !s.Direct || i < 0 || s.Addresses[i].Interface != s.Outgoing {
		return netip.Addr{}
	}
	if local := s.Local.WithZone(""); local.Is6() && local.IsLinkLocalUnicast() {
		return local
	}
	var lowest netip.Addr
	for _, a := range s.Addresses {
		address := a.Prefix.Addr()
		if address.Is6() && address.IsLinkLocalUnicast() && a.Interface == s.Outgoing && !a.Unstable && (!lowest.IsValid() || address.Less(lowest)) {
			lowest = address
		}
	}
	return lowest
}

// isUsable reports whether a is a stable global address of the node.
func (s SessionPath) isUsable(a netip.Addr) bool {
	i := s.addressIndex(a)
	return i >= 0 && !s.Addresses[i].Unstable && isGlobal(a)
}

// isGlobal reports whether hosts on other links can send packets to an address.
func isGlobal(a netip.Addr) bool { return a.IsGlobalUnicast() }

func (s SessionPath) addressIndex(a netip.Addr) int {
	return slices.IndexFunc(s.Addresses, func(n NodeAddress) bool { return n.Prefix.Addr() == a })
}
