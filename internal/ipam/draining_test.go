package ipam

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

// What applies to an address that its pool does not give, and to a Service that
// holds it: the Service retains it, or releases it if the pool evicts.
func TestAddressesThatAPoolNoLongerGives(t *testing.T) {
	tests := []struct {
		name string
		held string
		next Pool // without Evict
		req  []requestOption
		why  string // empty: the pool would not take it
	}{
		{name: "a pool that still gives it", held: "10.0.0.5@p", next: newPool("p", "10.0.0.5")},
		{name: "a draining pool keeps what is given", held: "10.0.0.5@p", next: newPool("p", "10.0.0.1-10.0.0.9", drained)},
		{name: "a pool with autoAssign: false keeps what is given", held: "10.0.0.5@p", next: newPool("p", "10.0.0.1-10.0.0.9", manual)},
		{name: "a pool that gives nothing at all takes nothing", held: "10.0.0.5@p", next: newPool("p", "", broken("it is wrong"))},
		{name: "a pool with a quota takes nothing", held: "10.0.0.5@p", next: newPool("p", "10.0.0.1-10.0.0.9", quota(1))},
		{name: "a pool that has become smaller", held: "10.0.0.5@p", next: newPool("p", "10.0.0.1-10.0.0.4"), why: "the address is no longer in spec.addresses"},
		{name: "a pool that has lost a family", held: "2001:db8::1@p", next: newPool("p", "10.0.0.1-10.0.0.4"), req: options(using(v6)), why: "the address is no longer in spec.addresses"},
		{name: "a pool that excludes it", held: "10.0.0.5@p", next: newPool("p", "10.0.0.1-10.0.0.9", without("10.0.0.4-10.0.0.6")), why: "the address is in spec.excludeAddresses"},
		{name: "a pool that avoids .0", held: "10.0.0.0@p", next: newPool("p", "10.0.0.0/24", avoiding), why: "spec.avoidBuggyIPs excludes the address"},
		{name: "a pool that avoids .255", held: "10.0.0.255@p", next: newPool("p", "10.0.0.0/24", avoiding), why: "spec.avoidBuggyIPs excludes the address"},
		{name: "a pool that avoids .0 does not mind ::0", held: "2001:db8::@p", next: newPool("p", "2001:db8::/64", avoiding), req: options(using(v6))},
		{name: "a pool that is for other namespaces", held: "10.0.0.5@p", next: newPool("p", "10.0.0.1-10.0.0.9", forNamespaces("m")), why: "spec.serviceAllocation no longer selects the Service"},
		{name: "a pool that is for other Services", held: "10.0.0.5@p", next: newPool("p", "10.0.0.1-10.0.0.9", forServicesWith("app=x")), req: options(labelled("app=a")), why: "spec.serviceAllocation no longer selects the Service"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := newPool("p", "10.0.0.0/24 2001:db8::/64")
			req := ask("web", tt.req...)
			a := allocator(before)
			take(t, a, "web", tt.held)
			setPools(a, tt.next)
			decide(t, a, req, "keep "+tt.held)
			kept := a.PoolStates()["p"].OutsidePool
			switch {
			case tt.why == "" && len(kept) != 0:
				t.Errorf("kept: got %v, want nothing", kept)
			case tt.why != "" && (len(kept) != 1 || kept[0].Why != tt.why || kept[0].Holding != holding("web", tt.held)):
				t.Errorf("kept: got %v, want %s because %q", kept, tt.held, tt.why)
			}
			tt.next.Evict = true
			setPools(a, tt.next, newPool("rest", "10.9.0.1 2001:db8:9::1"))
			if tt.why == "" {
				decide(t, a, req, "keep "+tt.held)
				return
			}
			d := a.Assign(req)
			if len(d.Lost) != 1 || d.Lost[0].Why != tt.why || len(d.Drop) != 1 || len(d.Keep) != 1 || d.Keep[0].Address == d.Drop[0].Address {
				t.Errorf("with Evict: got %q (%v), want another address, and the old one lost because %q", outcome(d), d.Lost, tt.why)
			}
			for _, h := range d.Drop {
				a.Release(h.Address, h.Service)
			}
			// It stays away, also if it is asked for.
			req.Addresses = []netip.Addr{holding("web", tt.held).Address}
			if d := a.Assign(req); d.Refusal == nil {
				t.Errorf("asks for it again: got %q, want a refusal", outcome(d))
			}
		})
	}
}

func TestEvictedServiceThatGetsNothingHasNothing(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.2"))
	take(t, a, "web", "10.0.0.1@p")
	take(t, a, "other", "10.0.0.2@p")
	setPools(a, newPool("p", "10.0.0.2", evicting))
	settle(t, a, ask("web"), "drop 10.0.0.1@p, lost 10.0.0.1@p, refused PoolExhausted")
	checkInside(t, a)
	settle(t, a, ask("web"), "refused PoolExhausted")
}

// Also if the Service names the address, in a pool with autoAssign: false.
func TestEvictedFromAPoolByHand(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.2", manual))
	decide(t, a, ask("web", wants("10.0.0.1")), "keep 10.0.0.1@p")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.2", manual, evicting, forNamespaces("m")))
	settle(t, a, ask("web", wants("10.0.0.1")), "drop 10.0.0.1@p, lost 10.0.0.1@p, refused PoolNotAllowed")
}

func TestReservedAddressThatThePoolWouldTakeAwayIsNotTakenUp(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.2", evicting))
	reserved(t, a, "web", "10.7.0.1@p")
	for range 2 { // and asked again it is the same
		if got, want := outcome(a.Assign(ask("web"))), "keep 10.0.0.1@p"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if !a.IsReservedFor(Holding{Address: addr("10.7.0.1"), Service: ask("web").Service}) {
		t.Error("10.7.0.1 is not kept for web any more")
	}
}

// A draining pool with autoAssign: false is reported as draining.
func TestDrainingPoolGivesNothingNew(t *testing.T) {
	rest := newPool("q", "10.0.1.1-10.0.1.9")
	for name, p := range map[string]Pool{"automatic": newPool("p", "10.0.0.1-10.0.0.9", drained), "by hand": newPool("p", "10.0.0.1-10.0.0.9", drained, manual)} {
		t.Run(name, func(t *testing.T) {
			runAssign(t, []assignCase{
				{name: "another one does", pools: pools(p, rest), want: "keep 10.0.1.1@q"},
				{name: "if the pool is named", pools: pools(p, rest), req: options(from("p")), want: "refused PoolDraining"},
				{name: "if the address is named", pools: pools(p, rest), req: options(wants("10.0.0.1")), want: "refused PoolDraining"},
				{name: "if both are", pools: pools(p, rest), req: options(wants("10.0.0.1"), from("p")), want: "refused PoolDraining"},
				{name: "but what is held and named stays", pools: pools(p, rest), held: []string{"10.0.0.1@p"}, req: options(wants("10.0.0.1"), from("p")), want: "keep 10.0.0.1@p"},
			})
		})
	}
}

func TestAvoidBuggyHoldsBack(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.254-10.0.1.1", avoiding))
	decide(t, a, ask("a", wants("10.0.0.255")), "refused AddressNotInPool")
	decide(t, a, ask("a", wants("10.0.1.0")), "refused AddressNotInPool")
	decide(t, a, ask("a"), "keep 10.0.0.254@p")
	decide(t, a, ask("b"), "keep 10.0.1.1@p")
	decide(t, a, ask("c"), "refused PoolExhausted")
	// One that is held stays, is not free afterwards, and does not count as used.
	take(t, a, "d", "10.0.0.255@p")
	if u := a.PoolStates()["p"].Usage[lb.IPv4]; u.Used != 2 || u.Total.Int64() != 2 {
		t.Errorf("usage: got %d of %s, want 2 of 2", u.Used, u.Total)
	}
	settle(t, a, ask("d"), "keep 10.0.0.255@p")
	a.Release(addr("10.0.0.255"), service("d"))
	decide(t, a, ask("d"), "refused PoolExhausted")
	setPools(a, newPool("p", "10.0.0.254-10.0.1.1"))
	decide(t, a, ask("c"), "keep 10.0.0.255@p")
	decide(t, a, ask("d"), "keep 10.0.1.0@p")
}

func TestExcludedAddressesAreNotGiven(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.4", without("10.0.0.1 10.0.0.3-10.0.0.9")))
	d := decide(t, a, ask("a", wants("10.0.0.3")), "refused AddressNotInPool")
	if want := "the address is in spec.excludeAddresses"; !strings.Contains(d.Refusal.Message, want) {
		t.Errorf("message: got %q, want it to contain %q", d.Refusal.Message, want)
	}
	decide(t, a, ask("a"), "keep 10.0.0.2@p")
	decide(t, a, ask("b"), "refused PoolExhausted")
}

func TestSetPools(t *testing.T) {
	all := newPool("p", "10.0.0.1-10.0.0.9")
	tests := []struct {
		name   string
		before []Pool
		after  []Pool
		want   string // what web has, which held 10.0.0.5@p
		next   string // what another one gets
	}{
		{name: "the same changes nothing", before: pools(all), after: pools(all), want: "10.0.0.5@p", next: "keep 10.0.0.1@p"},
		{name: "a pool that is renamed has the address", before: pools(all), after: pools(newPool("q", "10.0.0.1-10.0.0.9")), want: "10.0.0.5@q", next: "keep 10.0.0.1@q"},
		{name: "a pool that is split leaves it to the part", before: pools(all), after: pools(newPool("q", "10.0.0.1-10.0.0.4"), newPool("r", "10.0.0.5-10.0.0.9")), want: "10.0.0.5@r", next: "keep 10.0.0.1@q"},
		{name: "a pool that is gone is named still", before: pools(all), after: pools(newPool("q", "10.0.1.1")), want: "10.0.0.5@p", next: "keep 10.0.1.1@q"},
		{name: "a pool that is smaller is named still", before: pools(all), after: pools(newPool("p", "10.0.0.9")), want: "10.0.0.5@p", next: "keep 10.0.0.9@p"},
		{name: "a pool that starts with the address gives the next one", before: pools(all), after: pools(newPool("p", "10.0.0.5-10.0.0.9")), want: "10.0.0.5@p", next: "keep 10.0.0.6@p"},
		{name: "no pool at all", before: pools(all), want: "10.0.0.5@p", next: "refused NoPool"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(tt.before...)
			take(t, a, "web", "10.0.0.5@p")
			setPools(a, tt.after...)
			checkInside(t, a)
			if got := heldBy(a, "web"); got != tt.want {
				t.Errorf("held: got %q, want %q", got, tt.want)
			}
			decide(t, a, ask("web"), "keep "+tt.want)
			decide(t, a, ask("next"), tt.next)
			setPools(a, tt.before...)
			decide(t, a, ask("web"), "keep 10.0.0.5@p")
		})
	}
}

func TestPoolOf(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.0/24", avoiding), newPool("q", "2001:db8::/64"))
	for address, want := range map[string]lb.PoolName{
		"10.0.0.1": "p", "10.0.0.254": "p", "10.0.0.255": "", "10.0.1.0": "", "9.255.255.255": "", "2001:db8::": "q",
		"2001:db8:0:1::": "", "::1": "", "ffff::": "", "::ffff:10.0.0.1": "",
	} {
		if got, ok := a.PoolOf(addr(address)); got != want || ok != (want != "") {
			t.Errorf("PoolOf(%s): got %q, %v, want %q", address, got, ok, want)
		}
	}
}
