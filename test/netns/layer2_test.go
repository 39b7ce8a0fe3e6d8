// Package netns tests the packets of the speaker against real kernels,
// in network namespaces of each test.
package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/test/eventually"
)

var vip = netip.MustParseAddr("192.168.1.240")

// hasNeighbour waits until the kernel of a host has a node's MAC for an address.
func (b *bed) hasNeighbour(host string, address netip.Addr, n *node, within time.Duration) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("%s knows %s at %s", host, address, n.link.Hardware), func(context.Context) error {
		if got := b.neighbour(host, address); !strings.Contains(got, n.link.Hardware.String()) {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
}

// sends has the kernel of a host send a packet, so that the kernel requests the
// address.
func (b *bed) sends(host string, address netip.Addr) {
	b.Helper()
	b.in(host, func() error {
		conn, err := net.Dial("udp", netip.AddrPortFrom(address, 9).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("where are you?"))
		return err
	})
}

func TestRequestsAreAnsweredForOwnedAddresses(t *testing.T) {
	b := newBed(t, "client", "node1")
	n := b.node("node1")
	b.ip("node1", "link", "set", "eth0", "promisc", "on")
	tests := []struct {
		name, target string
		options      []string
		owned, want  bool
	}{
		{name: "nothing is answered for before it is owned", target: "192.168.1.240"},
		{name: "a broadcast request is answered", target: "192.168.1.240", owned: true, want: true},
		{name: "a unicast request is answered", target: "192.168.1.240", options: []string{"-t", n.link.Hardware.String()}, owned: true, want: true},
		{name: "a request to another host is not, though the interface takes it in", target: "192.168.1.240", options: []string{"-t", "02:00:00:00:00:99"}, owned: true},
		{name: "other addresses are not answered for", target: "192.168.1.241", owned: true},
		{name: "nothing is answered for after it was let go", target: "192.168.1.240"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.owned {
				n.SetServed(own(vip))
			} else {
				n.SetServed(nil)
			}
			args := append([]string{"arping", "-c", "1", "-w", "1", "-i", "eth0"}, tt.options...)
			out, err := b.try("client", append(args, tt.target)...)
			if got := err == nil; got != tt.want {
				t.Errorf("answered: got %v, want %v\n%s", got, tt.want, out)
			}
			if tt.want && !strings.Contains(out, n.link.Hardware.String()) {
				t.Errorf("the answer does not have %s:\n%s", n.link.Hardware, out)
			}
		})
	}
}

func TestTakeOverReachesTheKernelsOfOthers(t *testing.T) {
	for _, address := range []netip.Addr{vip, vip6} {
		t.Run(address.String(), func(t *testing.T) {
			b := newBed(t, "client", "node1", "node2")
			one, two := b.node("node1"), b.node("node2")
			one.SetServed(own(address))
			// The client learns the hardware address when it has a packet to send.
			b.sends("client", address)
			b.hasNeighbour("client", address, one, 5*time.Second)
			// The client sends no request from now on, so that it learns from announcements alone.
			b.dropRequests("client")

			begin := time.Now()
			one.stop() // at once, as a process that dies
			two.SetServed(own(address))
			b.hasNeighbour("client", address, two, 5*time.Second)
			t.Logf("the client knew the new owner after %s", time.Since(begin).Round(time.Millisecond))
		})
	}
}

// dropRequests drops the requests for neighbours that a host sends.
func (b *bed) dropRequests(host string) {
	b.Helper()
	for _, line := range []string{
		"add table arp quiet", "add chain arp quiet out { type filter hook output priority 0; }", "add rule arp quiet out arp operation request drop",
		"add table ip6 quiet", "add chain ip6 quiet out { type filter hook output priority 0; }", "add rule ip6 quiet out icmpv6 type nd-neighbor-solicit drop",
	} {
		if out, err := b.try(host, "nft", line); err != nil {
			b.Fatalf("%s: %v: %s", line, err, out)
		}
	}
}

func TestGarbageDoesNotStopTheAnswers(t *testing.T) {
	b := newBed(t, "client", "node1")
	n := b.node("node1")
	n.SetServed(own(vip))
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	b.frames("client", 0x0806, func(net.HardwareAddr) [][]byte {
		target := []byte{192, 168, 1, 240}
		return [][]byte{
			{},                          // no packet at all
			{0, 1, 8, 0, 6, 4, 0, 1, 2}, // cut short
			{0, 1, 8, 0, 255, 255, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9},                             // lengths beyond the end
			{0, 1, 8, 0, 0, 0, 0, 1},                                                         // no addresses
			append(append([]byte{0, 9, 8, 0, 6, 4, 0, 1}, make([]byte, 16)...), target...),   // another hardware
			append(append([]byte{0, 1, 8, 0, 6, 4, 0, 255}, make([]byte, 16)...), target...), // another operation
		}
	}, everybody)
	if out, err := b.try("client", "arping", "-c", "1", "-w", "2", "-i", "eth0", vip.String()); err != nil {
		t.Errorf("no answer after garbage:\n%s", out)
	}
}

func TestOwnedAddressesAreAnnouncedWhenALinkComesBack(t *testing.T) {
	b := newBed(t, "client", "node1")
	n := b.node("node1")
	n.SetServed(own(vip, vip6))
	for _, address := range []netip.Addr{vip, vip6} {
		b.sends("client", address)
		b.hasNeighbour("client", address, n, 5*time.Second)
	}
	n.SetLinks(nil)
	for _, address := range []netip.Addr{vip, vip6} {
		b.ip("client", "neighbour", "replace", address.String(), "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "stale")
	}
	n.SetLinks([]layer2.Link{n.link})
	b.hasNeighbour("client", vip, n, 5*time.Second)
	b.hasNeighbour("client", vip6, n, 5*time.Second)
}
