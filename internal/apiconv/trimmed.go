package apiconv

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/internal/bounded"
)

// Limits of the fields that caches store of an object that a tenant writes. The API server accepts objects of
// some 1.5 MiB, which have room for more than a hundred thousand labels.
const (
	maxLabels              = 64
	maxLabelBytes          = 8 << 10 // of all labels together
	maxUnknownAnnotations  = 32
	maxAnnotationBytes     = 4 << 10 // of the value of an annotation that lbstack reads
	maxSelectorBytes       = 8 << 10
	maxLoadBalancerIPBytes = 256 // bytes
	// cutKey is a key that marks shortened data: labels of which TrimLabels left some out, and a selector
	// that trimSelector replaced by its hash. The API server does not accept this key in objects.
	cutKey = ""
)

// annotationPrefixes are the prefixes of the annotations of a Service that lbstack reads.
var annotationPrefixes = []string{"lbstack.io/", "metallb.io/", "metallb.universe.tf/"}

// TrimMeta returns the metadata that lbstack reads of any object. TrimLabels limits the labels.
func TrimMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
		DeletionTimestamp: m.DeletionTimestamp, Labels: TrimLabels(m.Labels),
	}
}

// NamespaceMeta returns the metadata that lbstack reads of a Namespace, with all labels. Labels of Namespaces
// need no limit, since administrators write them. None may be left out, since the selectors of pools and
// advertisements must match the same Namespaces in a cache as in the API server.
func NamespaceMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	kept := TrimMeta(m)
	kept.Labels = m.Labels
	return kept
}

// TrimLabels returns all labels if they are within maxLabels and maxLabelBytes. Otherwise it returns the first
// labels in the order of their keys, and the mark that HasCutLabels finds.
func TrimLabels(labels map[string]string) map[string]string {
	size := 0
	for key, value := range labels {
		size += len(key) + len(value)
	}
	if len(labels) <= maxLabels && size <= maxLabelBytes {
		return labels
	}
	kept := map[string]string{cutKey: ""}
	size = 0
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if size += len(key) + len(labels[key]); len(kept) > maxLabels || size > maxLabelBytes {
			break
		}
		kept[strings.Clone(key)] = strings.Clone(labels[key])
	}
	return kept
}

// HasCutLabels reports whether TrimLabels left labels out.
func HasCutLabels(labels map[string]string) bool {
	_, cut := labels[cutKey]
	return cut
}

// TrimService returns the fields that the controller reads of a Service of type LoadBalancer. It shortens a
// list or a text that is too long. The shortened value is still too long or invalid, so that its reader
// (ParseRequest, SharingTerms or ExternalIPs) reports the problem.
func TrimService(svc *corev1.Service) *corev1.Service {
	spec := &svc.Spec
	kept := &corev1.Service{
		ObjectMeta: TrimMeta(svc.ObjectMeta),
		Spec: corev1.ServiceSpec{
			Type: spec.Type, Selector: trimSelector(spec.Selector), ExternalTrafficPolicy: spec.ExternalTrafficPolicy,
			IPFamilies: spec.IPFamilies, IPFamilyPolicy: spec.IPFamilyPolicy,
			LoadBalancerIP: bounded.Cut(spec.LoadBalancerIP, maxLoadBalancerIPBytes), LoadBalancerClass: spec.LoadBalancerClass,
			ExternalIPs: trimExternalIPs(spec.ExternalIPs),
		},
		Status: svc.Status,
	}
	for _, p := range spec.Ports[:min(len(spec.Ports), maxPorts+1)] {
		kept.Spec.Ports = append(kept.Spec.Ports, corev1.ServicePort{Protocol: p.Protocol, Port: p.Port})
	}
	kept.Generation, kept.CreationTimestamp = svc.Generation, svc.CreationTimestamp
	kept.Annotations = trimAnnotations(svc.Annotations)
	return kept
}

// trimAnnotations returns the annotations that lbstack reads, and the keys of at most maxUnknownAnnotations
// others with a prefix of lbstack or MetalLB. UnknownAnnotations reports these keys.
func trimAnnotations(annotations map[string]string) map[string]string {
	kept := map[string]string{}
	unknown := 0
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		ours := slices.ContainsFunc(annotationPrefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		switch {
		case isKnownAnnotation(key):
			kept[key] = bounded.Cut(annotations[key], maxAnnotationBytes)
		case ours && unknown < maxUnknownAnnotations:
			kept[strings.Clone(key)] = ""
			unknown++
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// trimSelector returns a selector, or the hash of a very long selector. A hash is enough, since selectors are
// only compared with each other.
func trimSelector(selector map[string]string) map[string]string {
	size := 0
	for key, value := range selector {
		size += len(key) + len(value)
	}
	if size <= maxSelectorBytes {
		return selector
	}
	hash := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		fmt.Fprintf(hash, "%q=%q,", key, selector[key])
	}
	return map[string]string{cutKey: fmt.Sprintf("sha256:%x", hash.Sum(nil))}
}
