package links

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/netstate"
)

// up returns what the kernel reports of an Ethernet interface with a carrier.
func up(name string, index int) netlink.LinkAttrs {
	return netlink.LinkAttrs{
		Name: name, Index: index, EncapType: "ether", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, byte(index)},
		Flags: net.FlagUp, OperState: netlink.OperUp,
	}
}

func TestKindOfLink(t *testing.T) {
	const network, pods, left = "network", "pods", "left out" // pods: announced on only if an advertisement names it
	node := netip.MustParseAddr("192.168.1.1")
	for _, c := range []struct {
		about, kind, name, address, want string
	}{
		{"physical interface", "device", "enp3s0", "10.0.0.1/24", network},
		{"physical interface with a single address", "device", "ens4", "10.0.0.1/32", network},
		{"physical interface with a link-local address", "device", "eth1", "fe80::1/64", network},
		{"VLAN", "vlan", "eth0.20", "10.0.0.1/24", network},
		{"VLAN on a bond with a name of containers", "vlan", "lxc.20", "10.0.0.1/24", network},
		{"bond", "bond", "bond0", "10.0.0.1/24", network},
		{"team", "team", "team0", "10.0.0.1/24", network},
		{"MACVLAN", "macvlan", "shim0", "10.0.0.1/24", network},
		{"bridge of the machine", "bridge", "br0", "10.0.0.1/24", network},
		{"bridge called br- and no digits of Docker", "bridge", "br-lan", "10.0.0.1/24", network},
		{"bridge of Proxmox", "bridge", "vmbr0", "10.0.0.1/24", network},
		{"bridge of Open vSwitch with a subnet", "openvswitch", "br-ex", "10.0.0.1/24", network},
		{"interface of a node in a container", "veth", "eth1", "10.0.0.1/24", network},

		{"overlay of Calico", "vxlan", "vxlan.calico", "10.0.0.1/32", pods},
		{"overlay of flannel", "vxlan", "flannel.1", "10.0.0.0/32", pods},
		{"overlay with a subnet", "vxlan", "vx0", "10.0.0.1/24", pods},
		{"overlay of OVN", "geneve", "genev_sys_6081", "fe80::1/64", left},
		{"tunnel with Ethernet frames", "gretap", "gt0", "10.0.0.1/24", pods},
		{"interface of a virtual machine", "tuntap", "vnet3", "fe80::1/64", left},
		{"virtual private network", "tuntap", "tap0", "10.0.0.1/24", pods},
		{"WireGuard", "wireguard", "wg0", "10.0.0.1/24", pods},
		{"tunnel of Calico", "ipip", "tunl0", "10.0.0.1/32", pods},
		{"dummy of kube-proxy", "dummy", "kube-ipvs0", "10.0.0.1/32", pods},
		{"dummy of the DNS cache", "dummy", "nodelocaldns", "10.0.0.1/32", pods},
		{"dummy with a subnet", "dummy", "dummy0", "10.0.0.1/24", pods},
		{"pod of Cilium with netkit", "netkit", "lxc1a2b", "fe80::1/64", left},
		{"VRF", "vrf", "red", "10.0.0.1/24", pods},
		{"bridge of CNI plugins", "bridge", "cni0", "10.0.0.1/24", pods},
		{"bridge of Docker", "bridge", "docker0", "10.0.0.1/24", pods},
		{"network of Docker", "bridge", "br-0123456789ab", "10.0.0.1/24", pods},
		{"bridge of podman", "bridge", "podman0", "10.0.0.1/24", pods},
		{"bridge of nerdctl", "bridge", "nerdctl0", "10.0.0.1/24", pods},
		{"bridge of LXD", "bridge", "lxdbr0", "10.0.0.1/24", pods},
		{"bridge of libvirt", "bridge", "virbr0", "10.0.0.1/24", pods},
		{"bridge of VirtualBox", "device", "vboxnet0", "10.0.0.1/24", pods},
		{"integration bridge", "openvswitch", "br-int", "fe80::1/64", left},
		{"datapath of Open vSwitch", "openvswitch", "ovs-system", "fe80::1/64", left},
		{"management port of OVN", "openvswitch", "ovn-k8s-mp0", "10.0.0.1/24", pods},
		{"gateway of Antrea", "openvswitch", "antrea-gw0", "10.0.0.1/24", pods},
		{"port without an address", "openvswitch", "patch0", "fe80::1/64", left},
		{"pod of Calico", "veth", "cali123", "fe80::1/64", left},
		{"pod of AWS", "veth", "eni123", "fe80::1/64", left},
		{"pod with the address of the node's end", "veth", "lw1", "10.0.0.1/32", pods},

		{"node's own address on an overlay", "vxlan", "vx0", "192.168.1.1/24", network},
		{"node's own address on a tap", "tuntap", "zt0", "192.168.1.1/24", network},
		{"node's own address on a bridge with the name of CNI plugins", "bridge", "cni0", "192.168.1.1/24", network},
		{"node's own single address", "veth", "eth0", "192.168.1.1/32", network},
	} {
		link := netlink.Link(&netlink.GenericLink{LinkAttrs: up(c.name, 7), LinkType: c.kind})
		state := netstate.State{Links: []netlink.Link{link}, Addresses: map[int][]netstate.Address{7: {{Prefix: netip.MustParsePrefix(c.address)}}}}
		got := left
		if list := linksOf(state, node); len(list) > 0 {
			got = map[bool]string{false: network, true: pods}[list[0].Internal]
		}
		if got != c.want {
			t.Errorf("%s: %s of kind %s with %s: got %s, want %s", c.about, c.name, c.kind, c.address, got, c.want)
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

func TestIsLocalAddress(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "203.0.113.77": false} {
		if has, err := IsLocalAddress(netip.MustParseAddr(address)); has != want || err != nil {
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
	for i := range 2 * layer2.MaxLinkAddresses {
		many = append(many, at(fmt.Sprintf("10.1.0.%d/32", i+1), 0))
	}
	got := linksOf(netstate.State{
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
	if n := len(got[len(got)-1].Addresses); n != layer2.MaxLinkAddresses {
		t.Errorf("got %d addresses of eth1, want %d", n, layer2.MaxLinkAddresses)
	}
}
