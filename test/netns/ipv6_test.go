package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"

	"github.com/lbstack/lbstack/test/eventually"
)

var vip6 = netip.MustParseAddr("2001:db8::240")

// state waits until the neighbour entry of an address on a host is in a state.
func (b *bed) state(host string, address netip.Addr, state string, within time.Duration) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("the entry of %s for %s is %s", host, address, state), func(context.Context) error {
		if got := b.neighbour(host, address); !strings.Contains(got, state) {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// solicit sends a solicitation for an address from a host with its own socket, and
// returns the hardware address in the answer; none without an answer.
func (b *bed) solicit(host string, target netip.Addr) (mac net.HardwareAddr) {
	b.Helper()
	b.in(host, func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		conn, _, err := ndp.Listen(ifi, ndp.LinkLocal)
		if err != nil {
			return err
		}
		defer conn.Close()
		group, err := ndp.SolicitedNodeMulticast(target)
		if err != nil {
			return err
		}
		if err := conn.WriteTo(&ndp.NeighborSolicitation{TargetAddress: target, Options: []ndp.Option{
			&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: ifi.HardwareAddr},
		}}, nil, group); err != nil {
			return err
		}
		mac, err = answerAbout(conn, target)
		return err
	})
	return mac
}

func answerAbout(conn *ndp.Conn, target netip.Addr) (net.HardwareAddr, error) {
	if err := conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		return nil, err
	}
	for {
		m, _, _, err := conn.ReadFrom()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		na, ok := m.(*ndp.NeighborAdvertisement)
		if ok && na.TargetAddress == target && na.Solicited && na.Override && !na.Router && len(na.Options) == 1 {
			return na.Options[0].(*ndp.LinkLayerAddress).Addr, nil
		}
	}
}

func TestSolicitationsAreAnsweredForOwnedAddresses(t *testing.T) {
	b := newBed(t, "client", "node1")
	n := b.node("node1")
	tests := []struct {
		name, target string
		owned, want  bool
	}{
		{name: "nothing is answered for before it is owned", target: "2001:db8::240"},
		{name: "a solicitation is answered", target: "2001:db8::240", owned: true, want: true},
		{name: "other addresses are not answered for", target: "2001:db8::241", owned: true},
		{name: "one of the same group is not either", target: "2001:db8:0:1::240", owned: true},
		{name: "nothing is answered for after it was let go", target: "2001:db8::240"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := ""
			if tt.owned {
				n.SetServed(own(vip6))
			} else {
				n.SetServed(nil)
			}
			if tt.want {
				want = n.link.Hardware.String()
			}
			if got := b.solicit("client", netip.MustParseAddr(tt.target)).String(); got != want {
				t.Errorf("hardware address: got %q, want %q", got, want)
			}
		})
	}
}

func TestNdisc6FindsOwnedAddresses(t *testing.T) {
	b := newBed(t, "client", "node1")
	n := b.node("node1")
	n.SetServed(own(vip6))
	out, err := b.try("client", "ndisc6", "-1", "-r", "3", "-w", "1000", vip6.String(), "eth0")
	if err != nil || !strings.Contains(strings.ToLower(out), n.link.Hardware.String()) {
		t.Errorf("got %v, want the MAC %s:\n%s", err, n.link.Hardware, out)
	}
	if out, err := b.try("client", "ndisc6", "-1", "-r", "1", "-w", "500", "2001:db8::241", "eth0"); err == nil {
		t.Errorf("somebody answers for what is not owned:\n%s", out)
	}
}

func TestNeighboursThatAskAgainStayReachable(t *testing.T) {
	b := newBed(t, "client", "node1")
	n := b.node("node1")
	n.SetServed(own(vip, vip6))
	for _, address := range []netip.Addr{vip, vip6} {
		b.sends("client", address)
		b.hasNeighbour("client", address, n, 5*time.Second)
		b.state("client", address, "REACHABLE", 5*time.Second)
		// The kernel probes the known neighbour by unicast (RFC 4861 section 7.3.3), and
		// gives up after three seconds without an answer.
		b.ip("client", "neighbour", "change", address.String(), "dev", "eth0", "lladdr", n.link.Hardware.String(), "nud", "probe")
		b.state("client", address, "REACHABLE", 2500*time.Millisecond)
	}
}

func TestHostThatConfiguresAnOwnedAddressFindsADuplicate(t *testing.T) {
	b := newBed(t, "client", "node1")
	n := b.node("node1")
	n.SetServed(own(vip6))
	b.sysctl("client", "net.ipv6.conf.eth0.accept_dad", "1")
	b.ip("client", "address", "add", vip6.String()+"/64", "dev", "eth0")
	eventually.Succeed(t, 5*time.Second, "the client finds that the address is in use", func(context.Context) error {
		if got := b.ip("client", "address", "show", "dev", "eth0"); !strings.Contains(got, "dadfailed") {
			return fmt.Errorf("it has\n%s", got)
		}
		return nil
	})
}

func TestSolicitedNodeGroupsAreJoined(t *testing.T) {
	b := newBed(t, "client", "node1")
	n := b.node("node1")
	const group = "ff02::1:ff00:240"
	joined := func(want bool) {
		t.Helper()
		eventually.Succeed(t, 5*time.Second, "the group is joined or left", func(context.Context) error {
			own := b.ip("node1", "-6", "maddress", "show", "dev", "eth0")
			// The groups that the bridge has learned from reports on the wire (RFC 3810).
			seen := b.run("bridge", "-n", b.prefix+"lan", "mdb", "show")
			if strings.Contains(own, group) != want || strings.Contains(seen, group) != want {
				return fmt.Errorf("want joined %v; the node has\n%sthe bridge\n%s", want, own, seen)
			}
			return nil
		})
	}
	n.SetServed(own(vip6))
	joined(true)
	n.SetServed(own(vip6, netip.MustParseAddr("2001:db8:0:1::240"), vip))
	n.SetServed(own(netip.MustParseAddr("2001:db8:0:1::240")))
	joined(true)
	n.SetServed(own(vip))
	joined(false)
}

func TestGarbageDoesNotStopNeighborDiscovery(t *testing.T) {
	b := newBed(t, "client", "node1")
	n := b.node("node1")
	n.SetServed(own(vip6))
	target := vip6.As16()
	source := netip.MustParseAddr("2001:db8::1").As16()
	b.frames("client", 0x86dd, func(own net.HardwareAddr) [][]byte {
		var list [][]byte
		for _, kind := range []byte{135, 136} {
			message := append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, target[:]...)
			for _, options := range [][]byte{nil, {1}, {1, 0}, {2, 255, 0, 0, 0, 0, 0, 0}, make([]byte, 200)} {
				for _, hops := range []byte{255, 64} {
					icmp := append(append([]byte{}, message...), options...)
					ip := append([]byte{0x60, 0, 0, 0, 0, byte(len(icmp)), 58, hops}, source[:]...)
					list = append(list, append(append(ip, target[:]...), icmp...))
				}
			}
		}
		return list
	}, n.link.Hardware)
	if b.solicit("client", vip6) == nil {
		t.Error("no answer after garbage")
	}
}

// frames sends frames from a host.
func (b *bed) frames(host string, etherType int, bodies func(own net.HardwareAddr) [][]byte, to net.HardwareAddr) {
	b.Helper()
	b.in(host, func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		socket, err := packet.Listen(ifi, packet.Raw, etherType, nil)
		if err != nil {
			return err
		}
		defer socket.Close()
		for _, body := range bodies(ifi.HardwareAddr) {
			frame := append(append(append([]byte{}, to...), ifi.HardwareAddr...), byte(etherType>>8), byte(etherType))
			if _, err := socket.WriteTo(append(frame, body...), &packet.Addr{HardwareAddr: to}); err != nil {
				return err
			}
		}
		return nil
	})
}
