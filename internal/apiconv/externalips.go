package apiconv

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	netutils "k8s.io/utils/net"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// MaxExternalIPs is how many items of a Service's spec.externalIPs are read.
const MaxExternalIPs = 64

// ExternalIPs returns the addresses in spec.externalIPs, sorted and without repetitions. more means that the
// list has further items, which were not read. ExternalIPs parses the items as kube-proxy does: numbers with
// leading zeros are decimal, and an IPv4 address mapped into IPv6 is an IPv4 address.
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

// trimExternalIPs returns the items that ExternalIPs reads and one more, so that ExternalIPs can report that
// the list has further items.
func trimExternalIPs(items []string) []string {
	return slices.Clone(items[:min(len(items), MaxExternalIPs+1)])
}

// TrimToExternalIPs returns a Service with only the fields that lbstack reads if the type is not
// LoadBalancer: spec.externalIPs, and the condition about these addresses.
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
