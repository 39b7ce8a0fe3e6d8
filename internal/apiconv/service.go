package apiconv

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// maxRequestedAddresses is how many addresses a Service can request.
const maxRequestedAddresses = 32

// If a Service has several annotations of one list, the first one in the list is used.
var (
	// poolAnnotations are the annotations that request a pool.
	poolAnnotations = []string{
		v1beta1.AnnotationAddressPool,
		v1beta1.AnnotationAddressPoolMetalLB,
		v1beta1.AnnotationAddressPoolMetalLBOld,
	}
	// addressAnnotations are the annotations that request addresses.
	addressAnnotations = []string{
		v1beta1.AnnotationLoadBalancerIPs,
		v1beta1.AnnotationLoadBalancerIPsMetalLB,
		v1beta1.AnnotationLoadBalancerIPsMetalLBOld,
	}
)

// ParseRequest reads the request of a Service from its spec and its annotations. namespaceLabels are the
// labels of its namespace. The text of an error is for the owner of the Service. With an error, the
// request has the fields that are valid.
func ParseRequest(svc *corev1.Service, namespaceLabels map[string]string) (ipam.Request, error) {
	req := ipam.Request{
		Service: KeyOf(svc), Labels: svc.Labels, NamespaceLabels: namespaceLabels,
		Families: serviceFamilies(svc), Policy: familyPolicy(svc), Shows: StatusAddresses(svc), Kept: keptAddresses(svc),
		GivenByOther: isGivenByMetalLB(svc),
	}
	if _, value := firstAnnotation(svc, poolAnnotations); value != "" {
		req.Pool = lb.PoolName(strings.TrimSpace(value))
	}
	var err, wrong error
	req.Terms, err = SharingTerms(svc)
	req.Addresses, wrong = requestedAddresses(svc)
	if HasCutLabels(svc.Labels) {
		err = fmt.Errorf("metadata.labels: a Service of type LoadBalancer can have at most %d labels, and at most %d bytes of labels: remove some labels", maxLabels, maxLabelBytes)
	}
	if err := cmp.Or(wrong, err); err != nil {
		return req, err
	}
	if req.Policy == ipam.RequireDualStack && len(req.Families) < 2 {
		return req, fmt.Errorf("spec.ipFamilyPolicy is RequireDualStack, but spec.ipFamilies has only %s: add the other family, or change spec.ipFamilyPolicy", req.Families[0])
	}
	return req, nil
}

func familyPolicy(svc *corev1.Service) ipam.FamilyPolicy {
	if svc.Spec.IPFamilyPolicy == nil {
		return ipam.SingleStack
	}
	switch *svc.Spec.IPFamilyPolicy {
	case corev1.IPFamilyPolicyPreferDualStack:
		return ipam.PreferDualStack
	case corev1.IPFamilyPolicyRequireDualStack:
		return ipam.RequireDualStack
	}
	return ipam.SingleStack
}

func requestedAddresses(svc *corev1.Service) ([]netip.Addr, error) {
	key, list := firstAnnotation(svc, addressAnnotations)
	field := svc.Spec.LoadBalancerIP
	switch {
	case list != "" && field != "":
		return nil, fmt.Errorf("the annotation %s and spec.loadBalancerIP both request an address: remove one of the two", key)
	case field != "":
		a, err := ParseAddress(field)
		if err != nil {
			return nil, fmt.Errorf("spec.loadBalancerIP: %w", err)
		}
		return []netip.Addr{a}, nil
	case list == "":
		return nil, nil
	}
	var addresses []netip.Addr
	seen := map[netip.Addr]bool{}
	for item := range strings.SplitSeq(list, ",") {
		a, err := ParseAddress(item)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %w", key, err)
		}
		if seen[a] {
			return nil, fmt.Errorf("annotation %s: the address %s is in the list twice", key, a)
		}
		seen[a] = true
		addresses = append(addresses, a)
	}
	if len(addresses) > maxRequestedAddresses {
		return nil, fmt.Errorf("annotation %s: a Service can request at most %d addresses, and this Service requests %d", key, maxRequestedAddresses, len(addresses))
	}
	return addresses, nil
}

func firstAnnotation(svc *corev1.Service, keys []string) (key, value string) {
	for _, key := range keys {
		if value := svc.Annotations[key]; value != "" {
			return key, value
		}
	}
	return "", ""
}

// serviceFamilies returns the families of a Service in the order of spec.ipFamilies, or IPv4 if the field has
// none.
func serviceFamilies(svc *corev1.Service) []lb.Family {
	var families []lb.Family
	for _, f := range svc.Spec.IPFamilies {
		switch f {
		case corev1.IPv4Protocol:
			families = append(families, lb.IPv4)
		case corev1.IPv6Protocol:
			families = append(families, lb.IPv6)
		}
	}
	families = slices.Compact(families)
	if len(families) == 0 {
		families = []lb.Family{lb.IPv4}
	}
	return families
}

// StatusAddresses returns the addresses in the status of a Service. It leaves out host names and invalid
// addresses, which lbstack does not write.
func StatusAddresses(svc *corev1.Service) []netip.Addr {
	var addresses []netip.Addr
	for _, ingress := range svc.Status.LoadBalancer.Ingress {
		if a, err := ParseAddress(ingress.IP); err == nil {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// keptAddresses returns the addresses that a Service had when lbstack was removed, from an annotation. It
// leaves out invalid addresses, since anybody who may write the Service can edit the annotation.
func keptAddresses(svc *corev1.Service) []netip.Addr {
	var addresses []netip.Addr
	for item := range strings.SplitSeq(svc.Annotations[v1beta1.AnnotationKeptAddresses], ",") {
		if a, err := ParseAddress(item); err == nil && len(addresses) < maxRequestedAddresses && !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// SetKeptAddresses sets the annotation from which the next installation of lbstack reads the addresses
// that the Service had. An empty list leaves the annotation unchanged, since an earlier attempt to
// remove lbstack may have set it.
func SetKeptAddresses(svc *corev1.Service, addresses []netip.Addr) {
	var texts []string
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	if len(texts) > 0 {
		metav1.SetMetaDataAnnotation(&svc.ObjectMeta, v1beta1.AnnotationKeptAddresses, strings.Join(texts, ","))
	}
}

// WithoutOwnData returns a copy of the Service without the data of lbstack. It removes the addresses in
// the status for which own returns true, the annotation with the pools, and the conditions
// AddressAllocated and Announced. Data of other writers stays.
func WithoutOwnData(svc *corev1.Service, own func(netip.Addr) bool) *corev1.Service {
	next := svc.DeepCopy()
	next.Status.LoadBalancer.Ingress = slices.DeleteFunc(next.Status.LoadBalancer.Ingress, func(in corev1.LoadBalancerIngress) bool {
		a, err := ParseAddress(in.IP)
		return err == nil && own(a)
	})
	delete(next.Annotations, v1beta1.AnnotationAllocatedFromPool)
	meta.RemoveStatusCondition(&next.Status.Conditions, v1beta1.ServiceAddressAllocated)
	meta.RemoveStatusCondition(&next.Status.Conditions, v1beta1.ServiceAnnounced)
	return next
}

// IsServedBy reports whether a Service is of type LoadBalancer and has the given class. An empty class stands
// for a Service without a class.
func IsServedBy(svc *corev1.Service, class string) bool {
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return false
	}
	if svc.Spec.LoadBalancerClass == nil {
		return class == ""
	}
	return *svc.Spec.LoadBalancerClass == class
}

// KeyOf returns the key of a Service.
func KeyOf(svc *corev1.Service) lb.ServiceKey {
	return lb.ServiceKey{Namespace: svc.Namespace, Name: svc.Name}
}
