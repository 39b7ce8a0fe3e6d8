package apiconv

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// UnknownAnnotation is an annotation that has a prefix of lbstack or MetalLB, but no effect.
type UnknownAnnotation struct {
	// Key is the key of the annotation.
	Key string
	// Nearest is the known annotation of lbstack.io/ with the most similar name.
	Nearest string
}

// allocatedFromPoolName is the name, without the prefix, of the annotation in which lbstack and MetalLB write the
// pools of a Service.
const allocatedFromPoolName = "ip-allocated-from-pool"

// isGivenByMetalLB reports whether a Service has the annotation in which MetalLB writes the pools of its
// addresses. The value of the annotation does not matter, since TrimService removes it.
func isGivenByMetalLB(svc *corev1.Service) bool {
	return slices.ContainsFunc(annotationPrefixes[1:], func(prefix string) bool {
		_, is := svc.Annotations[prefix+allocatedFromPoolName]
		return is
	})
}

// isKnownAnnotation reports whether lbstack reads an annotation of Services.
func isKnownAnnotation(key string) bool {
	return slices.Contains(poolAnnotations, key) || slices.Contains(addressAnnotations, key) || slices.Contains(sharingAnnotations, key) ||
		key == v1beta1.AnnotationAllocatedFromPool || key == v1beta1.AnnotationKeptAddresses
}

// UnknownAnnotations returns the annotations of a Service that have a prefix of lbstack or MetalLB and that
// lbstack does not read. They are sorted by key.
func UnknownAnnotations(svc *corev1.Service) (unknown []UnknownAnnotation) {
	for _, key := range slices.Sorted(maps.Keys(svc.Annotations)) {
		i := slices.IndexFunc(annotationPrefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		if i < 0 || isKnownAnnotation(key) || key == annotationPrefixes[i]+allocatedFromPoolName {
			continue
		}
		unknown = append(unknown, UnknownAnnotation{Key: key, Nearest: nearestAnnotation(strings.TrimPrefix(key, annotationPrefixes[i]))})
	}
	return unknown
}

// nearestAnnotation returns the known annotation of lbstack.io/ whose name is most similar to a name.
func nearestAnnotation(name string) string {
	return slices.MinFunc([]string{v1beta1.AnnotationAddressPool, v1beta1.AnnotationLoadBalancerIPs, v1beta1.AnnotationAllowSharedIP}, func(x, y string) int {
		return editDistance(normalizedName(name), normalizedName(strings.TrimPrefix(x, annotationPrefixes[0]))) - editDistance(normalizedName(name), normalizedName(strings.TrimPrefix(y, annotationPrefixes[0])))
	})
}

// normalizedName returns a name in lower case, without dashes, underscores and dots, so that names in different
// styles are equal.
func normalizedName(name string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
}

// editDistance returns the Levenshtein distance of two names. The names of annotations are short: they have at
// most 63 characters.
func editDistance(x, y string) int {
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(x) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(y) {
			edit := diagonal
			if x[i] != y[j] {
				edit++
			}
			diagonal = row[j+1]
			row[j+1] = min(edit, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}

// IsPaused reports whether the stack has the annotation lbstack.io/pause with a value other than "false". The
// operator of a paused stack writes only the status of the stack.
func IsPaused(stack *v1beta1.LoadBalancerStack) bool {
	value, annotated := stack.Annotations[v1beta1.AnnotationPause]
	return annotated && value != "false"
}
