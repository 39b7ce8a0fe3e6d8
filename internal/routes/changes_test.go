package routes_test

import (
	"net/netip"
	"testing"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

type changes = map[bgp.PeerName]routes.Change

func both(c routes.Change) changes { return changes{"left": c, "right": c} }

func withdraw(prefixes ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range prefixes {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

func TestChanges(t *testing.T) {
	aggregate := base(ad{Length: 24}).with(shows(one, two))
	prefer := routes.Attributes{LocalPref: number(200)}
	tests := []struct {
		name   string
		in     setup
		change func(*setup, *routes.Planner)
		want   changes
	}{
		{"nothing, when nothing does", base(ad{}), func(*setup, *routes.Planner) {}, changes{}},
		{"nothing, when the same is set again", base(ad{}), func(s *setup, p *routes.Planner) {
			p.SetConfig(s.config)
			p.SetService(web, s.services[web])
			p.SetClaim(one, s.claims[one])
		}, changes{}},
		{"nothing, when it changes and changes back", base(ad{}), func(s *setup, p *routes.Planner) {
			p.SetService(web, nil)
			p.SetService(web, s.services[web])
		}, changes{}},
		{"a Service that goes takes its routes along, in order", base(ad{}).with(shows(six, two, one)), func(_ *setup, p *routes.Planner) { p.SetService(web, nil) },
			both(routes.Change{Withdraw: withdraw("10.0.0.1/32", "10.0.0.2/32", "2001:db8::1/128")})},
		{"a claim that goes takes its route along", base(ad{}).with(shows(one, two)), func(_ *setup, p *routes.Planner) { p.SetClaim(two, nil) },
			both(routes.Change{Withdraw: withdraw("10.0.0.2/32")})},
		{"an address that is not shown any more goes, another one comes", base(ad{}), func(s *setup, p *routes.Planner) {
			p.SetClaim(two, s.claims[one])
			p.SetService(web, &eligibility.Holder{Service: s.services[web].Service, Shown: []netip.Addr{two}})
		}, both(routes.Change{Announce: to("10.0.0.2/32"), Withdraw: withdraw("10.0.0.1/32")})},
		{"an aggregate stays while it has an address", aggregate, func(_ *setup, p *routes.Planner) { p.SetClaim(two, nil) }, changes{}},
		{"an aggregate goes with its last address", aggregate, func(_ *setup, p *routes.Planner) {
			p.SetClaim(two, nil)
			p.SetClaim(one, nil)
		}, both(routes.Change{Withdraw: withdraw("10.0.0.0/24")})},
		{"other attributes are announced, without a withdrawal", base(ad{}), func(s *setup, p *routes.Planner) {
			s.config.Advertisements = []ad{{Attributes: prefer}}
			p.SetConfig(s.config)
		}, both(routes.Change{Announce: table{netip.MustParsePrefix("10.0.0.1/32"): &prefer}})},
		{"another advertisement with the same attributes changes nothing", base(ad{Scope: scope{Name: "a"}}), func(s *setup, p *routes.Planner) {
			s.config.Advertisements = []ad{{Scope: scope{Name: "b", Pools: []lb.PoolName{"gold"}}}, {Scope: scope{Name: "c"}}}
			p.SetConfig(s.config)
		}, changes{}},
		{"a peer that is new gets all, the others nothing", base(ad{}).with(shows(one, two)), func(s *setup, p *routes.Planner) {
			s.config.Peers = []bgp.PeerName{"up", "left", "up"}
			p.SetConfig(s.config)
		}, changes{"up": {Announce: to("10.0.0.1/32", "10.0.0.2/32")}}},
		{"a peer that is there twice is one", base(ad{}), func(s *setup, p *routes.Planner) {
			s.config.Peers = []bgp.PeerName{"left", "right", "left"}
			p.SetConfig(s.config)
			p.SetService(web, nil)
		}, both(routes.Change{Withdraw: withdraw("10.0.0.1/32")})},
		{"nothing, when another configuration comes and goes", base(ad{Attributes: prefer}), func(s *setup, p *routes.Planner) {
			other := s.config
			other.Advertisements = nil
			p.SetConfig(other)
			p.SetConfig(s.config)
		}, changes{}},
		{"a peer that comes back gets all again", base(ad{}), func(s *setup, p *routes.Planner) {
			peers := s.config.Peers
			s.config.Peers = peers[:1]
			p.SetConfig(s.config)
			p.Changes()
			s.config.Peers = peers
			p.SetConfig(s.config)
		}, changes{"right": {Announce: to("10.0.0.1/32")}}},
		{"a peer that is named no more loses its routes", base(ad{}), func(s *setup, p *routes.Planner) {
			s.config.Advertisements = []ad{{Peers: []bgp.PeerName{"left"}}}
			p.SetConfig(s.config)
		}, changes{"right": {Withdraw: withdraw("10.0.0.1/32")}}},
		{"a node that is excluded withdraws all", base(ad{}), func(s *setup, p *routes.Planner) {
			s.config.Node.Excluded = "has a label"
			p.SetConfig(s.config)
		}, both(routes.Change{Withdraw: withdraw("10.0.0.1/32")})},
		{"a local Service is withdrawn with its last endpoint here", base(ad{}).with(func(s *setup) {
			s.services[web].Local, s.services[web].Endpoints = true, map[lb.Family]eligibility.Endpoints{lb.IPv4: on("n1", "n2")}
		}), func(s *setup, p *routes.Planner) {
			web2 := *s.services[web]
			web2.Endpoints = map[lb.Family]eligibility.Endpoints{lb.IPv4: on("n2")}
			p.SetService(web, &web2)
		}, both(routes.Change{Withdraw: withdraw("10.0.0.1/32")})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.in.planner()
			p.Changes()
			tt.change(&tt.in, p)
			same(t, "changes", tt.want, p.Changes())
			same(t, "changes after that", changes{}, p.Changes())
		})
	}
}

func TestEqualRoutesShareTheirAttributes(t *testing.T) {
	s := base(ad{Scope: scope{Name: "a"}, Attributes: routes.Attributes{MED: number(1)}}).with(shows(one, two))
	p := s.planner()
	first := p.Table("left")[netip.MustParsePrefix("10.0.0.1/32")]
	s.config.Advertisements = append(s.config.Advertisements, ad{Scope: scope{Name: "b"}})
	p.SetConfig(s.config)
	if other := p.Table("right")[netip.MustParsePrefix("10.0.0.2/32")]; first == nil || first != other {
		t.Errorf("got attributes at %p and %p, want the same", first, other)
	}
}

func TestATableIsACopy(t *testing.T) {
	p := base(ad{}).planner()
	clear(p.Table("left"))
	same(t, "table", to("10.0.0.1/32"), p.Table("left"))
	same(t, "table of a peer that is not there", table{}, p.Table("nobody"))
}
