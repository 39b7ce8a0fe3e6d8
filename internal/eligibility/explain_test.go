package eligibility_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestWhyNobodyMayAnnounce(t *testing.T) {
	gold := ad{Scope: scope{Name: "gold", Pools: []lb.PoolName{"gold"}}}
	zoneB := ad{Scope: scope{Name: "b", NodeSelectors: anyOf(has("zone", "b"))}}
	nobody := ad{Scope: scope{Name: "c", NodeSelectors: anyOf(has("zone", "c"))}}
	tenant := ad{Scope: scope{Name: "tenant", NamespaceSelectors: anyOf(has("tenant", "a"))}}
	databases := ad{Scope: scope{Name: "db", ServiceSelectors: anyOf(has("app", "db"))}}
	const label = "has the label x"
	elsewhere := lb.ServiceKey{Namespace: "secret", Name: "plan"}
	tests := []struct {
		name   string
		in     eligibility.Input
		reason eligibility.Reason
		why    string
	}{
		{"there is no advertisement", base(), eligibility.NoAdvertisement,
			`there is no L2Advertisement, so nothing is announced: create one that selects the pool "gold"`},
		{"there are advertisements of other pools", base(ad{Scope: scope{Name: "tin", Pools: []lb.PoolName{"tin"}}}), eligibility.NoAdvertisement,
			`no L2Advertisement selects the pool "gold": add the pool to spec.ipAddressPools of an existing one (the L2Advertisement "tin"), or create another one`},
		{"there are advertisements of other Services", base(databases), eligibility.NoAdvertisement,
			`spec.serviceSelectors of the L2Advertisement "db", which selects the pool "gold", do not match the labels of the Service default/web: change the labels or the selectors`},
		{"there are advertisements of other namespaces", base(tenant), eligibility.NoAdvertisement,
			`spec.namespaceSelectors of the L2Advertisement "tenant", which selects the pool "gold", do not match the labels of the namespace of the Service default/web: change the labels or the selectors`},
		{"there are advertisements of other namespaces, and one namespace holds the address with another", with(base(tenant), serves(local(elsewhere, "n1"), local(web, "n1"))), eligibility.NoAdvertisement,
			`spec.namespaceSelectors of the L2Advertisement "tenant", which selects the pool "gold", do not match the labels of the namespace of the Service that has had the address longest (2 Services, of several namespaces, share it): change the labels or the selectors`},
		{"there are advertisements of other Services and of other namespaces", base(databases, tenant), eligibility.NoAdvertisement,
			`spec.serviceSelectors and spec.namespaceSelectors of the L2Advertisements "db" and "tenant", which select the pool "gold", do not match the labels of the namespace and of the Service default/web: change the labels or the selectors`},
		{"no pod is ready", with(base(gold), serves(local(web))), eligibility.NoEndpoints,
			"the Service default/web has no ready IPv4 endpoint, so traffic would go nowhere: check that the pods run and are ready, and that spec.selector selects them"},
		{"no pod of those that share is ready", with(base(gold), serves(local(web), local(dns))), eligibility.NoEndpoints,
			"the Services default/dns and default/web have no ready IPv4 endpoint, so traffic would go nowhere: check that the pods run and are ready, and that spec.selector selects them"},
		{"no pod of those that share is ready, in two namespaces", with(base(gold), serves(local(web), local(elsewhere))), eligibility.NoEndpoints,
			"the 2 Services of several namespaces that share the address have no ready IPv4 endpoint, so traffic would go nowhere: check that the pods run and are ready, and that spec.selector selects them"},
		{"the first of those that share matches no advertisement", with(base(databases), serves(local(web, "n1"), eligibility.Service{Key: dns, Labels: labels{"app": "db"}})), eligibility.NoAdvertisement,
			`spec.serviceSelectors of the L2Advertisement "db", which selects the pool "gold", do not match the labels of the Service default/web, which has had the address longest of those that share it: change the labels or the selectors`},
		{"there are advertisements of other Services, in two namespaces", with(base(databases), serves(local(elsewhere, "n1"), local(web, "n1"))), eligibility.NoAdvertisement,
			`spec.serviceSelectors of the L2Advertisement "db", which selects the pool "gold", do not match the labels of the Service that has had the address longest (2 Services, of several namespaces, share it): change the labels or the selectors`},
		{"local pods run where nobody may announce, in two namespaces", with(base(zoneB), serves(local(elsewhere, "n1"), local(web, "n1"))), eligibility.NoNode,
			`spec.externalTrafficPolicy of a Service that shares the address is Local, and its ready endpoints are only on the node n1, which may not announce the address: the L2Advertisement "b" selects the node n3; run a pod of the Service on such a node, or change spec.nodeSelectors`},
		{"local pods run on no node, in two namespaces", with(base(gold), serves(eligibility.Service{Key: elsewhere, Local: true,
			Endpoints: map[lb.Family]eligibility.Endpoints{lb.IPv4: {Serving: 2}}}, local(web, "n1"))), eligibility.NoNode,
			`spec.externalTrafficPolicy of a Service that shares the address is Local, and none of its endpoints is on a node of the cluster: set externalTrafficPolicy to Cluster`},
		{"the cluster is empty", with(base(gold), func(in *eligibility.Input) { in.Nodes = nil }), eligibility.NoNode, "the cluster has no node"},
		{"selectors match no node", base(nobody, ad{Scope: scope{Name: "d", NodeSelectors: anyOf(has("zone", "d"))}}), eligibility.NoNode,
			`spec.nodeSelectors of the L2Advertisements "c" and "d" match none of the 3 nodes: change the selectors or the labels of the nodes`},
		{"all nodes are excluded", with(base(gold), excludes(label, "n1", "n2", "n3")), eligibility.NoNode,
			`no node that the L2Advertisement "gold" selects may announce: n1 has the label x; n2 has the label x; n3 has the label x`},
		{"local pods run where nobody may announce", with(base(zoneB), serves(local(web, "n1", "n2"))), eligibility.NoNode,
			`spec.externalTrafficPolicy of the Service default/web is Local, and its ready endpoints are only on the nodes n1 and n2, which may not announce the address: the L2Advertisement "b" selects the node n3; run a pod of the Service on such a node, or change spec.nodeSelectors`},
		{"local pods run on an excluded node", with(base(gold), serves(local(web, "n1")), excludes(label, "n1")), eligibility.NoNode,
			`spec.externalTrafficPolicy of the Service default/web is Local, and its ready endpoints are only on the node n1, which may not announce the address: n1 has the label x`},
		{"local pods run on no node", with(base(gold), serves(eligibility.Service{Key: web, Local: true,
			Endpoints: map[lb.Family]eligibility.Endpoints{lb.IPv4: {Serving: 2}}})), eligibility.NoNode,
			`spec.externalTrafficPolicy of the Service default/web is Local, and none of its endpoints is on a node of the cluster: set externalTrafficPolicy to Cluster`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := []eligibility.Result{{Address: one, Reason: tt.reason, Why: tt.why}}
			if diff := cmp.Diff(want, eligibility.Resolve(tt.in), byValue); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
		})
	}
}

func TestASentenceNamesTheFirstAndCountsTheOthers(t *testing.T) {
	in := base(ad{Scope: scope{Name: "e"}}, ad{Scope: scope{Name: "d"}}, ad{Scope: scope{Name: "c"}}, ad{Scope: scope{Name: "b"}}, ad{Scope: scope{Name: "a"}})
	in.Nodes = nil
	for _, name := range []lb.NodeName{"n1", "n2", "n3", "n4", "n5"} {
		in.Nodes = append(in.Nodes, eligibility.Node{Name: name, Excluded: "is away"})
	}
	const want = `no node that the L2Advertisements "a", "b", "c" and 2 more select may announce: n1 is away; n2 is away; n3 is away; 2 more nodes are excluded as well`
	if got := eligibility.Resolve(in)[0].Why; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
