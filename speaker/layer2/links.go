package layer2

import (
	"net"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// wireLinks returns the links of this node in the form in which they are published.
func wireLinks(links []Link) []wire.Link {
	list := make([]wire.Link, 0, len(links))
	for _, l := range links {
		w := wire.Link{Name: l.Name, Internal: l.Internal, IPv4: l.IPv4, IPv6: l.LinkLocal.IsValid(), Prefixes: l.Prefixes}
		copy(w.Hardware[:], l.Hardware)
		list = append(list, w)
	}
	return list
}

// usableLinks returns the links of the node on which addresses can be announced. Families that cannot be
// announced on a link (UnservedLink) are left out.
func (in *inbox) usableLinks() (links []Link) {
	for _, l := range *in.links {
		for _, u := range in.unserved {
			switch {
			case u.Interface != l.Name:
			case u.IPv6:
				l.LinkLocal = netip.Addr{}
			default:
				l.IPv4 = false
			}
		}
		if l.IPv4 || l.LinkLocal.IsValid() {
			links = append(links, l)
		}
	}
	return links
}

// isUsable reports whether a candidate, if it owns an address, announces the address on one of its links. A
// link that leads only to pods is used only if the advertisement names it. If the parameter near is true and
// the advertisement names no links, only links in a subnet of the address are used: see subnetIndex.
func isUsable(l *wire.Link, c *ownership.Candidate, address netip.Addr, near bool) bool {
	switch {
	case !canAnnounce(l, address):
		return false
	case len(c.Interfaces) == 0 && l.Internal, len(c.Interfaces) > 0 && !slices.Contains(c.Interfaces, l.Name):
		return false
	}
	return !c.RequireSubnet && (!near || len(c.Interfaces) > 0) || isInPrefixes(l.Prefixes, address)
}

func canAnnounce(l *wire.Link, address netip.Addr) bool {
	return address.Is4() && l.IPv4 || address.Is6() && l.IPv6
}

func isInPrefixes(prefixes []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// canAnnounceFunc returns a function that reports whether a node with these links can announce an address.
func canAnnounceFunc(links []wire.Link, near func(netip.Addr) bool) func(*ownership.Candidate, netip.Addr) bool {
	return func(c *ownership.Candidate, address netip.Addr) bool {
		is := near(address)
		for i := range links {
			if isUsable(&links[i], c, address, is) {
				return true
			}
		}
		return false
	}
}

// candidateInterfaces returns the names of the links on which a candidate announces an address, sorted.
func candidateInterfaces(links []wire.Link, c *ownership.Candidate, address netip.Addr, near bool) []string {
	var names []string
	for i := range links {
		if isUsable(&links[i], c, address, near) {
			names = append(names, links[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

// counterpart returns the hardware address of a link of another node. That link is on the same network as the
// given link of this node: both are in one subnet, or neither has a subnet and they have the same name.
func counterpart(own *wire.Link, others []wire.Link) (net.HardwareAddr, bool) {
	for i := range others {
		for _, p := range others[i].Prefixes {
			if slices.Contains(own.Prefixes, p) {
				return others[i].Hardware[:], true
			}
		}
	}
	for i := range others {
		if len(own.Prefixes)+len(others[i].Prefixes) == 0 && others[i].Name == own.Name {
			return others[i].Hardware[:], true
		}
	}
	return nil, false
}
