// Package links watches, by netlink, which network interfaces of this node
// addresses can be announced on.
package links

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/speaker"
)

// settle collects the events of a moment: an interface that comes up sends several.
const settle = 5 * time.Millisecond

// retry is how long to wait before subscribing again; a subscription that lasts twice as
// long as the bound was a success.
var retry = backoff.Exponential{First: time.Second, Last: 30 * time.Second}

// interrupted is how often a list that changed while it was read is read anew.
const interrupted = 10

// internalNames are how interfaces are called that lead to the node's own pods
// and containers, by CNI plugins and container engines. A bridge of Docker's is
// br- with twelve hexadecimal digits; br-ex, br-lan and their like are networks.
var internalNames = regexp.MustCompile(`^(cni|veth|docker|br-[0-9a-f]{12}$|virbr|flannel|cali|cilium|lxc|weave|kube-|nodelocaldns|antrea|ovn)`)

// portTypes are the types of links that have others as ports.
var portTypes = []string{"bridge", "bond", "team", "openvswitch", "hsr"}

// Watch calls tell with the links of this node, at first and after each
// change, until the context ends. After a failure it subscribes again. The link
// with the node's own address leads to a network, whatever its name.
func Watch(ctx context.Context, log logr.Logger, node netip.Addr, tell func([]speaker.Link)) {
	for failures := 1; ctx.Err() == nil; failures++ {
		began := time.Now()
		if err := watch(ctx, node, tell); err != nil && ctx.Err() == nil {
			log.Error(err, "watching the network interfaces; trying again")
		}
		if time.Since(began) > 2*retry.Last {
			failures = 1
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry.After(failures)):
		}
	}
}

func watch(ctx context.Context, node netip.Addr, tell func([]speaker.Link)) error {
	done := make(chan struct{})
	defer close(done)
	failed := make(chan error, 2)
	onError := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	updates := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{ErrorCallback: onError}); err != nil {
		return fmt.Errorf("subscribing to interface events: %w", err)
	}
	addresses := make(chan netlink.AddrUpdate, 64)
	if err := netlink.AddrSubscribeWithOptions(addresses, done, netlink.AddrSubscribeOptions{ErrorCallback: onError}); err != nil {
		return fmt.Errorf("subscribing to address events: %w", err)
	}
	for {
		list, err := List(node)
		again := errors.Is(err, netlink.ErrDumpInterrupted)
		if err != nil && !again {
			return err
		}
		if !again {
			tell(list)
		}
		if err := next(ctx, updates, addresses, failed, again); err != nil {
			return err
		}
	}
}

// next waits for a change and for it to settle. It waits only for the latter when the
// last list could not be read as a whole, which changes cause.
func next(ctx context.Context, updates <-chan netlink.LinkUpdate, addresses <-chan netlink.AddrUpdate, failed <-chan error, changing bool) error {
	var quiet <-chan time.Time
	if changing {
		quiet = time.After(settle)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return fmt.Errorf("receiving interface events: %w", err)
		case _, ok := <-updates:
			if !ok {
				return fmt.Errorf("receiving interface events: the subscription ended")
			}
		case _, ok := <-addresses:
			if !ok {
				return fmt.Errorf("receiving address events: the subscription ended")
			}
		case <-quiet:
			return nil
		}
		if quiet == nil {
			quiet = time.After(settle)
		}
	}
}

// List returns the links of this node, by name; see Watch about its address. The error
// is netlink.ErrDumpInterrupted if interfaces or addresses change faster than the kernel
// can list them: the list of before is the best there is.
func List(node netip.Addr) ([]speaker.Link, error) {
	all, err := whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing the network interfaces: %w", err)
	}
	// One list for all interfaces: kube-proxy's IPVS mode has thousands of addresses on one
	// of them, and the kernel lists all addresses also for those of a single interface.
	addresses, err := whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of the network interfaces: %w", err)
	}
	of := map[int][]netlink.Addr{}
	for _, a := range addresses {
		of[a.LinkIndex] = append(of[a.LinkIndex], a)
	}
	var links []speaker.Link
	for _, l := range all {
		if attrs := l.Attrs(); ethernetAndUp(attrs) && !isPort(attrs, all) {
			if link := newLink(attrs, of[attrs.Index], node); leadsToNetwork(&link) {
				links = append(links, link)
			}
		}
	}
	slices.SortFunc(links, func(x, y speaker.Link) int { return strings.Compare(x.Name, y.Name) })
	return links, nil
}

func newLink(attrs *netlink.LinkAttrs, addresses []netlink.Addr, node netip.Addr) speaker.Link {
	link := speaker.Link{
		Name: attrs.Name, Index: attrs.Index, Hardware: slices.Clone(attrs.HardwareAddr),
		Internal: internalNames.MatchString(attrs.Name) && !has(addresses, node),
	}
	speaksFrom(&link, addresses)
	return link
}

// leadsToNetwork is false for the many links to pods that have a link-local address each.
func leadsToNetwork(link *speaker.Link) bool {
	return link.IPv4 || link.LinkLocal.IsValid() && (!link.Internal || len(link.Prefixes) > 0)
}

// isPort says whether a link is a part of another one, which is the one to announce on. A
// VRF has its links as well, and they stay what they are.
func isPort(a *netlink.LinkAttrs, all []netlink.Link) bool {
	return a.MasterIndex != 0 && slices.ContainsFunc(all, func(l netlink.Link) bool {
		return l.Attrs().Index == a.MasterIndex && slices.Contains(portTypes, l.Type())
	})
}

// whole reads a list until nothing changed while it was read: the kernel
// interrupts the dump otherwise, and what it left out is not gone.
func whole[T any](read func() ([]T, error)) (list []T, err error) {
	for range interrupted {
		if list, err = read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

// unusable are the flags of an IPv6 address that cannot be spoken from (RFC 4862).
const unusable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED

// speaksFrom notes what a link's addresses are good for.
func speaksFrom(link *speaker.Link, addresses []netlink.Addr) {
	for _, a := range addresses {
		address, ok := netip.AddrFromSlice(a.IP)
		if address = address.Unmap(); !ok {
			continue
		}
		switch {
		case address.Is6() && address.IsLinkLocalUnicast() && a.Flags&unusable == 0:
			if !link.LinkLocal.IsValid() || address.Less(link.LinkLocal) {
				link.LinkLocal = address
			}
		case address.IsGlobalUnicast():
			link.IPv4 = link.IPv4 || address.Is4()
			ones, _ := a.Mask.Size()
			link.Prefixes = append(link.Prefixes, netip.PrefixFrom(address, ones).Masked())
		}
	}
	slices.SortFunc(link.Prefixes, netip.Prefix.Compare)
	link.Prefixes = slices.Compact(link.Prefixes)
}

func has(addresses []netlink.Addr, node netip.Addr) bool {
	return slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return a.IP.Equal(node.AsSlice()) })
}

// ethernetAndUp says whether frames can leave through a link: it has a carrier,
// not just the wish to be up (RFC 2863's operational status).
func ethernetAndUp(a *netlink.LinkAttrs) bool {
	up := a.OperState == netlink.OperUp || (a.OperState == netlink.OperUnknown && a.RawFlags&unix.IFF_RUNNING != 0)
	return a.EncapType == "ether" && len(a.HardwareAddr) == 6 && a.Flags&net.FlagUp != 0 && up
}
