package apiconv

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/internal/eligibility"
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
	only := func(e eligibility.Endpoints) ServiceEndpoints {
		return ServiceEndpoints{web: {lb.IPv4: e}}
	}
	tests := []struct {
		name   string
		slices []discoveryv1.EndpointSlice
		want   ServiceEndpoints
	}{
		{"no slices give no endpoints", nil, ServiceEndpoints{}},
		{"the slices of a Service are summed up", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", yes, yes), on("n2", yes, yes)), slice("web", v4, on("n1", yes, yes))},
			only(eligibility.Endpoints{Serving: 3, Nodes: nodes("n1", "n2")})},
		{"an endpoint without conditions is ready", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", nil, nil))}, only(eligibility.Endpoints{Serving: 1, Nodes: nodes("n1")})},
		{"an endpoint that is not ready does not count", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", no, no), on("n2", no, nil))}, only(eligibility.Endpoints{})},
		{"a terminating endpoint does not count beside a ready one", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", no, yes)), slice("web", v4, on("n2", yes, yes))},
			only(eligibility.Endpoints{Serving: 1, Nodes: nodes("n2")})},
		{"a terminating endpoint that serves counts when there is no other", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", no, yes), on("n2", no, no))},
			only(eligibility.Endpoints{Serving: 1, Nodes: nodes("n1")})},
		{"an endpoint may be on no node", []discoveryv1.EndpointSlice{slice("web", v4, discoveryv1.Endpoint{}, on("", yes, yes))}, only(eligibility.Endpoints{Serving: 1})},
		{"endpoints on a node that is not known serve on no node", []discoveryv1.EndpointSlice{slice("web", v4, on("n9", yes, yes))}, only(eligibility.Endpoints{Serving: 1})},
		{"endpoints on one node count once", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", yes, yes), on("n1", no, yes), on("n1", yes, yes))},
			only(eligibility.Endpoints{Serving: 1, Nodes: nodes("n1")})},
		{"families are counted apart", []discoveryv1.EndpointSlice{slice("web", v4, on("n1", no, yes)), slice("web", v6, on("n2", yes, yes))},
			ServiceEndpoints{web: {lb.IPv4: {Serving: 1, Nodes: nodes("n1")}, lb.IPv6: {Serving: 1, Nodes: nodes("n2")}}}},
		{"names and slices of no Service are left out", []discoveryv1.EndpointSlice{slice("web", discoveryv1.AddressTypeFQDN, on("n1", yes, yes)), slice("", v4, on("n1", yes, yes))}, ServiceEndpoints{}},
	}
	known := NodeNames{}
	known.Add("n1")
	known.Add("n2")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ParseEndpoints(tt.slices, known)); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
			for i := range tt.slices {
				once := PackEndpoints(&tt.slices[i])
				if diff := cmp.Diff(once, PackEndpoints(once)); diff != "" {
					t.Errorf("packed twice (-once +twice):\n%s", diff)
				}
				tt.slices[i] = *once
			}
			if diff := cmp.Diff(tt.want, ParseEndpoints(tt.slices, known)); diff != "" {
				t.Errorf("packed endpoints (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPackEndpoints_Size(t *testing.T) {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: "s", UID: "u", ResourceVersion: "7", Annotations: map[string]string{"a": "b"},
			Labels: map[string]string{discoveryv1.LabelServiceName: "web", "more": "labels"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for i := range 1000 {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}, NodeName: new(fmt.Sprintf("invented-%d", i))})
	}
	got := PackEndpoints(slice)
	entries, is := packedEntries(got)
	if !is || len(entries) != 1000*packedSize {
		t.Errorf("1000 endpoints: got %d bytes, packed: %v, want %d", len(entries), is, 1000*packedSize)
	}
	got.Endpoints = nil
	want := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: "s", UID: "u", ResourceVersion: "7", Labels: map[string]string{discoveryv1.LabelServiceName: "web"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is kept besides (-want +got):\n%s", diff)
	}
	if !HasEndpointOn(slice, "invented-7") || HasEndpointOn(slice, "n1") {
		t.Error("HasEndpointOn: want true for a node with an endpoint, and false for another one")
	}
	names := NodeNames{}
	names.Add("n1")
	names.Remove("n1")
	if len(names) != 0 {
		t.Errorf("a name that was removed is known: %v", names)
	}
}
