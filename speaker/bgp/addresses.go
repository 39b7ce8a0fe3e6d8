package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/bgp"
)

const (
	// settle collects the events of a moment: an address that is added sends two.
	settle = 20 * time.Millisecond
	// interrupted is how often a list that changed while it was read is read again.
	interrupted = 10
)

// resubscribe is how long to wait before subscribing again after a failure.
var resubscribe = backoff.Exponential{First: time.Second, Last: 30 * time.Second}

// isUnstable reports whether an address is about to go, or not usable yet. The flag of temporary
// IPv6 addresses is the one that marks further IPv4 addresses of a subnet as secondary.
func isUnstable(address netip.Addr, flags int) bool {
	unstable := unix.IFA_F_DEPRECATED | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	if address.Is6() {
		unstable |= unix.IFA_F_TEMPORARY
	}
	return flags&unstable != 0
}

// WatchAddresses calls set with the addresses of the node after each change, until the
// context ends. After a failure it subscribes again.
func WatchAddresses(ctx context.Context, log logr.Logger, set func([]bgp.NodeAddress)) {
	for failures := 1; ctx.Err() == nil; failures++ {
		began := time.Now()
		if err := watchAddresses(ctx, set); err != nil && ctx.Err() == nil {
			log.Error(err, "watching the addresses of the node; trying again")
		}
		if time.Since(began) > 2*resubscribe.Last {
			failures = 1
		}
		select {
		case <-ctx.Done():
		case <-time.After(resubscribe.After(failures)):
		}
	}
}

func watchAddresses(ctx context.Context, set func([]bgp.NodeAddress)) error {
	done := make(chan struct{})
	defer close(done)
	failed := make(chan error, 1)
	updates := make(chan netlink.AddrUpdate, 64)
	err := netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{ErrorCallback: func(err error) {
		select {
		case failed <- err:
		default:
		}
	}})
	if err != nil {
		return fmt.Errorf("subscribing to address events: %w", err)
	}
	quiet := time.After(0) // what changed before the subscription
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return fmt.Errorf("receiving address events: %w", err)
		case _, ok := <-updates:
			if !ok {
				return errors.New("receiving address events: the subscription ended")
			}
			if quiet == nil {
				quiet = time.After(settle)
			}
		case <-quiet:
			quiet = nil
			list, err := nodeAddresses()
			switch {
			case errors.Is(err, netlink.ErrDumpInterrupted):
				quiet = time.After(settle) // what is known stays in use
			case err != nil:
				return err
			default:
				set(list)
			}
		}
	}
}

// nodeAddresses lists the addresses of the node.
func nodeAddresses() ([]bgp.NodeAddress, error) {
	all, err := whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of the node: %w", err)
	}
	links, err := whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces of the node: %w", err)
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	list := make([]bgp.NodeAddress, 0, len(all))
	for _, a := range all {
		address, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		address = address.Unmap()
		ones, _ := a.Mask.Size()
		list = append(list, bgp.NodeAddress{
			Prefix: netip.PrefixFrom(address, ones), Interface: names[a.LinkIndex],
			Unstable: isUnstable(address, a.Flags), Permanent: a.Flags&unix.IFA_F_PERMANENT != 0,
		})
	}
	return list, nil
}

// whole reads a list until nothing changed while it was read: the kernel interrupts the dump
// otherwise, and the addresses that it left out would lose their routes.
func whole[T any](read func() ([]T, error)) (list []T, err error) {
	for range interrupted {
		if list, err = read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

// outgoing returns the interface that leads to a router, and whether the router is on a network
// of that interface. Without a route to it the interface is the one that has the local address.
func outgoing(p bgp.Peer, router, local netip.Addr, addresses []bgp.NodeAddress) (device string, direct bool) {
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
			return a.Interface, !p.Multihop && !p.Internal()
		}
	}
	return "", false
}
