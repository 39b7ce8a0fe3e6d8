package allocations

import (
	"net/netip"
	"testing"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestEditOfAnotherPoolChangesNoReservedAddress(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.1")
	mk := func(only string, last string) []ipam.Pool {
		p := []ipam.Pool{{Name: "p", AutoAssign: true, Listed: []lb.Range{{First: a, Last: netip.MustParseAddr("10.0.0.9")}}},
			{Name: "q", AutoAssign: true, Listed: []lb.Range{{First: netip.MustParseAddr("10.0.1.1"), Last: netip.MustParseAddr(last)}}}}
		if only != "" {
			p[0].Selection = &ipam.Selection{Namespaces: []string{only}}
		}
		ipam.Resolve(p, nil)
		return p
	}
	o := lb.ServiceKey{Namespace: "default", Name: "o"}
	req := ipam.Request{Service: o, Families: []lb.Family{lb.IPv4}, Shows: []netip.Addr{a}}
	l := New()
	l.Load(mk("", "10.0.1.9"), nil)
	l.Assign(req)
	l.SetPools(mk("prod", "10.0.1.9"))
	l.Assign(req)
	if len(l.PoolStates()["p"].OutsidePool) != 1 {
		t.Fatal("not kept outside")
	}
	l.SetPools(mk("prod", "10.0.1.8")) // another pool, q, is edited
	if len(l.PoolStates()["p"].OutsidePool) != 1 {
		t.Errorf("after an edit of the pool q, p keeps nothing outside")
	}
}

func TestAllThatAServiceAsksForAndShowsIsAdopted(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	pools := []ipam.Pool{{Name: "p", AutoAssign: true, Listed: []lb.Range{{First: a, Last: netip.MustParseAddr("10.0.0.9")}}}}
	ipam.Resolve(pools, nil)
	o, tt := lb.ServiceKey{Namespace: "default", Name: "o"}, lb.ServiceKey{Namespace: "default", Name: "t"}
	l := New()
	// claim of 10.0.0.1 was deleted while no controller ran; o asks for and shows both.
	l.Load(pools, []ClaimContent{{Address: b, Pool: "p", Holders: []Holder{{Service: o}}}})
	want := []netip.Addr{a, b}
	if n := l.AdoptShown(ipam.Request{Service: o, Addresses: want, Shows: want}); n != 1 {
		t.Errorf("adopted %d, want 1: the other one is claimed", n)
	}
	if got := l.Assign(ipam.Request{Service: tt, Families: []lb.Family{lb.IPv4}}); got.Keep[0].Address == a {
		t.Errorf("t got %s, which o shows and asks for", a)
	}
	back := l.Assign(ipam.Request{Service: o, Families: []lb.Family{lb.IPv4}, Addresses: want, Shows: want})
	if len(back.Keep) != 2 || back.Refusal != nil {
		t.Errorf("o keeps %v, refusal %v, want both", back.Keep, back.Refusal)
	}
}
