package apiconv

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// kubeletPort is the port of a kubelet whose Node reports no port.
const kubeletPort = 10250

// KubeletAddress returns the address and the port on which the kubelet of a node listens; false: the
// Node has no InternalIP. The address is the first InternalIP of the Node. The kubelet itself writes its
// addresses and its port into the Node, so they are no more trustworthy than the node.
func KubeletAddress(node *corev1.Node) (netip.AddrPort, bool) {
	port := uint16(kubeletPort)
	if p := node.Status.DaemonEndpoints.KubeletEndpoint.Port; p > 0 && p <= 65535 {
		port = uint16(p)
	}
	if addresses := InternalIPs(node); len(addresses) > 0 {
		return netip.AddrPortFrom(addresses[0], port), true
	}
	return netip.AddrPort{}, false
}
