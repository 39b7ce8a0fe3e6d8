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

// Bounds of what caches keep of an object that a tenant writes. The API server bounds an
// object as a whole, to some 1.5 MiB; more than a hundred thousand labels fit into that.
const (
	maxLabels, maxLabelBytes       = 64, 8 << 10
	maxAnnotations, maxAnnotation  = 32, 4 << 10 // keys of unknown ones; bytes of the value of one that is read
	maxSelector, maxLoadBalancerIP = 8 << 10, 256
	// cutKey is in labels that had more than that. It is no key that the API server takes,
	// so that no selector can ask for it.
	cutKey = ""
)

// annotationPrefixes begin the annotations that are read of a Service.
var annotationPrefixes = []string{"lbstack.io/", "metallb.io/", "metallb.universe.tf/"}

// TrimMeta returns what is read of the metadata of any object; labels are bounded, see
// TrimLabels.
func TrimMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
		DeletionTimestamp: m.DeletionTimestamp, Labels: TrimLabels(m.Labels),
	}
}

// NamespaceMeta returns what is read of the metadata of a Namespace, all labels among it: an
// administrator writes them, and selectors of pools and advertisements must get the same
// answer from a cache as from the API server.
func NamespaceMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	kept := TrimMeta(m)
	kept.Labels = m.Labels
	return kept
}

// TrimLabels returns labels within maxLabels and maxLabelBytes: all, or the first in the order
// of their keys. LabelsCut reports whether there were more.
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

// LabelsCut reports whether labels are only the first of an object that has more than are read.
func LabelsCut(labels map[string]string) bool {
	_, cut := labels[cutKey]
	return cut
}

// TrimService returns what is read of a Service of type LoadBalancer by the controller. What
// is too long to be meant so keeps its beginning, which is refused where it is read.
func TrimService(svc *corev1.Service) *corev1.Service {
	spec := &svc.Spec
	kept := &corev1.Service{
		ObjectMeta: TrimMeta(svc.ObjectMeta),
		Spec: corev1.ServiceSpec{
			Type: spec.Type, Selector: trimSelector(spec.Selector), ExternalTrafficPolicy: spec.ExternalTrafficPolicy,
			IPFamilies: spec.IPFamilies, IPFamilyPolicy: spec.IPFamilyPolicy,
			LoadBalancerIP: bounded.Cut(spec.LoadBalancerIP, maxLoadBalancerIP), LoadBalancerClass: spec.LoadBalancerClass,
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

// trimAnnotations returns the annotations that are read, and of others under the prefixes the
// keys, which are reported: the first maxAnnotations.
func trimAnnotations(annotations map[string]string) map[string]string {
	kept := map[string]string{}
	unknown := 0
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		ours := slices.ContainsFunc(annotationPrefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		switch {
		case isRead(key):
			kept[key] = bounded.Cut(annotations[key], maxAnnotation)
		case ours && unknown < maxAnnotations:
			kept[strings.Clone(key)] = ""
			unknown++
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// trimSelector returns a selector, or in place of one that is very long a hash of it: only
// whether two are the same is asked.
func trimSelector(selector map[string]string) map[string]string {
	size := 0
	for key, value := range selector {
		size += len(key) + len(value)
	}
	if size <= maxSelector {
		return selector
	}
	hash := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		fmt.Fprintf(hash, "%q=%q,", key, selector[key])
	}
	return map[string]string{cutKey: fmt.Sprintf("sha256:%x", hash.Sum(nil))}
}
