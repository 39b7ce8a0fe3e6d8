package cutover

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// BackOrder returns the order in which nodes go back to MetalLB. It is empty, and all nodes go back at once, if the stack does
// not announce to routers or no node has moved. The nodes in Together go back first, because MetalLB announces addresses of the
// local network as soon as one of its speakers runs. The nodes in OneByOne follow one by one: after a complete switch in the
// reverse of NewOrder, and after an interrupted one those that MetalLB's DaemonSet leaves out, in the reverse order of their
// names.
func BackOrder(nodes []corev1.Node, states []v1beta1.SpeakerState, speakers *appsv1.DaemonSet, stack *v1beta1.LoadBalancerStack, local map[string][]string) (Order, error) {
	left, stopped := SwitchProgress(speakers)
	var with []corev1.Pod
	for i := range states {
		with = append(with, corev1.Pod{Spec: corev1.PodSpec{NodeName: states[i].Name}})
	}
	if len(stack.Spec.BGPPeers) == 0 || len(stack.Spec.BGPAdvertisements) == 0 {
		return Order{}, nil
	}
	all, err := SpeakerNodes(nodes, with, nil)
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
				o.OneByOne = append(o.OneByOne, n)
			} else {
				o.Together = append(o.Together, n)
			}
		}
	}
	slices.Reverse(o.OneByOne)
	if len(o.Together) == 0 && len(o.OneByOne) > 0 { // one node has to go back first
		o.Together, o.OneByOne = o.OneByOne[:1], o.OneByOne[1:]
	}
	return o, nil
}

// LeavingStack returns the stack of the cluster, changed so that it announces to routers only from the nodes with these
// hostnames, and nothing on the local network. Its removal deletes the claims: claims that stayed could contradict the
// addresses that Services have when a later switch begins. Its removal leaves the addresses in the status of Services: without
// them kube-proxy drops the traffic, and MetalLB's controller gives a Service without an address the first free one.
func LeavingStack(stack *unstructured.Unstructured, hostnames []string) (*unstructured.Unstructured, error) {
	leaving, err := WithRoutesFrom(stack, hostnames)
	if err != nil {
		return nil, err
	}
	return leaving, unstructured.SetNestedField(leaving.Object, string(v1beta1.AddressesHandOver), "spec", "removal", "addresses")
}

// NoPoolProblems returns a sentence, with what to do, for each address in the status of a Service that is in none of
// MetalLB's pools: MetalLB would not give it to the Service again.
func (c *Cluster) NoPoolProblems(pools []v1beta1.StackIPAddressPool) (problems []string) {
	for _, svc := range c.shownServices(c.servedClass()) {
		for _, address := range svc.addresses {
			if !slices.ContainsFunc(pools, func(p v1beta1.StackIPAddressPool) bool { return poolHas(&p, address) }) {
				problems = append(problems, fmt.Sprintf("Service %s shows %s, which no address pool of MetalLB has: it would lose the address: have it ask for another one first, with the annotation %s, or delete it", svc.name, address, v1beta1.AnnotationLoadBalancerIPs))
			}
		}
	}
	return problems
}

// UnavailablePods returns how many pods of MetalLB's controller are available; empty if all are.
func UnavailablePods(d *appsv1.Deployment) string {
	if d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas >= replicasOf(d) {
		return ""
	}
	return fmt.Sprintf("%d of %d pods of Deployment %s/%s are available", d.Status.AvailableReplicas, replicasOf(d), d.Namespace, d.Name)
}
