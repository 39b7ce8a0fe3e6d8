package links

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/speaker"
)

// Witnesses returns other hosts of a link that answer ARP or NDP while this node receives
// from the segment: gateways of routes first, then neighbours that the kernel has reached.
// It returns those that it could read; none means that nothing is known of the segment.
func Witnesses(link speaker.Link) []netip.Addr {
	var list []netip.Addr
	add := func(ip []byte) {
		address, ok := netip.AddrFromSlice(ip)
		if address = address.Unmap(); ok && !address.IsUnspecified() && !address.IsMulticast() && !slices.Contains(list, address) && link.Speaks(address) {
			list = append(list, address)
		}
	}
	filter := &netlink.Route{LinkIndex: link.Index}
	routes, _ := netlink.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_OIF)
	for _, r := range routes {
		add(r.Gw)
	}
	neighbours, _ := netlink.NeighList(link.Index, netlink.FAMILY_ALL)
	for _, n := range neighbours {
		if n.State&(unix.NUD_REACHABLE|unix.NUD_STALE|unix.NUD_DELAY|unix.NUD_PROBE) != 0 {
			add(n.IP)
		}
	}
	return list
}
