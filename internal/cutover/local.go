package cutover

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// Local returns the Services with an address on the local network that only nodes with a ready endpoint may announce
// (externalTrafficPolicy: Local), by name, with these nodes.
func (c *Cluster) Local(stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice) map[string][]string {
	local := map[string][]string{}
	for _, svc := range c.shown(stack.Spec.LoadBalancerClass) {
		if svc.local && slices.ContainsFunc(svc.addresses, func(a string) bool { return onLAN(stack, a) }) {
			local[svc.name] = nil
		}
	}
	for i := range endpoints {
		slice := &endpoints[i]
		name := slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]
		nodes, wanted := local[name]
		if !wanted {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.NodeName != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) && !slices.Contains(nodes, *e.NodeName) {
				nodes = append(nodes, *e.NodeName)
			}
		}
		local[name] = nodes
	}
	return local
}

// onLAN reports whether an L2Advertisement of the stack may apply to an address. One with selectors of pools, or that names
// none, is taken to apply.
func onLAN(stack *v1beta1.LoadBalancerStack, text string) bool {
	address, err := apiconv.ParseAddress(text)
	if err != nil {
		return false
	}
	for _, ad := range stack.Spec.L2Advertisements {
		if len(ad.IPAddressPools) == 0 || len(ad.IPAddressPoolSelectors) > 0 {
			return true
		}
		for _, pool := range stack.Spec.IPAddressPools {
			if slices.Contains(ad.IPAddressPools, pool.Name) && slices.ContainsFunc(pool.Addresses, func(r v1beta1.AddressRange) bool {
				parsed, err := apiconv.ParseRange(string(r))
				return err == nil && parsed.Contains(address)
			}) {
				return true
			}
		}
	}
	return false
}

// isLocal reports whether only nodes with an endpoint may announce a Service.
func isLocal(svc *corev1.Service) bool {
	return svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}
