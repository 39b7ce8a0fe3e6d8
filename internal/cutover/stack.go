package cutover

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// routeFields are the fields of the spec that a stack needs to announce to routers. announceFields are all fields by which
// addresses are announced.
var (
	routeFields    = []string{"bgpAdvertisements", "bgpPeers"}
	announceFields = append([]string{"l2Advertisements"}, routeFields...)
)

// WithoutAnnouncements returns a copy of a stack that announces nothing. With such a stack, the controller
// claims addresses and the speakers run.
func WithoutAnnouncements(stack *unstructured.Unstructured) *unstructured.Unstructured {
	return withoutFields(stack, announceFields)
}

// WithRoutesFrom returns a copy of a stack that announces only to routers, and only from the nodes with these hostnames. Without
// hostnames the copy announces nothing.
func WithRoutesFrom(stack *unstructured.Unstructured, hostnames []string) (*unstructured.Unstructured, error) {
	if len(hostnames) == 0 {
		return WithoutAnnouncements(stack), nil
	}
	limited := withoutFields(stack, announceFields[:1])
	peers, _, err := unstructured.NestedSlice(limited.Object, "spec", "bgpPeers")
	if err != nil {
		return nil, fmt.Errorf("the stack: %w", err)
	}
	values := []any{}
	for _, name := range slices.Sorted(slices.Values(hostnames)) {
		values = append(values, name)
	}
	only := map[string]any{"key": corev1.LabelHostname, "operator": "In", "values": values}
	for i := range peers {
		peer, ok := peers[i].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("the stack: spec.bgpPeers[%d] is not an object", i)
		}
		selectors, _ := peer["nodeSelectors"].([]any)
		if len(selectors) == 0 { // an empty list selects all nodes
			selectors = []any{map[string]any{}}
		}
		for j := range selectors {
			selector, ok := selectors[j].(map[string]any)
			if !ok {
				return nil, fmt.Errorf("the stack: spec.bgpPeers[%d].nodeSelectors[%d] is not an object", i, j)
			}
			expressions, _ := selector["matchExpressions"].([]any)
			selector["matchExpressions"] = append(expressions, only)
		}
		peer["nodeSelectors"] = selectors
	}
	return limited, unstructured.SetNestedSlice(limited.Object, peers, "spec", "bgpPeers")
}

// HasRoutes reports whether a stack announces to routers.
func HasRoutes(stack *unstructured.Unstructured) bool {
	return !slices.ContainsFunc(routeFields, func(field string) bool { return fieldLength(stack, field) == 0 })
}

// HasLayer2 reports whether a stack announces on the local network.
func HasLayer2(stack *unstructured.Unstructured) bool {
	return fieldLength(stack, "l2Advertisements") > 0
}

func fieldLength(stack *unstructured.Unstructured, field string) int {
	list, _, _ := unstructured.NestedSlice(stack.Object, "spec", field)
	return len(list)
}

func withoutFields(stack *unstructured.Unstructured, fields []string) *unstructured.Unstructured {
	stack = stack.DeepCopy()
	for _, field := range fields {
		unstructured.RemoveNestedField(stack.Object, "spec", field)
	}
	return stack
}
