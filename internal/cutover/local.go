package cutover

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// LocalServices returns the Services with an address to which an L2Advertisement of the stack may apply, each
// with the nodes that may announce the Service. These are the nodes that such an advertisement selects,
// without those that are excluded from load balancers and, with externalTrafficPolicy: Local, without those
// that have no endpoint. The key is namespace/name.
func (c *Cluster) LocalServices(stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice) map[string][]string {
	serving := endpointNodes(endpoints)
	local := map[string][]string{}
	for _, svc := range c.shownServices(stack.Spec.LoadBalancerClass) {
		var ads []*v1beta1.StackL2Advertisement
		for i := range stack.Spec.L2Advertisements {
			ad := &stack.Spec.L2Advertisements[i]
			if slices.ContainsFunc(svc.addresses, func(a string) bool { return mayApply(stack, ad, a) }) {
				ads = append(ads, ad)
			}
		}
		if len(ads) == 0 {
			continue
		}
		local[svc.name] = nil
		for i := range c.Nodes {
			node := &c.Nodes[i]
			_, excluded := node.Labels[corev1.LabelNodeExcludeBalancers]
			if excluded && !stack.Spec.Nodes.IgnoreExcludeLabel || svc.local && !serving[svc.name][node.Name] {
				continue
			}
			if slices.ContainsFunc(ads, func(ad *v1beta1.StackL2Advertisement) bool { return selectsLabels(ad.NodeSelectors, node.Labels) }) {
				local[svc.name] = append(local[svc.name], node.Name)
			}
		}
	}
	return local
}

// endpointNodes returns the nodes with a ready endpoint, by namespace/name of the Service.
func endpointNodes(endpoints []discoveryv1.EndpointSlice) map[string]map[string]bool {
	nodes := map[string]map[string]bool{}
	for i := range endpoints {
		slice := &endpoints[i]
		name := slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]
		if nodes[name] == nil {
			nodes[name] = map[string]bool{}
		}
		for _, e := range slice.Endpoints {
			if e.NodeName != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				nodes[name][*e.NodeName] = true
			}
		}
	}
	return nodes
}

// selectsLabels reports whether one of the selectors matches the labels of a node. An empty list selects all nodes.
func selectsLabels(selectors []metav1.LabelSelector, node map[string]string) bool {
	return len(selectors) == 0 || slices.ContainsFunc(selectors, func(s metav1.LabelSelector) bool {
		selector, err := metav1.LabelSelectorAsSelector(&s)
		return err == nil && selector.Matches(labels.Set(node))
	})
}

// mayApply reports whether an L2Advertisement of the stack may apply to an address. It returns true if the advertisement names no
// pool or selects pools by labels, and otherwise compares the ranges of the named pools.
func mayApply(stack *v1beta1.LoadBalancerStack, ad *v1beta1.StackL2Advertisement, address string) bool {
	if len(ad.IPAddressPools) == 0 || len(ad.IPAddressPoolSelectors) > 0 {
		return true
	}
	return slices.ContainsFunc(stack.Spec.IPAddressPools, func(pool v1beta1.StackIPAddressPool) bool {
		return slices.Contains(ad.IPAddressPools, pool.Name) && poolHas(&pool, address)
	})
}

// poolHas reports whether an address is in one of the ranges of a pool.
func poolHas(pool *v1beta1.StackIPAddressPool, text string) bool {
	address, err := apiconv.ParseAddress(text)
	return err == nil && slices.ContainsFunc(pool.Addresses, func(r v1beta1.AddressRange) bool {
		parsed, err := apiconv.ParseRange(string(r))
		return err == nil && parsed.Contains(address)
	})
}

// isLocal reports whether only nodes with an endpoint may announce a Service.
func isLocal(svc *corev1.Service) bool {
	return svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}
