package apiconv

import (
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// ServiceEndpoints has the usable endpoints of Services, by Service and family.
type ServiceEndpoints map[lb.ServiceKey]map[lb.Family]eligibility.Endpoints

// endpointsKey is the key under which ParseEndpoints counts the endpoints of EndpointSlices.
type endpointsKey struct {
	service lb.ServiceKey
	family  lb.Family
}

// endpointSets has the endpoints of a Service and family.
type endpointSets struct {
	ready   eligibility.Endpoints
	serving eligibility.Endpoints // endpoints that are not ready, and still serve while they terminate
}

// ParseEndpoints reads the EndpointSlices of Services, in packed form (see PackEndpoints) or not. Like
// kube-proxy, it counts the ready endpoints of each family. If a Service has no ready endpoint of a
// family, it counts the endpoints that still serve while they terminate. All endpoints of a slice on the
// same node count as one. If the list nodes does not contain the node of an endpoint, the endpoint
// counts in Endpoints.Serving, but its node is not in Endpoints.Nodes.
func ParseEndpoints(slices []discoveryv1.EndpointSlice, nodes NodeNames) ServiceEndpoints {
	found := map[endpointsKey]*endpointSets{}
	for i := range slices {
		slice := &slices[i]
		service, family := slice.Labels[discoveryv1.LabelServiceName], sliceFamily(slice)
		if service == "" || family == 0 {
			continue
		}
		key := endpointsKey{lb.ServiceKey{Namespace: slice.Namespace, Name: service}, family}
		if found[key] == nil {
			found[key] = &endpointSets{}
		}
		forEachEntry(slice, func(node uint64, flags byte) {
			if flags&packedReady != 0 {
				addEndpoint(&found[key].ready, nodes[node])
			}
			if flags&packedServing != 0 {
				addEndpoint(&found[key].serving, nodes[node])
			}
		})
	}
	result := make(ServiceEndpoints, len(found))
	for key, kinds := range found {
		if result[key.service] == nil {
			result[key.service] = map[lb.Family]eligibility.Endpoints{}
		}
		result[key.service][key.family] = kinds.usableEndpoints()
	}
	return result
}

func (k *endpointSets) usableEndpoints() eligibility.Endpoints {
	if k.ready.Serving > 0 {
		return k.ready
	}
	return k.serving
}

func addEndpoint(endpoints *eligibility.Endpoints, node lb.NodeName) {
	endpoints.Serving++
	if node == "" {
		return
	}
	if endpoints.Nodes == nil {
		endpoints.Nodes = map[lb.NodeName]bool{}
	}
	endpoints.Nodes[node] = true
}

func sliceFamily(slice *discoveryv1.EndpointSlice) lb.Family {
	switch slice.AddressType {
	case discoveryv1.AddressTypeIPv4:
		return lb.IPv4
	case discoveryv1.AddressTypeIPv6:
		return lb.IPv6
	}
	return 0 // host names, which kube-proxy does not serve
}

func isTrue(condition *bool, unknown bool) bool {
	if condition == nil {
		return unknown
	}
	return *condition
}
