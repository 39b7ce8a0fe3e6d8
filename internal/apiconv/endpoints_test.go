package apiconv

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestParseEndpoints(t *testing.T) {
	on := func(node string, ready, serving *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: ready, Serving: serving}}
	}
	slice := func(service string, kind discoveryv1.AddressType, endpoints ...discoveryv1.Endpoint) discoveryv1.EndpointSlice {
		return discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			AddressType: kind, Endpoints: endpoints,
		}
	}
	nodes := func(names ...lb.NodeName) map[lb.NodeName]bool {
		set := map[lb.NodeName]bool{}
		for _, n := range names {
			set[n] = true
		}
		return set
	}
	const v4, v6 = discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6
	yes, no := new(true), new(false)
	web := lb.ServiceKey{Namespace: "default", Name: "web"}
	only := func(e advertise.Endpoints) ServiceEndpoints {
		return ServiceEndpoints{web: {lb.IPv4: e}}
	}
	tests := []struct {
		name   string
		slices []discoveryv1.EndpointSlice
		want   ServiceEndpoints
	}{
		{"no slices give no endpoints", nil, ServiceEndpoints{}},
		{"the slices of a Service are summed up", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", yes, yes), on("n2", yes, yes)), slice("web", v4, on("n1", yes, yes))},
			only(advertise.Endpoints{Serving: 3, Nodes: nodes("n1", "n2")})},
		{"what is not said means ready", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", nil, nil))}, only(advertise.Endpoints{Serving: 1, Nodes: nodes("n1")})},
		{"an endpoint that is not ready does not count", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", no, no), on("n2", no, nil))}, only(advertise.Endpoints{})},
		{"a terminating endpoint does not count beside a ready one", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", no, yes)), slice("web", v4, on("n2", yes, yes))},
			only(advertise.Endpoints{Serving: 1, Nodes: nodes("n2")})},
		{"a terminating endpoint that serves counts when there is no other", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", no, yes), on("n2", no, no))},
			only(advertise.Endpoints{Serving: 1, Nodes: nodes("n1")})},
		{"an endpoint may be on no node", []discoveryv1.EndpointSlice{slice("web", v4, discoveryv1.Endpoint{}, on("", yes, yes))}, only(advertise.Endpoints{Serving: 2})},
		{"families are counted apart", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", no, yes)), slice("web", v6, on("n2", yes, yes))},
			ServiceEndpoints{web: {lb.IPv4: {Serving: 1, Nodes: nodes("n1")}, lb.IPv6: {Serving: 1, Nodes: nodes("n2")}}}},
		{"names and slices of no Service are left out", []discoveryv1.EndpointSlice{slice("web", discoveryv1.AddressTypeFQDN, on("n1", yes, yes)), slice("", v4, on("n1", yes, yes))}, ServiceEndpoints{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ParseEndpoints(tt.slices)); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}
