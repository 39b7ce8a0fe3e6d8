package eligibility_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

type (
	ad     = eligibility.Advertisement
	scope  = eligibility.Scope
	labels = map[string]string
)

var (
	one = netip.MustParseAddr("10.0.0.1")
	six = netip.MustParseAddr("2001:db8::1")
	web = lb.ServiceKey{Namespace: "default", Name: "web"}
	dns = lb.ServiceKey{Namespace: "default", Name: "dns"}
)

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

// has selects what has this label.
func has(key, value string) eligibility.Selector {
	return func(set map[string]string) bool { return set[key] == value }
}

func anyOf(s ...eligibility.Selector) []eligibility.Selector { return s }

// on are endpoints on nodes, one each.
func on(nodes ...lb.NodeName) map[lb.Family]eligibility.Endpoints {
	e := eligibility.Endpoints{Serving: len(nodes), Nodes: map[lb.NodeName]bool{}}
	for _, n := range nodes {
		e.Nodes[n] = true
	}
	return map[lb.Family]eligibility.Endpoints{lb.IPv4: e}
}

func nodes() []eligibility.Node {
	return []eligibility.Node{
		{Name: "n3", Labels: labels{"zone": "b"}},
		{Name: "n1", Labels: labels{"zone": "a"}},
		{Name: "n2", Labels: labels{"zone": "a", "fast": "yes"}},
	}
}

// pool lists all addresses.
func pool(name lb.PoolName, set labels) eligibility.Pool {
	return eligibility.Pool{Name: name, Labels: set, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("0.0.0.0/0")), lb.RangeOf(netip.MustParsePrefix("::/0"))}}
}

func gold() []eligibility.Pool { return []eligibility.Pool{pool("gold", nil)} }

// base is a cluster of three nodes with one Service that shows an address of
// the pool gold.
func base(ads ...ad) eligibility.Input {
	return eligibility.Input{
		Advertisements: ads, Nodes: nodes(),
		Pools:     []eligibility.Pool{pool("gold", labels{"tier": "high"})},
		Services:  []eligibility.Service{{Key: web, Labels: labels{"app": "web"}, Endpoints: on("n1")}},
		Addresses: []eligibility.Address{{Address: one, Pool: "gold", Holders: []lb.ServiceKey{web}}},
	}
}

func with(in eligibility.Input, changes ...func(*eligibility.Input)) eligibility.Input {
	for _, change := range changes {
		change(&in)
	}
	return in
}

func serves(s ...eligibility.Service) func(*eligibility.Input) {
	return func(in *eligibility.Input) {
		in.Services, in.Addresses[0].Holders = s, nil
		for i := range s {
			in.Addresses[0].Holders = append(in.Addresses[0].Holders, s[i].Key)
		}
	}
}

func excludes(why string, names ...lb.NodeName) func(*eligibility.Input) {
	return func(in *eligibility.Input) {
		for i := range in.Nodes {
			for _, name := range names {
				if in.Nodes[i].Name == name {
					in.Nodes[i].Excluded = why
				}
			}
		}
	}
}

func local(key lb.ServiceKey, nodes ...lb.NodeName) eligibility.Service {
	return eligibility.Service{Key: key, Local: true, Endpoints: on(nodes...)}
}

func TestWhoMayAnnounce(t *testing.T) {
	type candidates = []eligibility.Candidate
	everyone := candidates{{Node: "n1"}, {Node: "n2"}, {Node: "n3"}}
	tests := []struct {
		name string
		in   eligibility.Input
		want candidates
	}{
		{"an empty advertisement means all pools, nodes and interfaces", base(ad{}), everyone},
		{"a pool can be named", base(ad{Scope: scope{Pools: []lb.PoolName{"gold"}}}), everyone},
		{"a pool that is gone can be named still", with(base(ad{Scope: scope{Pools: []lb.PoolName{"gold"}}}), func(in *eligibility.Input) { in.Pools = nil }), everyone},
		{"pools are selected by label", base(ad{Scope: scope{PoolSelectors: anyOf(has("tier", "low"), has("tier", "high"))}}), everyone},
		{"Services are selected by label", base(ad{Scope: scope{ServiceSelectors: anyOf(has("app", "db"), has("app", "web"))}}), everyone},
		{"the first Service of those that share an address decides, and it matches no advertisement", with(base(ad{Scope: scope{ServiceSelectors: anyOf(has("app", "web"))}}),
			serves(eligibility.Service{Key: dns, Endpoints: on("n1")}, eligibility.Service{Key: web, Labels: labels{"app": "web"}})), nil},
		{"a Service that joins and matches no advertisement does not withdraw the address", with(base(ad{Scope: scope{ServiceSelectors: anyOf(has("app", "web"))}}),
			serves(eligibility.Service{Key: web, Labels: labels{"app": "web"}}, eligibility.Service{Key: dns, Endpoints: on("n1")})), everyone},
		{"a Service that joins and matches another advertisement does not widen where the address is announced", with(base(
			ad{Scope: scope{ServiceSelectors: anyOf(has("app", "web")), NodeSelectors: anyOf(has("zone", "b"))}}, ad{Scope: scope{ServiceSelectors: anyOf(has("app", "dns"))}}),
			serves(eligibility.Service{Key: web, Labels: labels{"app": "web"}}, eligibility.Service{Key: dns, Labels: labels{"app": "dns"}, Endpoints: on("n1")})), everyone[2:]},
		{"namespaces are selected by label", with(base(ad{Scope: scope{NamespaceSelectors: anyOf(has("tenant", "a"))}}),
			serves(eligibility.Service{Key: web, NamespaceLabels: labels{"tenant": "a"}, Endpoints: on("n1")})), everyone},
		{"a label of the Service is none of its namespace", with(base(ad{Scope: scope{NamespaceSelectors: anyOf(has("tenant", "a"))}}),
			serves(eligibility.Service{Key: web, Labels: labels{"tenant": "a"}, NamespaceLabels: labels{"tenant": "b"}, Endpoints: on("n1")})), nil},
		{"a Service must match both kinds of selectors", with(base(ad{Scope: scope{NamespaceSelectors: anyOf(has("tenant", "a")), ServiceSelectors: anyOf(has("app", "db"))}}),
			serves(eligibility.Service{Key: web, Labels: labels{"app": "web"}, NamespaceLabels: labels{"tenant": "a"}, Endpoints: on("n1")})), nil},
		{"a Service of another namespace that joins does not widen who announces the address", with(base(ad{Scope: scope{NamespaceSelectors: anyOf(has("tenant", "a"))}}),
			serves(eligibility.Service{Key: web, NamespaceLabels: labels{"tenant": "b"}, Endpoints: on("n1")}, eligibility.Service{Key: dns, NamespaceLabels: labels{"tenant": "a"}, Endpoints: on("n1")})), nil},
		{"a Service of another namespace that joins does not withdraw the address", with(base(ad{Scope: scope{NamespaceSelectors: anyOf(has("tenant", "a"))}}),
			serves(eligibility.Service{Key: web, NamespaceLabels: labels{"tenant": "a"}, Endpoints: on("n1")}, eligibility.Service{Key: dns, NamespaceLabels: labels{"tenant": "b"}, Endpoints: on("n1")})), everyone},
		{"nodes are selected by label", base(ad{Scope: scope{NodeSelectors: anyOf(has("zone", "a"))}}), everyone[:2]},
		{"excluded nodes are left out", with(base(ad{}), excludes("has a label", "n1", "n2")), everyone[2:]},
		{"draining and dead nodes stay", with(base(ad{}), func(in *eligibility.Input) { in.Nodes[0].Draining, in.Nodes[1].Down = true, true }), everyone},
		{"each node has the interfaces of the advertisements that select it", base(
			ad{Scope: scope{NodeSelectors: anyOf(has("zone", "a"))}, Interfaces: []string{"eth2", "eth1"}},
			ad{Scope: scope{NodeSelectors: anyOf(has("fast", "yes"), has("zone", "b"))}, Interfaces: []string{"eth2", "eth3"}}),
			candidates{{Node: "n1", Interfaces: []string{"eth1", "eth2"}}, {Node: "n2", Interfaces: []string{"eth1", "eth2", "eth3"}}, {Node: "n3", Interfaces: []string{"eth2", "eth3"}}}},
		{"an advertisement without interfaces means all", base(ad{Interfaces: []string{"eth1"}}, ad{Scope: scope{NodeSelectors: anyOf(has("zone", "b"))}}),
			candidates{{Node: "n1", Interfaces: []string{"eth1"}}, {Node: "n2", Interfaces: []string{"eth1"}}, {Node: "n3"}}},
		{"a subnet is required when all advertisements of the node ask for it", base(ad{RequireSubnet: true}, ad{Scope: scope{NodeSelectors: anyOf(has("zone", "b"))}}),
			candidates{{Node: "n1", RequireSubnet: true}, {Node: "n2", RequireSubnet: true}, {Node: "n3"}}},
		{"weights of all advertisements that select the node add up", base(
			ad{Preferred: []eligibility.Preference{{Weight: 10, Selector: has("zone", "a")}, {Weight: 5, Selector: has("fast", "yes")}}},
			ad{Scope: scope{NodeSelectors: anyOf(has("zone", "b"))}, Preferred: []eligibility.Preference{{Weight: 100, Selector: has("zone", "a")}, {Weight: 7, Selector: has("zone", "b")}}}),
			candidates{{Node: "n1", Preference: 10}, {Node: "n2", Preference: 15}, {Node: "n3", Preference: 7}}},
		{"an advertisement of other Services does not limit interfaces", base(
			ad{Scope: scope{NodeSelectors: anyOf(has("zone", "b"))}, Interfaces: []string{"eth1"}}, ad{Scope: scope{ServiceSelectors: anyOf(has("app", "db"))}}),
			candidates{{Node: "n3", Interfaces: []string{"eth1"}}}},
		{"an endpoint without a node serves all nodes", with(base(ad{}), serves(eligibility.Service{Key: web,
			Endpoints: map[lb.Family]eligibility.Endpoints{lb.IPv4: {Serving: 1}}})), everyone},
		{"local traffic goes to nodes with an endpoint", with(base(ad{}), serves(local(web, "n1", "n3"))), candidates{everyone[0], everyone[2]}},
		{"the first local Service of an address decides", with(base(ad{}), serves(local(web, "n1", "n3"), local(dns, "n3", "n2"))), candidates{everyone[0], everyone[2]}},
		{"a local Service that joined restricts nothing", with(base(ad{}), serves(eligibility.Service{Key: web, Endpoints: on("n1")}, local(dns, "n2"))), everyone},
		{"a local Service without endpoints restricts nothing", with(base(ad{}), serves(local(web), local(dns, "n2"))), everyone[1:2]},
		{"one that is not local and joined does not widen", with(base(ad{}), serves(local(web, "n1"), eligibility.Service{Key: dns, Endpoints: on("n2")})), everyone[:1]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := []eligibility.Result{{Address: one, Candidates: tt.want}}
			if tt.want == nil {
				want[0].Reason = eligibility.NoAdvertisement
			}
			if diff := cmp.Diff(want, eligibility.Resolve(tt.in), byValue, cmpopts.IgnoreFields(eligibility.Result{}, "Refused", "Why")); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddressesOfEqualOutcomeShareTheirCandidates(t *testing.T) {
	in := base(ad{})
	in.Addresses = append(in.Addresses, eligibility.Address{Address: one.Next(), Pool: "tin", Holders: in.Addresses[0].Holders})
	got := eligibility.Resolve(in)
	if len(got) != 2 || len(got[0].Candidates) == 0 || &got[0].Candidates[0] != &got[1].Candidates[0] {
		t.Errorf("got %+v, want two results with one list of candidates", got)
	}
}

func TestAnAddressNeedsEndpointsOfItsFamily(t *testing.T) {
	in := base(ad{})
	in.Addresses = append(in.Addresses, eligibility.Address{Address: six, Pool: "gold", Holders: in.Addresses[0].Holders})
	got := eligibility.Resolve(in)
	if got[0].Reason != "" || got[1].Reason != eligibility.NoEndpoints {
		t.Errorf("got reasons %q and %q, want none for IPv4 and %s for IPv6", got[0].Reason, got[1].Reason, eligibility.NoEndpoints)
	}
}
