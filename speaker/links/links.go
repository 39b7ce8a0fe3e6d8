// Package links finds the network interfaces of this node on which addresses can be announced.
// speaker/netstate watches the interfaces.
package links

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/netstate"
)

// collectDelay is for how long events are collected: an interface that comes up causes several events.
const collectDelay = 5 * time.Millisecond

// portTypes are the types of links that have other links as their ports.
var portTypes = []string{"bridge", "bond", "team", "openvswitch", "hsr"}

// Watch calls report with the links of this node, at first and after each change, until the context ends. The
// parameter node is the address of this node: the link that has it counts as a link to a network, whatever
// its name is.
func Watch(ctx context.Context, log logr.Logger, node netip.Addr, report func([]layer2.Link)) {
	var before []layer2.Link
	first := true
	netstate.Watcher{Log: log, Settle: collectDelay, Look: func(s netstate.State) {
		if list := linksOf(s, node); first || !reflect.DeepEqual(list, before) {
			before, first = list, false
			report(list)
		}
	}}.Run(ctx)
}

// List returns the links of this node, sorted by name. The parameter node is the address of this node: see
// Watch.
func List(node netip.Addr) ([]layer2.Link, error) {
	state, err := netstate.Read()
	if err != nil {
		return nil, err
	}
	return linksOf(state, node), nil
}

// IsLocalAddress reports whether an interface of this node has an address.
func IsLocalAddress(address netip.Addr) (bool, error) {
	state, err := netstate.Read()
	if err != nil {
		return false, fmt.Errorf("looking for the interface that has %s: %w", address, err)
	}
	for _, list := range state.Addresses {
		if hasAddress(list, address) {
			return true, nil
		}
	}
	return false, nil
}

func linksOf(s netstate.State, node netip.Addr) (links []layer2.Link) {
	for _, l := range s.Links {
		if attrs := l.Attrs(); isEthernetUp(attrs) && !isPort(attrs, s.Links) {
			if link := newLink(l, s.Addresses[attrs.Index], node); canAnnounceOn(&link) {
				if l.Type() == "dummy" {
					link.Addresses = nil // these addresses are on no network
				}
				links = append(links, link)
			}
		}
	}
	slices.SortFunc(links, func(x, y layer2.Link) int { return strings.Compare(x.Name, y.Name) })
	return links
}

func newLink(l netlink.Link, addresses []netstate.Address, node netip.Addr) layer2.Link {
	attrs := l.Attrs()
	link := layer2.Link{Name: attrs.Name, Index: attrs.Index, Hardware: slices.Clone(attrs.HardwareAddr), MTU: attrs.MTU}
	setAddresses(&link, addresses)
	link.Internal = isInternal(l, link.Prefixes) && !hasAddress(addresses, node)
	return link
}

// canAnnounceOn reports whether a link has an address to send ARP or NDP from. A link to a pod does not count
// if the link has only a link-local address: a node has many such links.
func canAnnounceOn(link *layer2.Link) bool {
	return link.IPv4 || link.LinkLocal.IsValid() && (!link.Internal || len(link.Prefixes) > 0)
}

// isPort reports whether a link is a port of another link, such as a bridge: addresses are announced on the
// bridge, not on its ports. A link in a VRF is not a port.
func isPort(a *netlink.LinkAttrs, all []netlink.Link) bool {
	return a.MasterIndex != 0 && slices.ContainsFunc(all, func(l netlink.Link) bool {
		return l.Attrs().Index == a.MasterIndex && slices.Contains(portTypes, l.Type())
	})
}

// unusableFlags are the flags of an IPv6 address that cannot be a source address (RFC 4862).
const unusableFlags = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED

// setAddresses sets the fields of a link that follow from its addresses.
func setAddresses(link *layer2.Link, addresses []netstate.Address) {
	for _, a := range addresses {
		address := a.Prefix.Addr()
		switch {
		case address.Is6() && address.IsLinkLocalUnicast() && a.Flags&unusableFlags == 0:
			if !link.LinkLocal.IsValid() || address.Less(link.LinkLocal) {
				link.LinkLocal = address
			}
		case address.IsGlobalUnicast():
			link.IPv4 = link.IPv4 || address.Is4()
			link.Prefixes = append(link.Prefixes, a.Prefix.Masked())
			if a.Flags&unusableFlags == 0 {
				link.Addresses = append(link.Addresses, address)
			}
		}
	}
	slices.SortFunc(link.Prefixes, netip.Prefix.Compare)
	link.Prefixes = slices.Compact(link.Prefixes)
	slices.SortFunc(link.Addresses, netip.Addr.Compare)
	link.Addresses = slices.Compact(link.Addresses)
	link.Addresses = link.Addresses[:min(len(link.Addresses), layer2.MaxLinkAddresses)]
}

func hasAddress(addresses []netstate.Address, node netip.Addr) bool {
	return slices.ContainsFunc(addresses, func(a netstate.Address) bool { return a.Prefix.Addr() == node.Unmap() })
}

// isEthernetUp reports whether Ethernet frames can leave through a link: the link has a carrier, and is
// not only configured to be up (RFC 2863's operational status).
func isEthernetUp(a *netlink.LinkAttrs) bool {
	up := a.OperState == netlink.OperUp || (a.OperState == netlink.OperUnknown && a.RawFlags&unix.IFF_RUNNING != 0)
	return a.EncapType == "ether" && len(a.HardwareAddr) == 6 && a.Flags&net.FlagUp != 0 && up
}
