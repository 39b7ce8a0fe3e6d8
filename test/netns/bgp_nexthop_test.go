package netns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// hasNextHop waits until FRR has a valid route with that next hop.
func hasNextHop(t *testing.T, r *router.Router, prefix, want string) {
	t.Helper()
	family := "ipv4"
	if netip.MustParsePrefix(prefix).Addr().Is6() {
		family = "ipv6"
	}
	eventually.Succeed(t, soon, fmt.Sprintf("the router has %s with the next hop %s", prefix, want), func(ctx context.Context) error {
		found, err := table(ctx, r, family)
		if err != nil {
			return err
		}
		paths := found[prefix]
		if len(paths) != 1 || !paths[0].Valid || !slices.ContainsFunc(paths[0].NextHops, func(h hop) bool { return h.IP == want }) {
			return fmt.Errorf("it has %+v", paths)
		}
		return nil
	})
}

func internalIPs(addresses ...string) func(*protocol.Config) {
	return func(c *protocol.Config) {
		c.InternalIPs = nil
		for _, a := range addresses {
			c.InternalIPs = append(c.InternalIPs, netip.MustParseAddr(a))
		}
	}
}

func TestBGPNextHops_SessionFromALoopbackAddress(t *testing.T) {
	b := newBed(t, "node", "router")
	b.ip("node", "address", "add", "10.99.0.1/32", "dev", "lo")
	b.ip("router", "route", "add", "10.99.0.1", "via", "192.168.1.1")
	r := b.frr("router", "neighbor 10.99.0.1 remote-as 64512\nneighbor 10.99.0.1 ebgp-multihop 2\nneighbor 10.99.0.1 passive", "10.99.0.1")
	s := b.speaker("node")
	c := toAll(plain(first4, first6), peer("frr", "192.168.1.2", dualStack, func(p *bgp.Peer) { p.Source, p.Multihop = netip.MustParseAddr("10.99.0.1"), true }))
	internalIPs("192.168.1.1", "2001:db8::1")(&c)
	s.set(c)
	s.establishes("frr")
	has(t, r, "ipv4", first4)
	hasNextHop(t, r, first6, "2001:db8::1")
	b.forwards(t, "router", "203.0.113.1", "via 192.168.1.1")
	s.becomes("frr", soon, "free of problems", func(st status) bool { return established(st) && st.Problem == bgp.Problem{} && st.Prefixes == 2 })
}

func TestBGPNextHops_SessionFromASecondaryAddress(t *testing.T) {
	b := newBed(t, "node", "router")
	b.ip("node", "address", "add", "192.168.1.77/24", "dev", "eth0")
	r := b.frr("router", "neighbor 192.168.1.77 remote-as 64512\nneighbor 192.168.1.77 passive", "192.168.1.77")
	s := b.speaker("node")
	s.set(toAll(plain(first4), peer("frr", "192.168.1.2", func(p *bgp.Peer) { p.Source = netip.MustParseAddr("192.168.1.77") })))
	s.establishes("frr")
	hasNextHop(t, r, first4, "192.168.1.77")
}

func TestBGPNextHops_FollowAddressesWithinTheSession(t *testing.T) {
	b := newBed(t, "node", "router")
	address := func(words ...string) { b.ip("node", append(append([]string{"address"}, words...), "dev", "eth0")...) }
	address("add", "2001:db8::99/64", "nodad")
	address("del", "2001:db8::1/64")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512", "192.168.1.1")
	s := b.speaker("node")
	s.set(toAll(plain(first4, first6), peer("frr", "192.168.1.2", dualStack)))
	s.establishes("frr")
	hasNextHop(t, r, first6, "2001:db8::99")

	address("add", "2001:db8::1/64", "nodad")
	address("del", "2001:db8::99/64")
	hasNextHop(t, r, first6, "2001:db8::1")

	missing := func(st status) bool {
		return established(st) && st.Problem.Reason == bgp.NoNextHop && strings.Contains(st.LastError, "no IPv6 address that the router could send packets to") && st.Prefixes == 1
	}
	address("change", "2001:db8::1/64", "preferred_lft", "0", "valid_lft", "forever")
	s.becomes("frr", soon, "without an IPv6 next hop, since its address is deprecated", missing)
	has(t, r, "ipv6")
	address("change", "2001:db8::1/64", "preferred_lft", "forever", "valid_lft", "forever")
	hasNextHop(t, r, first6, "2001:db8::1")
	address("del", "2001:db8::1/64")
	s.becomes("frr", soon, "without an IPv6 next hop, since its address is gone", missing)
	has(t, r, "ipv6")
	has(t, r, "ipv4", first4)

	address("add", "2001:db8::2:1/64", "nodad")
	address("add", "2001:db8::2:2/64", "nodad")
	hasNextHop(t, r, first6, "2001:db8::2:1")
	s.change(internalIPs("192.168.1.1", "2001:db8::2:2"))
	hasNextHop(t, r, first6, "2001:db8::2:2")

	n := saw(t, r, "192.168.1.1", "established", func(n bgpNeighbour) bool { return n.State == "Established" })
	if n.Established != 1 || n.Dropped != 0 {
		t.Errorf("the router has had %d sessions and lost %d, want one and none", n.Established, n.Dropped)
	}
}

// A node that routes to its host addresses has them on lo, and nothing but a link-local IPv6
// address towards the router.
func TestBGPNextHops_InternalIPOfALoopbackInterface(t *testing.T) {
	b := newBed(t, "node", "router")
	b.ip("node", "address", "del", "2001:db8::1/64", "dev", "eth0")
	b.ip("node", "address", "add", "fe80::99/64", "dev", "eth0", "nodad")
	r := b.frr("router", "neighbor 192.168.1.1 remote-as 64512\nneighbor 192.168.1.1 disable-connected-check", "192.168.1.1")
	s := b.speaker("node")
	c := toAll(plain(first4, first6), peer("frr", "192.168.1.2", dualStack))
	internalIPs("192.168.1.1", "2001:db8:9::1")(&c)
	s.set(c)
	s.establishes("frr")
	has(t, r, "ipv4", first4)
	s.becomes("frr", soon, "without an IPv6 next hop", func(st status) bool { return st.Problem.Reason == bgp.NoNextHop })
	b.ip("router", "-6", "route", "add", "2001:db8:9::1", "via", "fe80::99", "dev", "eth0")
	b.ip("node", "address", "add", "2001:db8:9::1/128", "dev", "lo")
	hasNextHop(t, r, first6, "2001:db8:9::1")
	s.becomes("frr", soon, "free of problems", func(st status) bool { return established(st) && st.Problem == bgp.Problem{} && st.Prefixes == 2 })
}
