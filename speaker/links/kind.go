package links

import (
	"net/netip"
	"regexp"
	"slices"

	"github.com/vishvananda/netlink"
)

// virtualKinds are the kinds of links, as the netlink module calls them, whose frames stay on the node
// or go through a tunnel that the node builds: overlays, virtual machines, dummies.
var virtualKinds = []string{
	"vxlan", "geneve", "bareudp", "gretap", "ip6gretap", "erspan", "ip6erspan", "gre", "ip6gre", "ipip", "ip6tnl", "sit",
	"vti", "vti6", "xfrm", "wireguard", "tuntap", "macvtap", "ipvtap", "netkit", "dummy", "ifb", "nlmon", "vrf",
}

// openKinds are the kinds of links that may lead to a network of the machine or to pods. For example, a
// machine can have its network on a bridge, and the eth0 of a node in a container is a veth. A link without a
// kind has the kind "device" here.
var openKinds = []string{"device", "bridge", "openvswitch", "veth"}

// internalNames matches the names of links that have one of the openKinds and lead to pods, containers or
// virtual machines of the node. CNI plugins, container engines and hypervisors give them these names. Docker
// and nerdctl name a bridge br- with twelve hexadecimal digits. The bridges br-ex, br-lan and vmbr0 lead to
// networks.
var internalNames = regexp.MustCompile(`^(antrea|br-[0-9a-f]{12}$|br-int$|br-tun$|cali|cbr0$|cilium|cni|docker|flannel|incusbr|` +
	`kube-|lxc|lxdbr|nerdctl|ovn|ovs-system$|podman|vboxnet|veth|virbr|vmnet|vnet|weave)`)

// isInternal reports whether a link leads to pods, containers or virtual machines of this node, and not to a
// network of the machine. For most kinds of links, the kind decides. For openKinds, the name and the subnets
// of the link decide: a veth or a port of Open vSwitch without a subnet has one pod at the other end.
func isInternal(l netlink.Link, prefixes []netip.Prefix) bool {
	kind := l.Type()
	switch {
	case slices.Contains(virtualKinds, kind):
		return true
	case !slices.Contains(openKinds, kind):
		return false
	case internalNames.MatchString(l.Attrs().Name):
		return true
	}
	return (kind == "veth" || kind == "openvswitch") && !slices.ContainsFunc(prefixes, isSubnet)
}

// isSubnet reports whether a network has room for other hosts.
func isSubnet(p netip.Prefix) bool { return !p.IsSingleIP() }
