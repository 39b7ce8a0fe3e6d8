package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/test/eventually"
)

// answersAll has a host answer every request for any address with its own hardware
// address, probes included. A host whose kernel proxies answers
// requests in the same way.
func (b *bed) answersAll(host string) (stop func()) {
	b.Helper()
	var stops []func()
	for _, etherType := range []int{0x0806, 0x86dd} {
		var socket *packet.Conn
		var own net.HardwareAddr
		b.in(host, func() error {
			ifi, err := net.InterfaceByName("eth0")
			if err == nil {
				own = ifi.HardwareAddr
				socket, err = packet.Listen(ifi, packet.Raw, etherType, nil)
			}
			return err
		})
		go func() {
			frame := make([]byte, 2048)
			for {
				n, _, err := socket.ReadFrom(frame)
				if err != nil {
					return
				}
				if to, body := answerTo(frame[:n], own); body != nil {
					reply := slices.Concat(to, own, []byte{byte(etherType >> 8), byte(etherType)}, body)
					_, _ = socket.WriteTo(reply, &packet.Addr{HardwareAddr: to})
				}
			}
		}()
		stops = append(stops, func() { _ = socket.Close() })
	}
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	b.Cleanup(stop)
	return stop
}

// answerTo returns the answer of a host that has every address, and its receiver; nil: the frame
// requests no address, or the address of a host of the bed.
func answerTo(frame []byte, own net.HardwareAddr) (to net.HardwareAddr, body []byte) {
	isService := func(a netip.Addr) bool {
		return netip.MustParsePrefix("192.168.1.128/25").Contains(a) || netip.MustParsePrefix("2001:db8::200/120").Contains(a)
	}
	asker := net.HardwareAddr(slices.Clone(frame[6:12]))
	switch {
	case len(frame) >= 42 && frame[12] == 8 && frame[21] == 1: // a request (RFC 826)
		target := netip.AddrFrom4([4]byte(frame[38:42]))
		if !isService(target) {
			return nil, nil
		}
		reply := slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, 2}, own, frame[38:42], frame[22:32])
		return asker, reply
	case len(frame) >= 78 && frame[12] == 0x86 && frame[20] == 58 && frame[54] == 135: // a solicitation (RFC 4861)
		target := netip.AddrFrom16([16]byte(frame[62:78]))
		if !isService(target) {
			return nil, nil
		}
		return net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, advertisement(target, own)
	}
	return nil, nil
}

// TestHostThatAnswersForAllAddresses is about a hostile or proxying neighbour: addresses in use
// stay announced, and new addresses wait unless the administrator decides
// otherwise.
func TestHostThatAnswersForAllAddresses(t *testing.T) {
	b := newBed(t, "client", "node1", printer)
	n := b.node("node1")
	foreign := b.link(printer).Hardware
	owned := own(vip, vip6)
	n.SetServed(owned)
	for _, address := range []netip.Addr{vip, vip6} {
		b.sends("client", address)
		b.hasNeighbour("client", address, n, 5*time.Second)
	}
	b.dropRequests("client") // from here on the client learns from packets of others alone
	stop := b.answersAll(printer)
	var fresh []netip.Addr
	for i := range 20 {
		fresh = append(fresh, netip.AddrFrom4([4]byte{192, 168, 1, byte(200 + i)}))
	}
	for i := range 20 {
		fresh = append(fresh, netip.MustParseAddr(fmt.Sprintf("2001:db8::2%02x", 0x80+i)))
	}
	for _, address := range fresh {
		owned[address] = layer2.Serving{Interfaces: []string{"eth0"}, First: true}
	}
	n.SetServed(owned)
	n.conflictsWith(foreign, fresh, false)
	eventually.Stays(t, 2*time.Second, "addresses in use stay where they are, and others are not announced", func(context.Context) error {
		for _, address := range []netip.Addr{vip, vip6} {
			if got := b.neighbour("client", address); !strings.Contains(got, n.link.Hardware.String()) {
				return fmt.Errorf("the client has %q", got)
			}
		}
		return n.conflicting(foreign, fresh, false)
	})

	n.SetDetection(layer2.DetectionReportOnly)
	n.conflictsWith(foreign, fresh, true)
	b.announcedTo("client", fresh[0], n)

	stop()
	n.SetDetection(layer2.DetectionEnforce)
	n.reports(nil, true)
}

// conflicting returns an error unless conflicts with a host are reported about all addresses,
// each announced or not. A conflict about the address in use is always announced.
func (n *node) conflicting(hardware net.HardwareAddr, addresses []netip.Addr, announced bool) error {
	found := 0
	for _, c := range n.reported() {
		is := slices.Contains(addresses, c.Address)
		if is {
			found++
		}
		if c.Hardware.String() != hardware.String() || c.Announced != (announced || !is) {
			return fmt.Errorf("got %+v", c)
		}
	}
	if found < len(addresses) {
		return fmt.Errorf("conflicts about %d addresses of %d", found, len(addresses))
	}
	return nil
}

func (n *node) conflictsWith(hardware net.HardwareAddr, addresses []netip.Addr, announced bool) {
	n.bed.Helper()
	eventually.Succeed(n.bed.T, 5*time.Second, "conflicts are reported about all addresses", func(context.Context) error {
		return n.conflicting(hardware, addresses, announced)
	})
}

// announcedTo waits until a node announces an address that a host has in its neighbour table.
func (b *bed) announcedTo(host string, address netip.Addr, n *node) {
	b.Helper()
	b.ip(host, "neighbour", "replace", address.String(), "lladdr", "02:00:00:00:00:98", "dev", "eth0", "nud", "stale")
	n.Repeat(address)
	b.hasNeighbour(host, address, n, 5*time.Second)
}
