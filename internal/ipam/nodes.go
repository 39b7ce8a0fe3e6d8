package ipam

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// Limits of what one node can take from the pools. The kubelet and the speaker of a node write its
// reports, so a compromised node can report that any address is its own.
const (
	// maxNodeAddresses is how many addresses of each node NodeRanges considers.
	maxNodeAddresses = 16
	// maxNodeSubnets is how many subnets of each node NodeRanges considers.
	maxNodeSubnets = 16
	// podNetworkBits is the difference in length between the podCIDR of a node and the prefix of the
	// cluster's pod network. If podCIDRs are /24, the podCIDRs of all nodes are expected in one /16.
	podNetworkBits = 8
)

// Node is what a node reports about its addresses and networks.
type Node struct {
	// Name of the node, unique.
	Name lb.NodeName
	// Created is when the Node object was created, by the clock of the API server.
	Created time.Time
	// Addresses of the node itself, as its kubelet reports them.
	Addresses []netip.Addr
	// Interfaces are further addresses of its network interfaces, as its speaker reports them, such as a
	// virtual IP of the control plane.
	Interfaces []netip.Addr
	// PodCIDRs are the networks of its pods.
	PodCIDRs []netip.Prefix
	// Subnets of its interfaces.
	Subnets []netip.Prefix
}

// NodeRanges returns the addresses that pools do not give because nodes or their networks use them. For
// each node these are:
//
//   - The first 16 addresses of the node. Addresses that its kubelet reports come before those that its
//     speaker reports.
//   - Its first podCIDR of each family, if the other nodes confirm it. This means that none of them has
//     an address in it, and that at least half of them have a podCIDR of the same length in the same
//     prefix, which is 8 bits shorter. Pools give the addresses of a podCIDR that is not confirmed: its
//     range has ReportedOnly set. A pool that is older than the Node also gives the addresses of a
//     confirmed podCIDR, unless the podCIDR of another node overlaps with the pool too, or there is only
//     one node.
//   - In its first 16 subnets, the addresses that no host can have. In IPv4 these are the network and
//     broadcast address (RFC 1122), but not in /31 and /32 (RFC 3021). In IPv6 it is the subnet-router
//     anycast address (RFC 4291 section 2.6.1), but not in /127 and /128 (RFC 6164). Prefixes shorter
//     than /8 are ignored. So are subnets that only one node reports, unless the kubelet of a node
//     reports an address in the subnet.
//
// The order of the nodes does not matter.
func NodeRanges(nodes []Node) []TakenRange {
	nodes = slices.SortedFunc(slices.Values(nodes), func(x, y Node) int { return cmp.Compare(x.Name, y.Name) })
	known := newNodeNetworks(nodes)
	var list []TakenRange
	for i := range nodes {
		n := &nodes[i]
		for _, a := range n.ownAddresses() {
			list = append(list, TakenRange{Range: lb.Range{First: a, Last: a}, By: fmt.Sprintf("the node %q", n.Name), Node: true})
		}
		for _, p := range n.firstPodCIDRs() {
			if p.IsValid() {
				t := TakenRange{
					Range: lb.RangeOf(p), By: fmt.Sprintf("the pods of the node %q (podCIDR %s)", n.Name, p),
					Node: true, ReportedOnly: !known.confirmsPodCIDR(p, n.Name),
				}
				if len(nodes) > 1 {
					t.PodsOf, t.Since = n.Name, n.Created
				}
				list = append(list, t)
			}
		}
	}
	return append(list, known.subnetEdges(nodes)...)
}

// ownAddresses returns the first maxNodeAddresses addresses of a node, without duplicates.
func (n *Node) ownAddresses() (list []netip.Addr) {
	for _, a := range slices.Concat(n.Addresses, n.Interfaces) {
		if len(list) < maxNodeAddresses && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// nodeNetworks has the reports of all nodes. The report of each node is checked against the reports of
// the other nodes.
type nodeNetworks struct {
	addresses []nodeAddress        // sorted
	in        map[netip.Prefix]int // how many nodes report the subnet
	nodes     int
	podCIDRs  map[podNetwork]int // how many nodes have a podCIDR in the pod network
}

// podNetwork identifies a pod network: the prefix of the network, and the length of the podCIDRs in it.
type podNetwork struct {
	netip.Prefix
	length int // of the podCIDRs
}

func podNetworkOf(p netip.Prefix) podNetwork {
	return podNetwork{netip.PrefixFrom(p.Addr(), max(0, p.Bits()-podNetworkBits)).Masked(), p.Bits()}
}

// nodeAddress is an address of a node.
type nodeAddress struct {
	netip.Addr
	node lb.NodeName
}

func newNodeNetworks(nodes []Node) nodeNetworks {
	k := nodeNetworks{in: map[netip.Prefix]int{}, nodes: len(nodes), podCIDRs: map[podNetwork]int{}}
	for i := range nodes {
		n := &nodes[i]
		for _, a := range n.Addresses[:min(maxNodeAddresses, len(n.Addresses))] {
			k.addresses = append(k.addresses, nodeAddress{a, n.Name})
		}
		for _, p := range n.subnetsWithEdges() {
			k.in[p]++
		}
		for _, p := range n.firstPodCIDRs() {
			if p.IsValid() {
				k.podCIDRs[podNetworkOf(p)]++
			}
		}
	}
	slices.SortFunc(k.addresses, func(x, y nodeAddress) int { return x.Compare(y.Addr) })
	return k
}

// firstPodCIDRs returns the first podCIDR of each family. An item is invalid if there is none.
func (n *Node) firstPodCIDRs() (first [2]netip.Prefix) {
	for _, p := range n.PodCIDRs {
		if f := familyIndex(lb.FamilyOf(p.Addr())); !first[f].IsValid() {
			first[f] = p.Masked()
		}
	}
	return first
}

// confirmsPodCIDR reports whether the other nodes confirm the podCIDR of a node. They do if at least
// half of them have a podCIDR in the same pod network, and none of them has an address in the podCIDR. A
// single node needs no confirmation.
func (k *nodeNetworks) confirmsPodCIDR(p netip.Prefix, node lb.NodeName) bool {
	others := k.podCIDRs[podNetworkOf(p)] - 1
	return 2*others >= k.nodes-1 && !k.hasOtherNodeIn(p, node)
}

// hasOtherNodeIn reports whether a node other than the named one has an address in a prefix.
func (k *nodeNetworks) hasOtherNodeIn(p netip.Prefix, node lb.NodeName) bool {
	at, _ := slices.BinarySearchFunc(k.addresses, p.Addr(), func(a nodeAddress, first netip.Addr) int { return a.Compare(first) })
	for ; at < len(k.addresses) && p.Contains(k.addresses[at].Addr); at++ {
		if k.addresses[at].node != node {
			return true
		}
	}
	return false
}

// subnetsWithEdges returns the first maxNodeSubnets subnets of a node, without duplicates. It leaves out
// prefixes shorter than /8. It also leaves out /31, /32, /127 and /128, where hosts can have all
// addresses.
func (n *Node) subnetsWithEdges() (list []netip.Prefix) {
	for _, p := range n.Subnets {
		p = p.Masked()
		longest := p.Addr().BitLen() - 2
		if p.Bits() < 8 || p.Bits() > longest || slices.Contains(list, p) {
			continue
		}
		if list = append(list, p); len(list) == maxNodeSubnets {
			break
		}
	}
	return list
}

// subnetEdges returns the addresses that no host can have in the subnets of the nodes: the network,
// broadcast and subnet-router anycast addresses. A subnet of several nodes is reported once, for the
// first of these nodes.
func (k *nodeNetworks) subnetEdges(nodes []Node) (list []TakenRange) {
	done := map[netip.Prefix]bool{}
	for i := range nodes {
		for _, p := range nodes[i].subnetsWithEdges() {
			if done[p] || (k.in[p] < 2 && !k.hasOtherNodeIn(p, "")) {
				continue
			}
			done[p] = true
			of := fmt.Sprintf("the subnet %s (node %q)", p, nodes[i].Name)
			add := func(a netip.Addr, as string) {
				list = append(list, TakenRange{Range: lb.Range{First: a, Last: a}, By: of, As: as, Node: true})
			}
			if r := lb.RangeOf(p); p.Addr().Is6() {
				add(r.First, "the subnet-router anycast address")
			} else {
				add(r.First, "the network address")
				add(r.Last, "the broadcast address")
			}
		}
	}
	return list
}
