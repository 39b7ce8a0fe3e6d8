package apiconv

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	netutils "k8s.io/utils/net"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// MaxExternalIPs is how many items of spec.externalIPs of a Service are read.
const MaxExternalIPs = 64

// ExternalIPs returns the addresses in spec.externalIPs, in order, each once, and whether the
// list has more items than are read. It reads what kube-proxy reads: leading zeros of IPv4
// addresses are decimal, and IPv4 mapped into IPv6 is IPv4.
func ExternalIPs(svc *corev1.Service) (addresses []netip.Addr, more bool) {
	items := svc.Spec.ExternalIPs
	for _, item := range items[:min(len(items), MaxExternalIPs)] {
		if a, ok := netip.AddrFromSlice(netutils.ParseIPSloppy(item)); ok {
			addresses = append(addresses, a.Unmap())
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses), len(items) > MaxExternalIPs
}

// trimExternalIPs keeps as many items as are read, and one more if there are more.
func trimExternalIPs(items []string) []string {
	return slices.Clone(items[:min(len(items), MaxExternalIPs+1)])
}

// TrimToExternalIPs returns what is read of a Service that is not of type LoadBalancer: its
// externalIPs, and the condition about them.
func TrimToExternalIPs(svc *corev1.Service) *corev1.Service {
	kept := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: svc.Namespace, Name: svc.Name, UID: svc.UID, ResourceVersion: svc.ResourceVersion, Generation: svc.Generation,
	}}
	kept.Spec.ExternalIPs = trimExternalIPs(svc.Spec.ExternalIPs)
	for _, c := range svc.Status.Conditions {
		if c.Type == v1beta1.ServiceExternalIPConflict {
			kept.Status.Conditions = []metav1.Condition{c}
		}
	}
	return kept
}
