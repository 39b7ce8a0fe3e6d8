package apiconv

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// kubeletPort is the port of kubelets that report none.
const kubeletPort = 10250

// Kubelet returns where the kubelet of a node listens: on the first InternalIP; false: the
// node has none. The kubelet itself writes its addresses and its port.
func Kubelet(node *corev1.Node) (netip.AddrPort, bool) {
	port := uint16(kubeletPort)
	if p := node.Status.DaemonEndpoints.KubeletEndpoint.Port; p > 0 && p <= 65535 {
		port = uint16(p)
	}
	if addresses := InternalIPs(node); len(addresses) > 0 {
		return netip.AddrPortFrom(addresses[0], port), true
	}
	return netip.AddrPort{}, false
}
