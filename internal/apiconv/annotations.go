package apiconv

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// UnknownAnnotation is an annotation that looks like one of lbstack's or MetalLB's and has
// no effect.
type UnknownAnnotation struct {
	// Key of the annotation.
	Key string
	// Nearest is the annotation under lbstack.io/ whose name is most alike.
	Nearest string
}

// allocatedFromPool is the name of the annotation that lbstack and MetalLB write.
const allocatedFromPool = "ip-allocated-from-pool"

// isRead reports whether the value of an annotation of a Service is read.
func isRead(key string) bool {
	return slices.Contains(poolAnnotations, key) || slices.Contains(addressAnnotations, key) || slices.Contains(sharingAnnotations, key) ||
		key == v1beta1.AnnotationAllocatedFromPool
}

// UnknownAnnotations returns the annotations of a Service under the prefixes of lbstack and
// MetalLB that nothing reads, by key.
func UnknownAnnotations(svc *corev1.Service) (unknown []UnknownAnnotation) {
	for _, key := range slices.Sorted(maps.Keys(svc.Annotations)) {
		i := slices.IndexFunc(annotationPrefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		if i < 0 || isRead(key) || key == annotationPrefixes[i]+allocatedFromPool {
			continue
		}
		unknown = append(unknown, UnknownAnnotation{Key: key, Nearest: nearest(strings.TrimPrefix(key, annotationPrefixes[i]))})
	}
	return unknown
}

// nearest returns the annotation under lbstack.io/ that needs the fewest edits of its name.
func nearest(name string) string {
	return slices.MinFunc([]string{v1beta1.AnnotationAddressPool, v1beta1.AnnotationLoadBalancerIPs, v1beta1.AnnotationAllowSharedIP}, func(x, y string) int {
		return distance(plain(name), plain(strings.TrimPrefix(x, annotationPrefixes[0]))) - distance(plain(name), plain(strings.TrimPrefix(y, annotationPrefixes[0])))
	})
}

// plain leaves out what people write differently: case, dashes and underscores. Names of
// annotations have at most 63 characters.
func plain(name string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
}

// distance is the Levenshtein distance of two names.
func distance(x, y string) int {
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

// Paused says whether the annotation lbstack.io/pause has the operator write nothing but the status of the stack.
func Paused(stack *v1beta1.LoadBalancerStack) bool {
	value, annotated := stack.Annotations[v1beta1.AnnotationPause]
	return annotated && value != "false"
}
