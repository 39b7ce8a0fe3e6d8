package links

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/speaker"
	"github.com/lbstack/lbstack/speaker/netstate"
)

func TestInternal(t *testing.T) {
	for name, want := range map[string]bool{"eth0": false, "enp3s0": false, "bond0": false, "br0": false, "cni0": true, "veth1a2b": true, "docker0": true, "br-0123456789ab": true, "br-ex": false, "br-lan": false, "cali123": true} {
		if got := internalNames.MatchString(name); got != want {
			t.Errorf("%s leads to the node's own pods: got %v, want %v", name, got, want)
		}
	}
}

func TestListLeavesLoopbackOut(t *testing.T) {
	list, err := List(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if l.Name == "lo" || len(l.Hardware) != 6 || l.Index == 0 {
			t.Errorf("link %+v, want Ethernet interfaces only", l)
		}
	}
}

func TestOnInterface(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "203.0.113.77": false} {
		if has, err := OnInterface(netip.MustParseAddr(address)); has != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", address, has, err, want)
		}
	}
}

func TestOf_OwnAddresses(t *testing.T) {
	attrs := func(index int, name string) netlink.LinkAttrs {
		return netlink.LinkAttrs{Index: index, Name: name, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, byte(index)}, Flags: net.FlagUp, OperState: netlink.OperUp, EncapType: "ether"}
	}
	at := func(prefix string, flags int) netstate.Address {
		return netstate.Address{Prefix: netip.MustParsePrefix(prefix), Flags: flags}
	}
	var many []netstate.Address
	for i := range 2 * speaker.MaxAddresses {
		many = append(many, at(fmt.Sprintf("10.1.0.%d/32", i+1), 0))
	}
	got := of(netstate.State{
		Links: []netlink.Link{&netlink.Device{LinkAttrs: attrs(1, "eth0")}, &netlink.Dummy{LinkAttrs: attrs(2, "dummy0")}, &netlink.Device{LinkAttrs: attrs(3, "eth1")}},
		Addresses: map[int][]netstate.Address{
			1: {at("192.168.1.245/32", 0), at("192.168.1.1/24", 0), at("192.168.1.1/32", 0), at("fe80::1/64", 0), at("2001:db8::1/64", unix.IFA_F_TENTATIVE), at("2001:db8::2/64", 0)},
			2: {at("192.168.1.246/32", 0)},
			3: many,
		},
	}, netip.Addr{})
	words := map[string]string{}
	for _, l := range got {
		words[l.Name] = fmt.Sprint(l.Addresses[:min(len(l.Addresses), 3)])
	}
	want := map[string]string{"eth0": "[192.168.1.1 192.168.1.245 2001:db8::2]", "dummy0": "[]", "eth1": "[10.1.0.1 10.1.0.2 10.1.0.3]"}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if n := len(got[len(got)-1].Addresses); n != speaker.MaxAddresses {
		t.Errorf("got %d addresses of eth1, want %d", n, speaker.MaxAddresses)
	}
}
