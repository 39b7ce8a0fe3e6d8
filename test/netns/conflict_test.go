package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/test/eventually"
)

// printer is the name of a host that is no node.
const printer = "printer"

// assign gives a host an address of its own.
func (b *bed) assign(host string, address netip.Addr) {
	b.Helper()
	b.ip(host, "address", "add", netip.PrefixFrom(address, address.BitLen()).String(), "dev", "eth0")
}

func (b *bed) unassign(host string, address netip.Addr) {
	b.Helper()
	b.ip(host, "address", "del", netip.PrefixFrom(address, address.BitLen()).String(), "dev", "eth0")
}

// first returns owned addresses that no node has announced before.
func first(addresses ...netip.Addr) map[netip.Addr]layer2.Serving {
	owned := map[netip.Addr]layer2.Serving{}
	for _, a := range addresses {
		owned[a] = layer2.Serving{Interfaces: []string{"eth0"}, First: true}
	}
	return owned
}

// reports waits until a node reports conflicts with a host about exactly these
// addresses.
func (n *node) reports(hardware net.HardwareAddr, announced bool, addresses ...netip.Addr) {
	n.bed.Helper()
	eventually.Succeed(n.bed.T, 5*time.Second, fmt.Sprintf("conflicts about %v are reported", addresses), func(context.Context) error {
		got := n.reported()
		if len(got) != len(addresses) {
			return fmt.Errorf("got %v", got)
		}
		for i, c := range got {
			if c.Address != addresses[i] || c.Hardware.String() != hardware.String() || c.Announced != announced || c.Interface != "eth0" {
				return fmt.Errorf("got %v", got)
			}
		}
		return nil
	})
}

func TestAddressOfAForeignHostIsHeldBackUntilThatHostLeaves(t *testing.T) {
	b := newBed(t, "client", "node1", printer)
	n := b.node("node1")
	foreign := b.link(printer).Hardware
	for _, address := range []netip.Addr{vip, vip6} {
		t.Run(address.String(), func(t *testing.T) {
			b.assign(printer, address)
			b.sends("client", address)
			n.SetServed(first(address))
			n.reports(foreign, false, address)
			eventually.Stays(t, 2*time.Second, "the client knows the printer", func(context.Context) error {
				if got := b.neighbour("client", address); !strings.Contains(got, foreign.String()) {
					return fmt.Errorf("it has %q", got)
				}
				return nil
			})
			b.unassign(printer, address)
			n.reports(nil, false)
			b.hasNeighbour("client", address, n, 5*time.Second)
		})
	}
}

// TestHostThatOnlyProbes_DoesNotHoldBackAnAddress sends the probes of switches that track devices,
// and of hosts that detect duplicates, at least once a second.
func TestHostThatOnlyProbes_DoesNotHoldBackAnAddress(t *testing.T) {
	for _, address := range []netip.Addr{vip, vip6} {
		t.Run(address.String(), func(t *testing.T) {
			b := newBed(t, "client", "node1", printer)
			n := b.node("node1")
			n.SetServed(first(address))
			eventually.Succeed(t, 20*time.Second, "the client knows the node", func(context.Context) error {
				if address.Is4() {
					b.frames(printer, 0x0806, func(own net.HardwareAddr) [][]byte { return [][]byte{arpProbe(address, own)} }, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
				} else {
					b.frames(printer, 0x86dd, func(net.HardwareAddr) [][]byte { return [][]byte{dadProbe(address)} }, net.HardwareAddr{0x33, 0x33, 0xff, 0, 0x02, 0x40})
				}
				b.sends("client", address)
				if got := b.neighbour("client", address); !strings.Contains(got, n.link.Hardware.String()) {
					return fmt.Errorf("it has %q", got)
				}
				return nil
			})
			if got := n.reported(); got != nil {
				t.Errorf("reported %v, want nothing: a probe is no use of the address", got)
			}
		})
	}
}

// dadProbe returns a solicitation from the unspecified address (RFC 4862 section 5.4.2).
func dadProbe(address netip.Addr) []byte {
	target := address.As16()
	group := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]})
	return icmpv6(netip.IPv6Unspecified(), group, append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target[:]...))
}

// arpProbe returns a request from 0.0.0.0 (RFC 5227 section 2.1.1).
func arpProbe(address netip.Addr, hardware net.HardwareAddr) []byte {
	asked := address.As4()
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, hardware...)
	b = append(b, make([]byte, 10)...) // no sender, no target hardware
	return append(b, asked[:]...)
}

func TestAForeignHostThatComesLaterIsReported(t *testing.T) {
	b := newBed(t, "client", "node1", printer)
	n := b.node("node1")
	foreign := b.link(printer).Hardware
	n.SetServed(own(vip, vip6))
	b.sends("client", vip)
	b.hasNeighbour("client", vip, n, 5*time.Second)
	b.sysctl(printer, "net.ipv6.conf.eth0.ndisc_notify", "1")
	b.assign(printer, vip)
	b.assign(printer, vip6)
	// A kernel sends requests with its own address as the source, and so claims that address.
	b.in(printer, func() error {
		dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: vip.AsSlice()}}
		conn, err := dialer.Dial("udp", "192.168.1.1:9")
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("from the wrong address"))
		return err
	})
	b.frames(printer, 0x86dd, func(own net.HardwareAddr) [][]byte { return [][]byte{advertisement(vip6, own)} }, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1})
	n.reports(foreign, true, vip, vip6)
	b.hasNeighbour("client", vip, n, 5*time.Second) // the node defends the address
	n.reports(nil, true)
}

// advertisement returns the packet of a host that has an address: IPv6 with the message of
// RFC 4861 section 4.4, to all nodes.
func advertisement(address netip.Addr, hardware net.HardwareAddr) []byte {
	target := address.As16()
	return icmpv6(address, netip.IPv6LinkLocalAllNodes(), append(append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, target[:]...), append([]byte{2, 1}, hardware...)...))
}

// icmpv6 puts the header of IPv6 before a message, and the checksum into it.
func icmpv6(from, to netip.Addr, icmp []byte) []byte {
	source, destination := from.As16(), to.As16()
	pseudo := append(append(append([]byte{}, source[:]...), destination[:]...), 0, 0, 0, byte(len(icmp)), 0, 0, 0, 58)
	var sum uint32
	for all := append(pseudo, icmp...); len(all) > 0; all = all[2:] {
		sum += uint32(all[0])<<8 | uint32(all[1])
	}
	sum = sum>>16 + sum&0xffff
	sum = ^(sum>>16 + sum&0xffff)
	icmp[2], icmp[3] = byte(sum>>8), byte(sum)
	ip := append([]byte{0x60, 0, 0, 0, 0, byte(len(icmp)), 58, 255}, source[:]...)
	return append(append(ip, destination[:]...), icmp...)
}

func TestANodeOfTheClusterIsNeverForeign(t *testing.T) {
	b := newBed(t, "client", "node1", "node2")
	one, two := b.node("node1"), b.node("node2")
	two.SetNodeHardware([]net.HardwareAddr{one.link.Hardware, two.link.Hardware})
	one.SetServed(own(vip, vip6))
	for _, address := range []netip.Addr{vip, vip6} {
		b.sends("client", address)
		b.hasNeighbour("client", address, one, 5*time.Second)
	}
	two.SetServed(first(vip, vip6)) // node2 probes, and node1 answers
	b.hasNeighbour("client", vip, two, 5*time.Second)
	b.hasNeighbour("client", vip6, two, 5*time.Second)
	if got := two.reported(); got != nil {
		t.Errorf("reported %v, want nothing", got)
	}
}

func TestCoveringNodeAnswersWithTheMACOfTheRestartingNode(t *testing.T) {
	b := newBed(t, "client", "node1", "node2")
	one, two := b.node("node1"), b.node("node2")
	covered := map[netip.Addr]layer2.Serving{}
	for _, address := range []netip.Addr{vip, vip6} {
		covered[address] = layer2.Serving{Interfaces: []string{"eth0"}, For: map[string]net.HardwareAddr{"eth0": one.link.Hardware}}
	}
	one.stop()
	two.SetServed(covered)
	for address, etherType := range map[netip.Addr]int{vip: 0x0806, vip6: 0x86dd} {
		sources := b.answers("client", etherType, one.link.Hardware)
		b.sends("client", address)
		b.hasNeighbour("client", address, one, 5*time.Second)
		select {
		case source := <-sources:
			if source.String() != two.link.Hardware.String() {
				t.Errorf("the answer for %s came from %s, want %s: switches must not look for node1 there", address, source, two.link.Hardware)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("no answer for %s was seen", address)
		}
	}
}

// answers returns the source of the first frame that has a hardware address as
// the last six bytes of the sender in ARP, or of the option in NDP.
func (b *bed) answers(host string, etherType int, mac net.HardwareAddr) <-chan net.HardwareAddr {
	b.Helper()
	var socket *packet.Conn
	b.in(host, func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err == nil {
			socket, err = packet.Listen(ifi, packet.Raw, etherType, nil)
		}
		return err
	})
	b.Cleanup(func() { _ = socket.Close() })
	found := make(chan net.HardwareAddr, 1)
	go func() {
		frame := make([]byte, 2048)
		for {
			n, _, err := socket.ReadFrom(frame)
			if err != nil {
				return
			}
			if n > 14 && strings.Contains(string(frame[14:n]), string(mac)) {
				found <- net.HardwareAddr(frame[6:12])
				return
			}
		}
	}()
	return found
}
