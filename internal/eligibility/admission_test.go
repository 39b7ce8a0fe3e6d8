package eligibility_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func ranges(prefixes ...string) (list []lb.Range) {
	for _, p := range prefixes {
		list = append(list, lb.RangeOf(netip.MustParsePrefix(p)))
	}
	return list
}

func TestAnAddressIsAnnouncedIfItsPoolListsIt(t *testing.T) {
	node := eligibility.Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("2001:db8::9")}}
	listing := func(listed ...string) []eligibility.Pool {
		return []eligibility.Pool{{Name: "gold", Listed: lb.Union(ranges(listed...)...), Excluded: ranges("10.0.0.5/32")}}
	}
	everything := listing("0.0.0.0/0", "::/0")
	tests := []struct {
		name, address string
		pools         []eligibility.Pool
		want          string // why it is refused
	}{
		{"a listed address", "10.0.0.1", listing("10.0.0.0/29"), ""},
		{"the address of a gateway beside the pool", "10.0.0.8", listing("10.0.0.0/29"), `its pool "gold" does not list it`},
		{"an address of the Internet", "1.1.1.1", listing("10.0.0.0/29"), `its pool "gold" does not list it`},
		{"an excluded address", "10.0.0.5", listing("10.0.0.0/29"), `its pool "gold" excludes it`},
		{"a pool that does not exist", "10.0.0.1", nil, `its pool "gold" does not exist`},
		{"another pool lists the address", "10.0.0.1", []eligibility.Pool{{Name: "gold"}, pool("tin", nil)}, `its pool "gold" does not list it`},
		{"an address of a node", "10.0.0.9", everything, `it is an address of the node "n1"`},
		{"an IPv6 address of a node", "2001:db8::9", everything, `it is an address of the node "n1"`},
		{"a loopback address", "127.0.0.1", everything, "it is a loopback address"},
		{"an IPv6 loopback address", "::1", everything, "it is a loopback address"},
		{"a multicast address", "224.0.0.5", everything, "it is a multicast address"},
		{"an IPv6 multicast address", "ff02::5", everything, "it is a multicast address"},
		{"the unspecified address", "0.0.0.0", everything, "it is the unspecified address"},
		{"the broadcast address", "255.255.255.255", everything, "it is the broadcast address"},
		{"an IPv6 link-local address", "fe80::1", everything, "it is a link-local address"},
		{"an IPv4 link-local address, on a network that uses them", "169.254.7.7", everything, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := netip.MustParseAddr(tt.address)
			h := eligibility.NewHoldings()
			pools := map[lb.PoolName]*eligibility.Pool{}
			for i := range tt.pools {
				pools[tt.pools[i].Name] = &tt.pools[i]
			}
			h.SetService(web, holder(address))
			h.SetClaim(address, heldBy(web))
			h.SetConfig(pools, []eligibility.Node{node})
			_, holders := h.Holders(address)
			if got := len(holders) == 1; got != (tt.want == "") {
				t.Errorf("announced: got %v, want %v", got, tt.want == "")
			}
			var want []eligibility.Refusal
			if tt.want != "" {
				want = []eligibility.Refusal{{Address: address, Why: tt.want}}
			}
			count, first := h.RefusedAddresses(3)
			if diff := cmp.Diff(want, first, byValue); diff != "" || count != len(want) {
				t.Errorf("refused: got %d, want %d (-want +got):\n%s", count, len(want), diff)
			}
			in := eligibility.Input{
				Advertisements: []ad{{}}, Pools: tt.pools, Nodes: []eligibility.Node{node},
				Services:  []eligibility.Service{{Key: web, Endpoints: on("n1")}},
				Addresses: []eligibility.Address{{Address: address, Pool: "gold", Holders: []lb.ServiceKey{web}}},
			}
			if got := eligibility.Resolve(in)[0].Refused; got != tt.want {
				t.Errorf("the controller: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAddressInUseStays(t *testing.T) {
	small := []eligibility.Pool{{Name: "gold", Listed: ranges("10.0.1.0/24")}}
	own := []eligibility.Node{{Name: "n1", Addresses: []netip.Addr{one}}}
	tests := []struct {
		name string
		do   func(*eligibility.Planner)
		want bool // the address is announced in the end
	}{
		{"the pool shrinks", func(p *eligibility.Planner) { p.SetConfig([]ad{{}}, small, nodes()) }, true},
		{"the pool is deleted", func(p *eligibility.Planner) { p.SetConfig([]ad{{}}, nil, nodes()) }, true},
		{"the claim moves to a pool that is not there yet", func(p *eligibility.Planner) {
			p.SetClaim(one, &eligibility.Claim{Pool: "new", Holders: heldBy(web).Holders})
		}, true},
		{"a node reports the address as its own later", func(p *eligibility.Planner) { p.SetConfig([]ad{{}}, gold(), own) }, true},
		{"the Service loses its endpoints, the pool shrinks, and they come back", func(p *eligibility.Planner) {
			s := holder(one)
			s.Endpoints = nil
			p.SetService(web, s)
			p.SetConfig([]ad{{}}, small, nodes())
			p.SetService(web, holder(one))
		}, true},
		{"the claim is created anew after the pool shrank", func(p *eligibility.Planner) {
			p.SetConfig([]ad{{}}, small, nodes())
			p.SetClaim(one, nil)
			p.SetClaim(one, heldBy(web))
		}, false},
		{"nobody holds the address any more when the pool shrinks, and then somebody does", func(p *eligibility.Planner) {
			p.SetClaim(one, heldBy())
			p.SetConfig([]ad{{}}, small, nodes())
			p.SetClaim(one, heldBy(web))
		}, false},
		{"the pool lists the address again", func(p *eligibility.Planner) {
			p.SetConfig([]ad{{}}, small, nodes())
			p.SetClaim(one, nil)
			p.SetClaim(one, heldBy(web))
			p.SetConfig([]ad{{}}, gold(), nodes())
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := planner(ad{})
			tt.do(p)
			c := p.Changes()
			if gone := len(c.Gone) > 0; gone == tt.want {
				t.Errorf("got the changes %+v, want the address to stay: %v", c, tt.want)
			}
		})
	}
}

func TestAddressInUseBeforeARestartStays(t *testing.T) {
	start := func(remembered ...netip.Addr) *eligibility.Planner {
		p := eligibility.NewPlanner()
		p.RestoreAdmitted(remembered)
		p.SetService(web, holder(one, two))
		p.SetClaim(one, heldBy(web))
		p.SetConfig([]ad{{}}, nil, nodes())
		return p
	}
	if got := start(one).Changes().Addresses; len(got) != 1 || got[0].Address != one || len(got[0].Candidates) != 3 {
		t.Errorf("an address that was announced before: got %+v, want it with three candidates", got)
	}
	if got := start().Changes().Addresses; len(got) != 0 {
		t.Errorf("an address that was not announced before: got %+v, want nothing", got)
	}
	p := start(one, two)
	p.Changes()
	p.SetClaim(two, heldBy(web))
	if got := p.Changes().Addresses; len(got) != 0 {
		t.Errorf("an address that was announced before, and is claimed later: got %+v, want nothing", got)
	}
}
