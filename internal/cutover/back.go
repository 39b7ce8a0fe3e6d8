package cutover

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// BackOrder returns the order of the way back: those nodes together that moved last, since MetalLB's speakers announce
// addresses of the local network as soon as one of them runs, then the others one after the other. A way back that was
// interrupted, or that follows a switch that was, leaves those that are lbstack's for the end.
func BackOrder(nodes []corev1.Node, states []v1beta1.SpeakerState, speakers *appsv1.DaemonSet, stack *v1beta1.LoadBalancerStack, local map[string][]string) (Order, error) {
	left, stopped := Left(speakers)
	var with []corev1.Pod
	for i := range states {
		with = append(with, corev1.Pod{Spec: corev1.PodSpec{NodeName: states[i].Name}})
	}
	if len(stack.Spec.BGPPeers) == 0 || len(stack.Spec.BGPAdvertisements) == 0 {
		return Order{}, nil
	}
	all, err := Nodes(nodes, with, nil)
	if err != nil {
		return Order{}, err
	}
	var o Order
	switch {
	case stopped:
		o = NewOrder(all, nil, local)
	case len(left) > 0:
		for _, n := range all {
			if slices.Contains(left, n.Hostname) {
				o.First = append(o.First, n)
			} else {
				o.Together = append(o.Together, n)
			}
		}
	}
	slices.Reverse(o.First)
	return o, nil
}

// Leaving is the stack of the cluster when it announces to routers from the nodes of these hostnames alone, and nothing on the
// local network. Its removal deletes the claims: a later switch finds none that say otherwise than the Services.
func Leaving(stack *unstructured.Unstructured, hostnames []string) (*unstructured.Unstructured, error) {
	leaving, err := Routed(stack, hostnames)
	if err != nil {
		return nil, err
	}
	return leaving, unstructured.SetNestedField(leaving.Object, string(v1beta1.AddressesRelease), "spec", "removal", "addresses")
}

// Unavailable is what MetalLB's controller lacks; empty: it runs.
func Unavailable(d *appsv1.Deployment) string {
	if d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas >= replicas(d) {
		return ""
	}
	return fmt.Sprintf("%d of %d pods of Deployment %s/%s are available", d.Status.AvailableReplicas, replicas(d), d.Namespace, d.Name)
}
