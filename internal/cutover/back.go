package cutover

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// BackOrder returns the order of the way back, which has an order only if the stack announces to routers. Together move
// first, since MetalLB's speakers announce addresses of the local network as soon as one of them runs, then First one
// after the other, in the reverse of the order in which they moved. If the switch, or a way back, was interrupted, First
// are the nodes that MetalLB's DaemonSet still leaves out.
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
	if len(o.Together) == 0 && len(o.First) > 0 { // the only node
		o.Together, o.First = o.First[:1], o.First[1:]
	}
	return o, nil
}

// Leaving returns the stack of the cluster, changed so that it announces to routers only from the nodes with these hostnames,
// and nothing on the local network. When it is removed, the claims are deleted, so that a later switch finds none that
// contradict the Services.
func Leaving(stack *unstructured.Unstructured, hostnames []string) (*unstructured.Unstructured, error) {
	leaving, err := Routed(stack, hostnames)
	if err != nil {
		return nil, err
	}
	return leaving, unstructured.SetNestedField(leaving.Object, string(v1beta1.AddressesRelease), "spec", "removal", "addresses")
}

// Ungiven returns the Services that MetalLB would not give the addresses in their status, each as a sentence with what to do. pools
// are those of MetalLB.
func (c *Cluster) Ungiven(pools []v1beta1.StackIPAddressPool) (problems []string) {
	for _, svc := range c.shown(c.class()) {
		for _, address := range svc.addresses {
			if !slices.ContainsFunc(pools, func(p v1beta1.StackIPAddressPool) bool { return lists(&p, address) }) {
				problems = append(problems, fmt.Sprintf("Service %s shows %s, which no address pool of MetalLB has: it would lose the address: have it ask for another one first, with the annotation %s, or delete it", svc.name, address, v1beta1.AnnotationLoadBalancerIPs))
			}
		}
	}
	return problems
}

// Unavailable returns what MetalLB's controller lacks; empty: all of its pods are available.
func Unavailable(d *appsv1.Deployment) string {
	if d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas >= replicas(d) {
		return ""
	}
	return fmt.Sprintf("%d of %d pods of Deployment %s/%s are available", d.Status.AvailableReplicas, replicas(d), d.Namespace, d.Name)
}
