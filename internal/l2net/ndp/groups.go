package ndp

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// maxGroupsPerSocket is how many groups one socket joins at most. The kernel bounds the memory for the
// options of a socket, its groups included (net.core.optmem_max, 20 KiB before Linux 6.8).
const maxGroupsPerSocket = 100

// groupMember is a socket that joins groups. Before a socket has joined the group of an address,
// solicitations for the address may not arrive. Joining opens the multicast filter of the interface,
// and announces the group to switches that do MLD snooping (RFC 3810).
type groupMember interface {
	Join(netip.Addr) error
	Leave(netip.Addr) error
	Close() error
}

// groupMemberships joins the solicited-node groups of addresses. Several addresses may share one group.
type groupMemberships struct {
	open    func() (groupMember, error)
	joined  map[netip.Addr]int // index of the member that joined a group
	members []groupMember
	load    []int // number of groups of each member
}

// set joins the groups of these addresses, and leaves all other groups. If leaving a group fails, the socket
// stays in the group: set does not try again. The first group that cannot be joined ends the call; the next
// call tries this group and the remaining groups again.
func (g *groupMemberships) set(addresses []netip.Addr) error {
	wanted := map[netip.Addr]bool{}
	for _, a := range addresses {
		wanted[SolicitedGroup(a)] = true
	}
	var failed error
	for group, i := range g.joined {
		if wanted[group] {
			continue
		}
		failed = errors.Join(failed, g.members[i].Leave(group))
		delete(g.joined, group)
		g.load[i]--
	}
	for _, group := range slices.SortedFunc(maps.Keys(wanted), netip.Addr.Compare) {
		if _, ok := g.joined[group]; ok {
			continue
		}
		if err := g.join(group); err != nil {
			return errors.Join(failed, err) // the other groups would fail for the same reason
		}
	}
	return failed
}

func (g *groupMemberships) join(group netip.Addr) error {
	i := slices.IndexFunc(g.load, func(n int) bool { return n < maxGroupsPerSocket })
	if i < 0 {
		m, err := g.open()
		if err != nil {
			return err
		}
		g.members, g.load = append(g.members, m), append(g.load, 0)
		i = len(g.members) - 1
	}
	if err := g.members[i].Join(group); err != nil {
		return err
	}
	g.joined[group] = i
	g.load[i]++
	return nil
}

func (g *groupMemberships) close() error {
	var failed error
	for _, m := range g.members {
		failed = errors.Join(failed, m.Close())
	}
	g.members, g.load = nil, nil
	clear(g.joined)
	return failed
}

// memberSocket is a UDP socket that joins groups. It is not bound to a port, and receives nothing.
type memberSocket struct {
	fd, index int
}

func openMember(index int) (groupMember, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a socket that joins multicast groups: %w", err)
	}
	return memberSocket{fd: fd, index: index}, nil
}

func (m memberSocket) Join(group netip.Addr) error {
	if err := unix.SetsockoptIPv6Mreq(m.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, m.groupRequest(group)); err != nil {
		return fmt.Errorf("joining the multicast group %s on the interface with the index %d: %w", group, m.index, err)
	}
	return nil
}

// Leave leaves a group. It is no error if the interface does not exist any more: then its memberships
// have already ended.
func (m memberSocket) Leave(group netip.Addr) error {
	err := unix.SetsockoptIPv6Mreq(m.fd, unix.IPPROTO_IPV6, unix.IPV6_LEAVE_GROUP, m.groupRequest(group))
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("leaving the multicast group %s on the interface with the index %d: %w", group, m.index, err)
	}
	return nil
}

func (m memberSocket) groupRequest(group netip.Addr) *unix.IPv6Mreq {
	return &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(m.index)}
}

func (m memberSocket) Close() error { return unix.Close(m.fd) }
