package links

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/speaker/layer2"
)

// maxGateways bounds the gateways that are collected for a link: a routing daemon can install many routes.
const maxGateways = 64

// Witnesses returns addresses of other hosts on a link. An ARP or NDP answer of such a host shows that this
// node receives from the network segment of the link. Gateways of routes come first, then neighbours that the
// kernel has reached. Routes and neighbours that cannot be read are left out.
func Witnesses(link layer2.Link) []netip.Addr {
	var list []netip.Addr
	add := func(ip net.IP) {
		address, ok := netip.AddrFromSlice(ip)
		if address = address.Unmap(); ok && !address.IsUnspecified() && !address.IsMulticast() && !slices.Contains(list, address) && link.CanAnnounce(address) {
			list = append(list, address)
		}
	}
	// In a route with several paths each path has an interface, and the route itself has none.
	_ = netlink.RouteListFilteredIter(netlink.FAMILY_ALL, &netlink.Route{}, 0, func(r netlink.Route) bool {
		for _, path := range append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: r.LinkIndex, Gw: r.Gw, Via: r.Via}) {
			if path.LinkIndex != link.Index {
				continue
			}
			add(path.Gw)
			if via, is := path.Via.(*netlink.Via); is && via != nil {
				add(via.Addr)
			}
		}
		return len(list) < maxGateways
	})
	neighbours, _ := netlink.NeighList(link.Index, netlink.FAMILY_ALL)
	for _, n := range neighbours {
		if n.State&(unix.NUD_REACHABLE|unix.NUD_STALE|unix.NUD_DELAY|unix.NUD_PROBE) != 0 {
			add(n.IP)
		}
	}
	return list
}
