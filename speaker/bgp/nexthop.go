package bgp

import (
	"net"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/bgp/wire"
)

// addresses are those of the interface that a session runs over.
type addresses struct {
	name               string
	v4, v6, linkLocal6 netip.Addr
}

// around returns the addresses of the interface that has one.
func around(local netip.Addr) addresses {
	interfaces, err := net.Interfaces()
	if err != nil {
		return addresses{}
	}
	for i := range interfaces {
		list, err := interfaces[i].Addrs()
		if err != nil {
			continue
		}
		a, has := addresses{name: interfaces[i].Name}, false
		for _, address := range list {
			network, ok := address.(*net.IPNet)
			if !ok {
				continue
			}
			ip, _ := netip.AddrFromSlice(network.IP)
			ip = ip.Unmap()
			has = has || ip == local.WithZone("") && (local.Zone() == "" || local.Zone() == a.name)
			a.note(ip)
		}
		if has {
			return a
		}
	}
	return addresses{}
}

// connected says whether an address is in a network of an interface.
func connected(address netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(list, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		return ok && network.Contains(address.AsSlice())
	})
}

func (a *addresses) note(ip netip.Addr) {
	switch {
	case ip.Is4() && !a.v4.IsValid() && !ip.IsLinkLocalUnicast():
		a.v4 = ip
	case ip.Is6() && ip.IsLinkLocalUnicast() && !a.linkLocal6.IsValid():
		a.linkLocal6 = ip
	case ip.Is6() && !ip.IsLinkLocalUnicast() && !a.v6.IsValid():
		a.v6 = ip
	}
}

// nextHops returns where the router is to send packets: to the address that the session
// runs from, or to one of its interface of the other family.
func nextHops(local netip.Addr, n session.Negotiated, unnumbered bool) (v4, v6 wire.NextHop) {
	here := around(local)
	plain := local.WithZone("")
	if local.Is4() {
		v4.Address = plain
		if here.v6.IsValid() {
			v6 = wire.NextHop{Address: here.v6, LinkLocal: here.linkLocal6}
		}
		return v4, v6
	}
	v6.Address = plain
	switch {
	case !local.IsLinkLocalUnicast():
		v6.LinkLocal = here.linkLocal6
	case here.v6.IsValid():
		v6 = wire.NextHop{Address: here.v6, LinkLocal: plain}
	}
	switch {
	case unnumbered && n.ExtendedNextHop:
		v4 = wire.NextHop{Address: plain}
	case here.v4.IsValid():
		v4.Address = here.v4
	case n.ExtendedNextHop:
		v4 = v6
	}
	return v4, v6
}
