package routes_test

import (
	"net/netip"
	"testing"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestAnnouncedRoutes(t *testing.T) {
	single, nothing := to("10.0.0.1/32"), table{}
	tests := []struct {
		name string
		in   setup
		want table // of the peer left
	}{
		{"without advertisements nothing is", base(), nothing},
		{"an empty advertisement means all pools, Services, nodes and peers", base(ad{}), single},
		{"a pool can be named", base(ad{Scope: scope{Pools: []lb.PoolName{"tin", "gold"}}}), single},
		{"a pool that is gone can be named still", base(ad{Scope: scope{Pools: []lb.PoolName{"gold"}}}).with(func(s *setup) { s.config.Pools, s.admitted = nil, map[netip.Addr]bool{one: true} }), single},
		{"other pools do not count", base(ad{Scope: scope{Pools: []lb.PoolName{"tin"}}}), nothing},
		{"pools are selected by label", base(ad{Scope: scope{PoolSelectors: anyOf(has("tier", "low"), has("tier", "high"))}}), single},
		{"a pool that no selector matches is not", base(ad{Scope: scope{PoolSelectors: anyOf(has("tier", "low"))}}), nothing},
		{"a pool that is gone has no labels", base(ad{Scope: scope{PoolSelectors: anyOf(has("tier", ""))}}).with(func(s *setup) { s.claims[one].Pool = "gone" }), nothing},
		{"Services are selected by label", base(ad{Scope: scope{ServiceSelectors: anyOf(has("app", "db"), has("app", "web"))}}), single},
		{"a Service that no selector matches is not", base(ad{Scope: scope{ServiceSelectors: anyOf(has("app", "db"))}}), nothing},
		{"the first Service of those that share an address decides, and no selector matches it", base(ad{Scope: scope{ServiceSelectors: anyOf(has("app", "web"))}}).with(shares(map[lb.ServiceKey]*eligibility.Holder{
			dns: serves(on("n2")), web: {Service: eligibility.Service{Labels: labels{"app": "web"}}}})), nothing},
		{"a Service that joins and that no selector matches does not withdraw the address", base(ad{Scope: scope{ServiceSelectors: anyOf(has("app", "dns"))}}).with(shares(map[lb.ServiceKey]*eligibility.Holder{
			dns: {Service: eligibility.Service{Labels: labels{"app": "dns"}}}, web: serves(on("n2"))})), single},
		{"Services are selected by the labels of their namespaces", base(ad{Scope: scope{NamespaceSelectors: anyOf(has("tenant", "a"))}}).with(
			func(s *setup) { s.services[web].NamespaceLabels = labels{"tenant": "a"} }), single},
		{"a namespace that no selector matches is not", base(ad{Scope: scope{NamespaceSelectors: anyOf(has("tenant", "a"))}}), nothing},
		{"a holder that does not show the address does not count for selectors", base(ad{Scope: scope{ServiceSelectors: anyOf(has("app", "web"))}}).with(
			shares(map[lb.ServiceKey]*eligibility.Holder{dns: serves(on("n2")), web: {Service: eligibility.Service{Labels: labels{"app": "web"}}}}),
			func(s *setup) { s.services[web].Shown = nil }), nothing},
		{"nodes are selected by label", base(ad{Scope: scope{NodeSelectors: anyOf(has("zone", "b"), has("zone", "a"))}}), single},
		{"a node that no selector matches announces nothing", base(ad{Scope: scope{NodeSelectors: anyOf(has("zone", "b"))}}), nothing},
		{"an excluded node announces nothing", base(ad{}).with(func(s *setup) { s.config.Node.Excluded = "has a label" }), nothing},
		{"peers can be named", base(ad{Peers: []bgp.PeerName{"left"}}), single},
		{"other peers get nothing", base(ad{Peers: []bgp.PeerName{"right"}}), nothing},
		{"an address whose Service shows another, and has taken its claim up, is", base(ad{}).with(func(s *setup) {
			s.services[web].Shown, s.services[web].UID, s.claims[one].Holders[0].UID = []netip.Addr{two}, "u", "u"
		}), single},
		{"an address that is reserved for a Service which does not show it is not", base(ad{}).with(func(s *setup) { s.services[web].Shown = []netip.Addr{two} }), nothing},
		{"an address whose holder is gone is not", base(ad{}).with(func(s *setup) { delete(s.services, web) }), nothing},
		{"an address that is shown but not claimed is not", base(ad{}).with(func(s *setup) { delete(s.claims, one) }), nothing},
		{"an address that another Service claims is not", base(ad{}).with(func(s *setup) { s.claims[one].Holders = named(dns) }), nothing},
		{"without endpoints nothing is", base(ad{}).with(shares(map[lb.ServiceKey]*eligibility.Holder{web: serves(on())})), nothing},
		{"endpoints of the other family do not count", base(ad{}).with(shows(six), func(s *setup) { delete(s.services[web].Endpoints, lb.IPv6) }), nothing},
		{"each family has its routes", base(ad{}).with(shows(one, six)), to("10.0.0.1/32", "2001:db8::1/128")},
		{"an endpoint without a node serves all nodes", base(ad{}).with(shares(map[lb.ServiceKey]*eligibility.Holder{web: serves(eligibility.Endpoints{Serving: 1})})), single},
		{"a local Service is announced where it has an endpoint", base(ad{}).with(shares(map[lb.ServiceKey]*eligibility.Holder{web: local(on("n1", "n2"))})), single},
		{"a local Service is not announced elsewhere", base(ad{}).with(shares(map[lb.ServiceKey]*eligibility.Holder{web: local(on("n2"))})), nothing},
		{"the first local Service of an address decides, and is elsewhere", base(ad{}).with(shares(map[lb.ServiceKey]*eligibility.Holder{dns: local(on("n2")), web: local(on("n1"))})), nothing},
		{"the first local Service of an address decides, and is here", base(ad{}).with(shares(map[lb.ServiceKey]*eligibility.Holder{dns: local(on("n1")), web: local(on("n2"))})), single},
		{"a local Service that joined restricts nothing", base(ad{}).with(shares(map[lb.ServiceKey]*eligibility.Holder{dns: serves(on("n1")), web: local(on("n2"))})), single},
		{"a local Service without endpoints restricts nothing", base(ad{}).with(shares(map[lb.ServiceKey]*eligibility.Holder{web: local(on()), dns: serves(on("n2"))})), single},
		{"one that is not local and joined does not widen", base(ad{}).with(shares(map[lb.ServiceKey]*eligibility.Holder{dns: local(on("n2")), web: serves(on("n1"))})), nothing},
		{"a node that drains or is down goes on", base(ad{}).with(func(s *setup) { s.config.Node.Draining, s.config.Node.Down = true, true }), single},
		{"addresses are aggregated", base(ad{Length: 24, LengthV6: 64}).with(shows(one, two, six)), to("10.0.0.0/24", "2001:db8::/64")},
		{"the whole of a family is an aggregate", base(ad{Length: 1}).with(shows(one)), to("0.0.0.0/1")},
		{"advertisements of two lengths make two routes", base(ad{Length: 24}, ad{}), to("10.0.0.0/24", "10.0.0.1/32")},
		{"an invalid length does not aggregate", base(ad{Length: 33, LengthV6: 129}).with(shows(one, six)), to("10.0.0.1/32", "2001:db8::1/128")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			same(t, "table", tt.want, tt.in.planner().Table("left"))
		})
	}
}

func TestExcludedNodeAnnouncesAddressesWithoutAnotherCandidate(t *testing.T) {
	excluded := eligibility.Node{Name: "n1", Labels: labels{"zone": "a"}, Excluded: "has a label", KeepsAnnounced: true}
	other := eligibility.Node{Name: "n2", Labels: labels{"zone": "b"}}
	inZone := func(zone string) ad { return ad{Scope: scope{NodeSelectors: anyOf(has("zone", zone))}} }
	both := ad{Scope: scope{NodeSelectors: anyOf(has("zone", "a"), has("zone", "b"))}}
	single := to("10.0.0.1/32")
	tests := []struct {
		name string
		from setup
		then func(*setup)
		want table
	}{
		{"all nodes are excluded", base(ad{}), func(*setup) {}, single},
		{"another node may announce the address", base(both), func(s *setup) { s.config.Others = []eligibility.Node{other} }, table{}},
		{"the advertisement selects no other node", base(inZone("a")), func(s *setup) { s.config.Others = []eligibility.Node{other} }, single},
		{"local traffic is served here only", base(both).with(shares(map[lb.ServiceKey]*eligibility.Holder{web: local(on("n1"))})),
			func(s *setup) { s.config.Others = []eligibility.Node{other} }, single},
		{"local traffic is served elsewhere too", base(both).with(shares(map[lb.ServiceKey]*eligibility.Holder{web: local(on("n1", "n2"))})),
			func(s *setup) { s.config.Others = []eligibility.Node{other} }, table{}},
		{"the node announces nothing that keeps nothing", base(ad{}), func(s *setup) { s.config.Node.KeepsAnnounced = false }, table{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, s := tt.from.planner(), tt.from
			same(t, "before", single, p.Table("left"))
			s.config.Node = excluded
			tt.then(&s)
			p.SetConfig(s.config)
			same(t, "excluded", tt.want, p.Table("left"))
			p.SetService(dns, &eligibility.Holder{Service: eligibility.Service{Endpoints: map[lb.Family]eligibility.Endpoints{lb.IPv4: on("n1")}}, Shown: []netip.Addr{two}})
			p.SetClaim(two, &eligibility.Claim{Pool: "gold", Holders: named(dns)})
			same(t, "a new address is not begun", tt.want, p.Table("left"))
		})
	}
}
