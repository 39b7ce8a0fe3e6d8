package cutover

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// RollbackProblems returns the problems that prevent a rollback, each as a sentence with what to do.
// NoPoolProblems returns further problems. If the cluster has no stack, RollbackProblems checks only the
// installation of MetalLB, since the rollback cannot delete a stack by mistake.
func (c *Cluster) RollbackProblems() []string {
	if problems := c.InstallationProblems(c.Stack != nil && HasRoutes(c.Stack)); len(problems) > 0 || c.Stack == nil {
		return problems
	}
	if !c.HasSwitchBegun() {
		return []string{"no switch from MetalLB was made: neither MetalLB's workloads nor LoadBalancerStack default show one. A rollback would delete the stack, and nothing would announce the Services of lbstack any more. " +
			"If you switched by hand, go back by hand as docs/migrate.md describes. To remove lbstack, delete the stack"}
	}
	class, _, _ := unstructured.NestedString(c.Stack.Object, "spec", "loadBalancerClass")
	if served := c.servedClass(); served != class {
		return []string{fmt.Sprintf("MetalLB serves Services %s, and LoadBalancerStack default serves Services %s: MetalLB would not take over the Services of lbstack. Make the flag --lb-class of MetalLB's controller and speakers equal to spec.loadBalancerClass of the stack", classPhrase(served), classPhrase(class))}
	}
	return nil
}

// HasSwitchBegun reports whether a switch to lbstack has begun and was not rolled back completely. kubectl
// lbstack migrate records the switch in annotations of MetalLB's workloads. A switch by hand scales MetalLB's
// controller to 0, or changes MetalLB's DaemonSet so that its speakers run on no node. In the last steps of a
// rollback, only the stack shows the switch.
func (c *Cluster) HasSwitchBegun() bool {
	_, stopped := SwitchProgress(&c.Speakers[0])
	_, noted := c.Controllers[0].Annotations[AnnotationBefore]
	return noted || stopped || HasBegun(&c.Speakers[0]) || replicasOf(&c.Controllers[0]) == 0 || c.Stack != nil && isLeavingStack(c.Stack)
}

// isLeavingStack reports whether a stack is in the last steps of a rollback: it announces nothing, and when
// it is removed, the addresses stay in the status of Services. LeavingStack returns such a stack if it is
// called without hostnames.
func isLeavingStack(stack *unstructured.Unstructured) bool {
	addresses, _, _ := unstructured.NestedString(stack.Object, "spec", "removal", "addresses")
	return addresses == string(v1beta1.AddressesHandOver) && !HasLayer2(stack) && !HasRoutes(stack)
}

// BackOrder returns the order in which nodes go back to MetalLB. It is empty, and all nodes go back at once, if the stack does
// not announce to routers or no node has moved. The nodes in Together go back first, because MetalLB announces addresses of the
// local network as soon as one of its speakers runs. The nodes in OneByOne follow one by one. After a complete switch, their order is
// the reverse of NewOrder. After an interrupted switch, they are the nodes that MetalLB's DaemonSet leaves out, in the reverse order
// of their names.
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
	if len(o.Together) == 0 && len(o.OneByOne) > 0 { // at least one node has to go back first
		o.Together, o.OneByOne = o.OneByOne[:1], o.OneByOne[1:]
	}
	return o, nil
}

// LeavingStack returns the stack of the cluster as a rollback applies it. This stack announces to routers
// only from the nodes with these hostnames, and nothing on the local network. When it is removed, the claims
// are deleted: at a later switch, old claims could contradict the addresses that Services have by then. The
// addresses stay in the status of Services. If a Service had no address in its status, kube-proxy would drop
// its traffic, and MetalLB's controller would give it the first free address.
func LeavingStack(stack *unstructured.Unstructured, hostnames []string) (*unstructured.Unstructured, error) {
	leaving, err := WithRoutesFrom(stack, hostnames)
	if err != nil {
		return nil, err
	}
	return leaving, unstructured.SetNestedField(leaving.Object, string(v1beta1.AddressesHandOver), "spec", "removal", "addresses")
}

// NoPoolProblems returns a sentence, with what to do, for each address that a Service has in its status and that no pool of
// MetalLB contains. MetalLB would not give such an address to the Service again.
func (c *Cluster) NoPoolProblems(pools []v1beta1.StackIPAddressPool) (problems []string) {
	for _, svc := range c.shownServices(c.servedClass()) {
		for _, address := range svc.addresses {
			if !slices.ContainsFunc(pools, func(p v1beta1.StackIPAddressPool) bool { return poolHas(&p, address) }) {
				problems = append(problems, fmt.Sprintf("Service %s has %s in its status, and no address pool of MetalLB contains this address: MetalLB would take the address from the Service. First request another address with the annotation %s, or delete the Service", svc.name, address, v1beta1.AnnotationLoadBalancerIPs))
			}
		}
	}
	return problems
}

// UnavailablePodsMessage returns how many pods of MetalLB's controller are available; empty if all are.
func UnavailablePodsMessage(d *appsv1.Deployment) string {
	if d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas >= replicasOf(d) {
		return ""
	}
	return fmt.Sprintf("%d of %d pods of Deployment %s/%s are available", d.Status.AvailableReplicas, replicasOf(d), d.Namespace, d.Name)
}
