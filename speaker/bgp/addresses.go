package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/speaker/netstate"
)

// collectDelay is how long events are collected before the addresses are read again: one added address causes
// two events.
const collectDelay = 20 * time.Millisecond

// isUnstable reports whether an address is about to be removed (deprecated, temporary) or not usable
// yet (tentative, duplicate). IFA_F_TEMPORARY is checked for IPv6 only: on IPv4 addresses the same bit
// is IFA_F_SECONDARY, which marks further addresses of a subnet.
func isUnstable(address netip.Addr, flags int) bool {
	unstable := unix.IFA_F_DEPRECATED | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	if address.Is6() {
		unstable |= unix.IFA_F_TEMPORARY
	}
	return flags&unstable != 0
}

// WatchAddresses returns a function for Options.Watch, which reads the addresses from the kernel.
func WatchAddresses(log logr.Logger) func(context.Context, func([]bgp.NodeAddress)) {
	return func(ctx context.Context, set func([]bgp.NodeAddress)) {
		var before []bgp.NodeAddress
		netstate.Watcher{Log: log, Settle: collectDelay, Look: func(s netstate.State) {
			if list := addressesOf(s); before == nil || !slices.Equal(list, before) {
				before = list
				set(list)
			}
		}}.Run(ctx)
	}
}

// readNodeAddresses lists the addresses of the node.
func readNodeAddresses() ([]bgp.NodeAddress, error) {
	state, err := netstate.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the addresses of the node: %w", err)
	}
	return addressesOf(state), nil
}

func addressesOf(s netstate.State) []bgp.NodeAddress {
	list := []bgp.NodeAddress{}
	for _, l := range s.Links {
		for _, a := range s.Addresses[l.Attrs().Index] {
			list = append(list, bgp.NodeAddress{
				Prefix: a.Prefix, Interface: l.Attrs().Name,
				Unstable: isUnstable(a.Prefix.Addr(), a.Flags), Permanent: a.Flags&unix.IFA_F_PERMANENT != 0,
			})
		}
	}
	return list
}

// outgoingInterface returns the interface that leads to a router, and whether the router is on a network
// of that interface. Without a route to the router, the result is the interface that has the local
// address.
func outgoingInterface(p bgp.Peer, router, local netip.Addr, addresses []bgp.NodeAddress) (device string, direct bool) {
	if p.Interface != "" {
		return p.Interface, true
	}
	found, err := netlink.RouteGetWithOptions(router.AsSlice(), &netlink.RouteGetOptions{VrfName: p.VRF, SrcAddr: local.AsSlice()})
	if err == nil && len(found) > 0 {
		if link, err := netlink.LinkByIndex(found[0].LinkIndex); err == nil {
			return link.Attrs().Name, len(found[0].Gw) == 0 && found[0].Via == nil && found[0].Type != unix.RTN_LOCAL
		}
	}
	for _, a := range addresses {
		if a.Prefix.Addr() == local {
			return a.Interface, !p.Multihop && !p.IsInternal()
		}
	}
	return "", false
}
