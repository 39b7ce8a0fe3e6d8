// SPDX-License-Identifier: Apache-2.0

// Package plan has the address plan of a test bed: its hosts, and the addresses
// of hosts, pods and Services. The package is pure.
package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Names of the hosts that every cluster has in addition to its nodes.
const (
	Router       = "router"        // default gateway of all hosts, without a route to other networks
	ControlPlane = "control-plane" // etcd, API server, controller manager, scheduler
	Client       = "client"        // outside the cluster, on the same LAN
)

// MaxNodes is the maximum number of nodes of a cluster. With it the addresses of the
// nodes stay below the client's address.
const MaxNodes = 99

// Octets of the hosts in 192.168.1.0/24.
const (
	routerOctet       = 1
	controlPlaneOctet = 10
	clientOctet       = 200
)

// routerWeight is the weight of the router, see Host.Weight. It is the maximum that
// control groups allow.
const routerWeight = 100

// LAN prefixes that the hosts share.
var (
	LANv4 = netip.MustParsePrefix("192.168.1.0/24")
	LANv6 = netip.MustParsePrefix("fd00:192:168:1::/64")
)

// Prefixes that contain the addresses of all pods and of all Services.
var (
	PodsV4     = netip.MustParsePrefix("10.244.0.0/16")
	PodsV6     = netip.MustParsePrefix("fd44::/48")
	ServicesV4 = netip.MustParsePrefix("10.96.0.0/16")
	ServicesV6 = netip.MustParsePrefix("fd96::/112")
)

// APIPort is the port of the API server on the control plane's LAN address.
const APIPort = 6443

// Host is a simulated computer of the test bed: a network namespace with one interface
// on the LAN.
type Host struct {
	Name   string
	V4, V6 netip.Addr
	// Number is the number of the node, from 1; 0 for a host that is no node.
	Number int
}

// IsNode reports whether the host runs pods.
func (h Host) IsNode() bool { return h.Number > 0 }

// RunsPrograms reports whether programs run on the host. Only such a host can be
// powered on and off.
func (h Host) RunsPrograms() bool { return h.RunsKubernetes() || h.Name == Router }

// RunsKubernetes reports whether programs of Kubernetes run on the host.
func (h Host) RunsKubernetes() bool { return h.IsNode() || h.Name == ControlPlane }

// Weight returns the processor share of the host, as a multiple of a node's share. The share
// matters only while the processors are fully used. The router stands for a separate machine,
// so load on the nodes must not delay its BGP and BFD.
func (h Host) Weight() int {
	if h.Name == Router {
		return routerWeight
	}
	return 1
}

// PodsV4 returns the IPv4 range of the node's pods.
func (h Host) PodsV4() netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("10.244.%d.0/24", h.Number))
}

// PodsV6 returns the IPv6 range of the node's pods. The range contains the decimal
// digits of the node's number: node10 has fd44:0:0:10::/64.
func (h Host) PodsV6() netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("fd44:0:0:%d::/64", h.Number))
}

// MAC returns the host's hardware address. The address is locally administered. It does
// not change between starts, as on a real machine.
func (h Host) MAC() [6]byte {
	b := h.V4.As4()
	return [6]byte{0x02, 0x00, b[0], b[1], b[2], b[3]}
}

// Hosts returns the hosts of a cluster with the given number of nodes: router,
// control plane, client, then the nodes in order.
func Hosts(nodes int) []Host {
	hosts := []Host{newHost(Router, routerOctet, 0), newHost(ControlPlane, controlPlaneOctet, 0), newHost(Client, clientOctet, 0)}
	for n := 1; n <= nodes; n++ {
		hosts = append(hosts, newHost(NodeName(n), controlPlaneOctet+n, n))
	}
	return hosts
}

// Nodes returns the hosts that are nodes, for a cluster with the given number of nodes.
func Nodes(nodes int) []Host {
	return slices.DeleteFunc(Hosts(nodes), func(h Host) bool { return !h.IsNode() })
}

// FindHost returns the host of that name in a cluster with the given number of
// nodes.
func FindHost(nodes int, name string) (Host, bool) {
	hosts := Hosts(nodes)
	i := slices.IndexFunc(hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		return Host{}, false
	}
	return hosts[i], true
}

// NodeName returns the name of the n-th node, counted from 1.
func NodeName(n int) string { return "node" + strconv.Itoa(n) }

// APIServiceAddresses returns the addresses of the Service "kubernetes": the
// first address of each Service range.
func APIServiceAddresses() []netip.Addr {
	return []netip.Addr{ServicesV4.Addr().Next(), ServicesV6.Addr().Next()}
}

func newHost(name string, octet, number int) Host {
	v4 := LANv4.Addr().As4()
	v4[3] = byte(octet)
	return Host{
		Name:   name,
		V4:     netip.AddrFrom4(v4),
		V6:     netip.MustParseAddr(fmt.Sprintf("fd00:192:168:1::%d", octet)),
		Number: number,
	}
}
