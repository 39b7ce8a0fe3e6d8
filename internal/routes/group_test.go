package routes_test

import (
	"net/netip"
	"testing"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

func TestAdvertisementsOfOneRouteAddUp(t *testing.T) {
	type attributes = routes.Attributes
	asks := func(list ...attributes) []ad {
		var ads []ad
		for _, a := range list {
			ads = append(ads, ad{Attributes: a})
		}
		return ads
	}
	tests := []struct {
		name string
		ads  []ad
		want attributes
	}{
		{"one is taken as it is", asks(attributes{LocalPref: number(0), MED: number(7), Prepend: 2}), attributes{LocalPref: number(0), MED: number(7), Prepend: 2}},
		{"communities are ordered, each once", asks(attributes{Communities: []routes.Community{3, 1, 3}, Large: []routes.LargeCommunity{{2, 0, 0}, {1, 9, 9}, {2, 0, 0}}}),
			attributes{Communities: []routes.Community{1, 3}, Large: []routes.LargeCommunity{{1, 9, 9}, {2, 0, 0}}}},
		{"communities of all go with the route", asks(
			attributes{Communities: []routes.Community{3, 1}, Large: []routes.LargeCommunity{{1, 2, 3}, {1, 2, 1}}},
			attributes{Communities: []routes.Community{2, 1}, Large: []routes.LargeCommunity{{1, 1, 4}, {1, 2, 3}}}),
			attributes{Communities: []routes.Community{1, 2, 3}, Large: []routes.LargeCommunity{{1, 1, 4}, {1, 2, 1}, {1, 2, 3}}}},
		{"the highest LOCAL_PREF wins", asks(attributes{LocalPref: number(1)}, attributes{LocalPref: number(3)}, attributes{LocalPref: number(2)}), attributes{LocalPref: number(3)}},
		{"the lowest MED wins", asks(attributes{MED: number(2)}, attributes{MED: number(1)}, attributes{MED: number(3)}), attributes{MED: number(1)}},
		{"a number that is set wins over one that is not", asks(attributes{}, attributes{LocalPref: number(0), MED: number(9)}, attributes{}), attributes{LocalPref: number(0), MED: number(9)}},
		{"the longest path wins", asks(attributes{Prepend: 1}, attributes{Prepend: 3}, attributes{Prepend: 2}), attributes{Prepend: 3}},
		{"those to other peers do not count", append(asks(attributes{MED: number(2)}), ad{Peers: []bgp.PeerName{"right"}, Attributes: attributes{MED: number(1), Prepend: 1}}), attributes{MED: number(2)}},
		{"those of another length do not count", append(asks(attributes{MED: number(2)}), ad{Length: 24, Attributes: attributes{MED: number(1)}}), attributes{MED: number(2)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			same(t, "attributes", &tt.want, base(tt.ads...).planner().Table("left")[netip.MustParsePrefix("10.0.0.1/32")])
		})
	}
}

func TestAdvertisementsOfAllAddressesInAnAggregateAddUp(t *testing.T) {
	s := base(
		ad{Scope: scope{ServiceSelectors: anyOf(has("app", "web"))}, Length: 24, Attributes: routes.Attributes{MED: number(2)}},
		ad{Scope: scope{ServiceSelectors: anyOf(has("app", "dns"))}, Length: 24, Attributes: routes.Attributes{MED: number(1), Prepend: 1}})
	s.services[dns] = serves(on("n2"))
	s.services[dns].Labels, s.services[dns].Shown = labels{"app": "dns"}, []netip.Addr{two}
	s.claims[two] = &eligibility.Claim{Pool: "gold", Holders: named(dns)}
	same(t, "table", table{netip.MustParsePrefix("10.0.0.0/24"): {MED: number(1), Prepend: 1}}, s.planner().Table("left"))
}

func TestTheGivenAttributesAreNotTouched(t *testing.T) {
	given := []routes.Community{3, 1}
	base(ad{Attributes: routes.Attributes{Communities: given}}).planner()
	same(t, "communities", []routes.Community{3, 1}, given)
}

func TestConflicts(t *testing.T) {
	asks := func(name string, n uint32, peers ...bgp.PeerName) ad {
		return ad{Scope: scope{Name: name}, Length: 24, Peers: peers, Attributes: routes.Attributes{LocalPref: number(n)}}
	}
	conflict := func(peer bgp.PeerName, used string, most uint32, ignored string, n uint32) routes.Conflict {
		return routes.Conflict{
			Prefix: netip.MustParsePrefix("10.0.0.0/24"), Peer: peer,
			Used: routes.Preference{Advertisement: used, LocalPref: most}, Ignored: routes.Preference{Advertisement: ignored, LocalPref: n},
		}
	}
	single := asks("d", 9)
	single.Length = 0
	tests := []struct {
		name string
		ads  []ad
		want []routes.Conflict
	}{
		{"one advertisement has none", []ad{asks("a", 1)}, nil},
		{"those who ask for the same have none", []ad{asks("a", 1), asks("b", 1)}, nil},
		{"an advertisement that sets nothing does not count", []ad{asks("a", 1), {Scope: scope{Name: "b"}, Length: 24}}, nil},
		{"other attributes cause none", []ad{asks("a", 1), {Scope: scope{Name: "b"}, Length: 24, Attributes: routes.Attributes{MED: number(2), Prepend: 1}}}, nil},
		{"different preferences are one for each peer", []ad{asks("b", 2), asks("a", 1)}, []routes.Conflict{conflict("left", "b", 2, "a", 1), conflict("right", "b", 2, "a", 1)}},
		{"0 is a preference", []ad{asks("a", 0, "left"), asks("b", 1)}, []routes.Conflict{conflict("left", "b", 1, "a", 0)}},
		{"advertisements to different peers have none", []ad{asks("a", 1, "left"), asks("b", 2, "right")}, nil},
		{"advertisements of different lengths have none", []ad{asks("a", 1), single}, nil},
		{"all that differ from the first of the highest are named", []ad{asks("d", 1, "left"), asks("c", 3, "left"), asks("b", 3, "left"), asks("a", 2, "left")},
			[]routes.Conflict{conflict("left", "b", 3, "a", 2), conflict("left", "b", 3, "d", 1)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			same(t, "conflicts", tt.want, base(tt.ads...).planner().Conflicts())
		})
	}
}

func TestAConflictOfAnAggregateIsNamedOnce(t *testing.T) {
	asks := func(name string, n uint32, app string) ad {
		return ad{Scope: scope{Name: name, ServiceSelectors: anyOf(has("app", app))}, Length: 24, Peers: []bgp.PeerName{"left"}, Attributes: routes.Attributes{LocalPref: number(n)}}
	}
	// Each Service is announced by one of the highest, and both by the lowest.
	all := asks("a", 1, "")
	all.ServiceSelectors = nil
	s := base(all, asks("b", 3, "dns"), asks("c", 3, "web"))
	for key, app := range map[lb.ServiceKey]string{web: "web", dns: "dns"} {
		s.services[key] = serves(on("n2"))
		s.services[key].Labels = labels{"app": app}
	}
	s.services[web].Shown, s.services[dns].Shown = []netip.Addr{one}, []netip.Addr{two}
	s.claims[two] = &eligibility.Claim{Pool: "gold", Holders: named(dns)}
	want := []routes.Conflict{{
		Prefix: netip.MustParsePrefix("10.0.0.0/24"), Peer: "left",
		Used: routes.Preference{Advertisement: "b", LocalPref: 3}, Ignored: routes.Preference{Advertisement: "a", LocalPref: 1},
	}}
	for _, last := range []netip.Addr{one, two} {
		p := s.planner()
		p.SetClaim(last, nil)
		p.SetClaim(last, s.claims[last])
		same(t, "conflicts", want, p.Conflicts())
	}
}

func TestAConflictGoesWithItsRoute(t *testing.T) {
	p := base(ad{Attributes: routes.Attributes{LocalPref: number(1)}}, ad{Attributes: routes.Attributes{LocalPref: number(2)}}).planner()
	if got := len(p.Conflicts()); got != 2 {
		t.Errorf("got %d conflicts, want one for each peer", got)
	}
	p.SetClaim(one, nil)
	same(t, "conflicts", []routes.Conflict(nil), p.Conflicts())
}

func TestAConflictIsASentence(t *testing.T) {
	c := routes.Conflict{
		Prefix: netip.MustParsePrefix("10.0.0.0/24"), Peer: "left",
		Used: routes.Preference{Advertisement: "gold", LocalPref: 200}, Ignored: routes.Preference{Advertisement: "all", LocalPref: 100},
	}
	const want = `the route 10.0.0.0/24 is sent to the BGPPeer "left" with the localPref 200 of the BGPAdvertisement "gold". The BGPAdvertisement "all" also applies to the route, but its localPref is 100: set both fields to the same value`
	if got := c.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
