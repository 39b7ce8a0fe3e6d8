package apiconv

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// NodeAddresses returns the node's own addresses, which have the type InternalIP or ExternalIP. The kubelet
// writes them, and the API server accepts any text there. NodeAddresses therefore leaves out names and
// ranges.
func NodeAddresses(node *corev1.Node) []netip.Addr {
	return addressesOf(node, corev1.NodeInternalIP, corev1.NodeExternalIP)
}

// NodeNetworks returns the addresses and networks of a node that pools must not give. These are the
// addresses of the node, the networks of its pods, and the addresses and subnets that its speaker
// reports. state is nil if the node has no SpeakerState. NodeNetworks leaves out invalid addresses and
// prefixes.
func NodeNetworks(node *corev1.Node, state *v1beta1.SpeakerState) ipam.Node {
	n := ipam.Node{
		Name: lb.NodeName(node.Name), Created: node.CreationTimestamp.Time,
		Addresses: NodeAddresses(node), PodCIDRs: parsePrefixes(node.Spec.PodCIDRs),
	}
	if state != nil {
		for i := range state.Status.Interfaces {
			n.Subnets = append(n.Subnets, parsePrefixes(state.Status.Interfaces[i].Subnets)...)
			for _, text := range state.Status.Interfaces[i].Addresses {
				if address, err := ParseAddress(text); err == nil {
					n.Interfaces = append(n.Interfaces, address)
				}
			}
		}
	}
	return n
}

// ServiceNetworks returns the ranges from which Services get their cluster IPs. It leaves out invalid prefixes.
func ServiceNetworks(networks []networkingv1.ServiceCIDR) (list []ipam.TakenRange) {
	for i := range networks {
		for _, cidr := range networks[i].Spec.CIDRs {
			if r, err := ParseRange(cidr); err == nil {
				list = append(list, ipam.TakenRange{Range: r, By: fmt.Sprintf("the cluster's own Service addresses (ServiceCIDR %s)", networks[i].Name)})
			}
		}
	}
	return list
}

func parsePrefixes(texts []string) (list []netip.Prefix) {
	for _, text := range texts {
		if p, err := netip.ParsePrefix(text); err == nil && !p.Addr().Is4In6() {
			list = append(list, p.Masked())
		}
	}
	return list
}
