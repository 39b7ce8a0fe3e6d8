package routes_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

type (
	ad     = routes.Advertisement
	scope  = eligibility.Scope
	labels = map[string]string
	table  = routes.Table
)

var (
	one = netip.MustParseAddr("10.0.0.1")
	two = netip.MustParseAddr("10.0.0.2")
	six = netip.MustParseAddr("2001:db8::1")
	web = lb.ServiceKey{Namespace: "default", Name: "web"}
	dns = lb.ServiceKey{Namespace: "default", Name: "dns"}
)

var byValue = cmp.Options{
	cmp.Comparer(func(x, y netip.Addr) bool { return x == y }),
	cmp.Comparer(func(x, y netip.Prefix) bool { return x == y }),
}

// has returns a selector of this label.
func has(key, value string) eligibility.Selector {
	return func(set map[string]string) bool { return set[key] == value }
}

func anyOf(s ...eligibility.Selector) []eligibility.Selector { return s }

func number(n uint32) routes.OptionalNumber { return routes.OptionalNumber{Value: n, Set: true} }

// on returns endpoints on nodes, one for each.
func on(nodes ...lb.NodeName) eligibility.Endpoints {
	e := eligibility.Endpoints{Serving: len(nodes), Nodes: map[lb.NodeName]bool{}}
	for _, n := range nodes {
		e.Nodes[n] = true
	}
	return e
}

// setup is the cluster in the view of the node n1.
type setup struct {
	config   routes.Config
	services map[lb.ServiceKey]*eligibility.Holder
	claims   map[netip.Addr]*eligibility.Claim
	// admitted are addresses that could be announced before the planner was made.
	admitted map[netip.Addr]bool
}

// pool returns a pool that lists all addresses.
func pool(name lb.PoolName, set labels) eligibility.Pool {
	return eligibility.Pool{Name: name, Labels: set, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("0.0.0.0/0")), lb.RangeOf(netip.MustParsePrefix("::/0"))}}
}

// base returns a setup with one Service that shows an IPv4 address of the pool gold, and two peers.
func base(ads ...ad) setup {
	return setup{
		config: routes.Config{
			Node:           eligibility.Node{Name: "n1", Labels: labels{"zone": "a"}},
			Advertisements: ads,
			Peers:          []bgp.PeerName{"left", "right"},
			Pools:          []eligibility.Pool{pool("gold", labels{"tier": "high"})},
		},
		services: map[lb.ServiceKey]*eligibility.Holder{
			web: {Service: eligibility.Service{Labels: labels{"app": "web"}, Endpoints: map[lb.Family]eligibility.Endpoints{lb.IPv4: on("n2")}}, Shown: []netip.Addr{one}},
		},
		claims: map[netip.Addr]*eligibility.Claim{one: {Pool: "gold", Holders: named(web)}},
	}
}

func (s setup) with(changes ...func(*setup)) setup {
	for _, change := range changes {
		change(&s)
	}
	return s
}

func (s setup) planner() *routes.Planner {
	p := routes.NewPlanner()
	p.Remember(slices.Collect(maps.Keys(s.admitted)))
	p.SetConfig(s.config)
	for key, service := range s.services {
		p.SetService(key, service)
	}
	for address, claim := range s.claims {
		p.SetClaim(address, claim)
	}
	return p
}

// shares makes the Services the holders of the first address, which they show, in the order
// of their keys.
func shares(list map[lb.ServiceKey]*eligibility.Holder) func(*setup) {
	return func(s *setup) {
		s.claims[one].Holders = nil
		for _, key := range slices.SortedFunc(maps.Keys(list), lb.ServiceKey.Compare) {
			service := list[key]
			service.Shown = []netip.Addr{one}
			s.services[key] = service
			s.claims[one].Holders = append(s.claims[one].Holders, eligibility.ClaimHolder{Key: key})
		}
	}
}

func named(keys ...lb.ServiceKey) (list []eligibility.ClaimHolder) {
	for _, key := range keys {
		list = append(list, eligibility.ClaimHolder{Key: key})
	}
	return list
}

func serves(e eligibility.Endpoints) *eligibility.Holder {
	return &eligibility.Holder{Service: eligibility.Service{Endpoints: map[lb.Family]eligibility.Endpoints{lb.IPv4: e}}}
}

func local(e eligibility.Endpoints) *eligibility.Holder {
	s := serves(e)
	s.Local = true
	return s
}

// shows has the Service web show these addresses of the pool gold alone.
func shows(addresses ...netip.Addr) func(*setup) {
	return func(s *setup) {
		s.services[web].Shown = addresses
		s.services[web].Endpoints[lb.IPv6] = on("n2")
		for _, a := range addresses {
			s.claims[a] = &eligibility.Claim{Pool: "gold", Holders: named(web)}
		}
	}
}

// to returns a table of routes without attributes.
func to(prefixes ...string) table {
	t := table{}
	for _, p := range prefixes {
		t[netip.MustParsePrefix(p)] = &routes.Attributes{}
	}
	return t
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
