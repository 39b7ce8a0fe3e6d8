package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/test/eventually"
)

// setPeer gives a node a view with another node, whose speaker is in the mesh and claims nothing.
func (n *node) setPeer(other *node) {
	l := wire.Link{Name: other.link.Name, IPv4: true}
	copy(l.Hardware[:], other.link.Hardware)
	n.engine.SetView(mesh.View{Checked: true, Peers: []mesh.Peer{
		{Node: lb.NodeName(other.host), State: wire.State{Phase: ownership.Active, Links: []wire.Link{l}}},
	}})
	n.SetNodeHardware([]net.HardwareAddr{n.link.Hardware, other.link.Hardware})
}

// names waits until a node reports that the kernel of another node has an address, and checks that
// the report lasts while the kernel answers.
func (n *node) names(other *node, announced bool, address netip.Addr) {
	n.bed.Helper()
	n.reports(other.link.Hardware, announced, address)
	eventually.Stays(n.bed.T, 3*time.Second, "the conflict is reported", func(context.Context) error {
		got := n.reported()
		if len(got) != 1 || string(got[0].Node) != other.host || got[0].Announced != announced {
			return fmt.Errorf("got %+v, want one with the node %s", got, other.host)
		}
		return nil
	})
}

// TestAddressOfAKernel_IsNotAnnounced is about a virtual IP of the control plane, or any other
// address of a node, that a pool lists.
func TestAddressOfAKernel_IsNotAnnounced(t *testing.T) {
	b := newBed(t, "client", "node1", "node2")
	one, two := b.node("node1"), b.node("node2")
	one.setPeer(two)
	for _, address := range []netip.Addr{vip, vip6} {
		t.Run(address.String(), func(t *testing.T) {
			b.assign("node2", address)
			b.sends("client", address)
			one.SetServed(first(address))
			one.names(two, false, address)
			if got := b.neighbour("client", address); !strings.Contains(got, two.link.Hardware.String()) {
				t.Errorf("the client has %q, want the node that has the address", got)
			}
			b.unassign("node2", address)
			one.reports(nil, false)
			b.hasNeighbour("client", address, one, 5*time.Second)
		})
	}
}

// TestAddressOfAKernel_InUse is about a node that gets an address which another node announces, and
// uses it.
func TestAddressOfAKernel_InUse(t *testing.T) {
	b := newBed(t, "client", "node1", "node2")
	one, two := b.node("node1"), b.node("node2")
	one.setPeer(two)
	one.SetServed(own(vip))
	b.sends("client", vip)
	b.hasNeighbour("client", vip, one, 5*time.Second)
	b.assign("node2", vip)
	// A request for the address of a third host has the announced address as its source.
	b.in("node2", func() error {
		conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(vip, 0)), &net.UDPAddr{IP: net.IPv4(192, 168, 1, 77), Port: 9})
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("where are you?"))
		return err
	})
	one.names(two, true, vip)
	b.unassign("node2", vip)
	one.reports(nil, false)
}

// TestAddressOfAKernel_ServiceProxy is about kube-proxy in IPVS mode without strictARP: the kernels
// of all nodes answer for the addresses of all Services, which stay announced.
func TestAddressOfAKernel_ServiceProxy(t *testing.T) {
	b := newBed(t, "client", "node1", "node2")
	one, two := b.node("node1"), b.node("node2")
	one.setPeer(two)
	for _, host := range []string{"node1", "node2"} {
		b.ip(host, "link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "other") // down, as kube-proxy has it
		b.ip(host, "address", "add", netip.PrefixFrom(vip, 32).String(), "dev", "kube-ipvs0")
	}
	one.SetServed(first(vip))
	one.names(two, true, vip)
	b.sysctl("node2", "net.ipv4.conf.all.arp_ignore", "1") // strictARP
	one.reports(nil, false)
	b.sends("client", vip)
	b.hasNeighbour("client", vip, one, 5*time.Second)
}
