package ndp

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

// network counts who has joined a group, as the kernel does.
type network struct {
	members map[netip.Addr]int
	sockets int
	left    int
	full    bool
}

type plug struct {
	*network
	joined map[netip.Addr]bool
}

func (n *network) open() (groupMember, error) {
	n.sockets++
	return &plug{network: n, joined: map[netip.Addr]bool{}}, nil
}

func (p *plug) Join(group netip.Addr) error {
	if p.full || len(p.joined) == maxGroupsPerSocket || p.joined[group] {
		return errors.New("no buffer space available")
	}
	p.joined[group] = true
	p.members[group]++
	return nil
}

func (p *plug) Leave(group netip.Addr) error {
	if !p.joined[group] {
		return fmt.Errorf("%s was not joined here", group)
	}
	delete(p.joined, group)
	p.left++
	if p.members[group]--; p.members[group] == 0 {
		delete(p.members, group)
	}
	return nil
}

func (p *plug) Close() error {
	for group := range p.joined {
		_ = p.Leave(group)
	}
	return nil
}

func many(n int) []netip.Addr {
	var list []netip.Addr
	for i := range n {
		list = append(list, netip.AddrFrom16([16]byte{0x20, 1, 14: byte(i >> 8), 15: byte(i)}))
	}
	return list
}

func TestGroupsAreThoseOfTheAddresses(t *testing.T) {
	n := &network{members: map[netip.Addr]int{}}
	g := groupMemberships{open: n.open, joined: map[netip.Addr]int{}}
	twin := netip.MustParseAddr("2001:db8:1::240") // in the group of vip
	set := func(want, sockets int, addresses ...netip.Addr) {
		t.Helper()
		if err := g.set(addresses); err != nil {
			t.Fatal(err)
		}
		if len(n.members) != want || n.sockets != sockets {
			t.Errorf("%d groups in %d sockets, want %d in %d", len(n.members), n.sockets, want, sockets)
		}
	}
	set(0, 0)
	set(1, 1, vip)
	set(1, 1, vip, twin)
	set(1, 1, twin)
	if n.members[groupOfVIP] != 1 || n.left != 0 {
		t.Errorf("the group was left %d times with an address still in it", n.left)
	}
	set(0, 1)
	set(250, 3, many(250)...)
	set(10, 3, many(10)...)
	set(250, 3, many(250)...) // places that became free are taken again
	n.full = true
	if err := g.set(many(260)); err == nil {
		t.Error("a group that could not be joined: got no error, want one")
	}
	n.full = false
	set(260, 3, many(260)...) // and it is tried again
	if err := g.close(); err != nil || len(n.members) != 0 {
		t.Errorf("closing: %v, %d groups stay", err, len(n.members))
	}
}
