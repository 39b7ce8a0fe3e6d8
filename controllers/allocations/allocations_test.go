package allocations

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// plan returns pools as the allocator gets them. edit changes the first pool.
func plan(t *testing.T, edit func(*ipam.Pool), cidrs ...string) []ipam.Pool {
	t.Helper()
	var pools []ipam.Pool
	for i, cidr := range cidrs {
		pools = append(pools, ipam.Pool{Name: lb.PoolName(fmt.Sprintf("p%d", i)), AutoAssign: true, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix(cidr))}})
	}
	if edit != nil {
		edit(&pools[0])
	}
	ipam.Resolve(pools, nil)
	return pools
}

// with returns a view with a pool for each CIDR.
func with(t *testing.T, cidrs ...string) *View {
	t.Helper()
	l := New()
	l.Load(plan(t, nil, cidrs...), nil)
	return l
}

func key(i int) lb.ServiceKey { return lb.ServiceKey{Namespace: "n", Name: fmt.Sprint(i)} }

func request(i int, addresses ...string) ipam.Request {
	req := ipam.Request{Service: key(i), Families: []lb.Family{lb.IPv4}}
	for _, a := range addresses {
		req.Addresses = append(req.Addresses, addr(a))
	}
	return req
}

// shares returns the terms of a Service with that key and TCP ports.
func shares(key string, ports ...uint16) lb.Sharing {
	terms := lb.Sharing{Key: key}
	for _, p := range ports {
		terms.Ports = append(terms.Ports, lb.Port{Protocol: "TCP", Number: p})
	}
	return terms
}

// sharing is a request on those terms.
func sharing(req ipam.Request, terms lb.Sharing) ipam.Request {
	req.Terms = terms
	return req
}

// mustAssign meets a request, and returns the addresses.
func mustAssign(t *testing.T, l *View, req ipam.Request) []string {
	t.Helper()
	o := l.Assign(req)
	if o.Refusal != nil {
		t.Fatalf("%s: %v", req.Service, o.Refusal)
	}
	return texts(o.Keep)
}

// mustRefuse fails unless a request is refused, and returns the number of refusals in a row.
func mustRefuse(t *testing.T, l *View, req ipam.Request) int {
	t.Helper()
	o := l.Assign(req)
	if o.Refusal == nil {
		t.Fatalf("%s: got %v, want a refusal", req.Service, texts(o.Keep))
	}
	return o.Attempts
}

func texts(holdings []ipam.Holding) (list []string) {
	for _, h := range holdings {
		list = append(list, h.Address.String())
	}
	return list
}

// woken collects the Services that are woken from now on.
func woken(l *View) *[]lb.ServiceKey {
	list := &[]lb.ServiceKey{}
	l.OnChange(func(k lb.ServiceKey) { *list = append(*list, k) })
	return list
}

// diffWoken compares the woken Services with Services by number, and clears the collection.
func diffWoken(t *testing.T, what string, got *[]lb.ServiceKey, want ...int) {
	t.Helper()
	keys := []lb.ServiceKey{}
	for _, i := range want {
		keys = append(keys, key(i))
	}
	if diff := cmp.Diff(keys, *got); diff != "" {
		t.Errorf("woken %s (-want +got):\n%s", what, diff)
	}
	*got = []lb.ServiceKey{}
}

// holds compares the addresses that a Service has taken up, and those reserved for it.
func holds(t *testing.T, l *View, i int, has, kept []string) {
	t.Helper()
	gotHas, gotReserved := l.HeldBy(key(i))
	if diff := cmp.Diff(has, texts(gotHas)); diff != "" {
		t.Errorf("what %s has (-want +got):\n%s", key(i), diff)
	}
	if diff := cmp.Diff(kept, texts(gotReserved)); diff != "" {
		t.Errorf("what is kept for %s (-want +got):\n%s", key(i), diff)
	}
}

func TestAPoolThatIsRenamedTakesItsAddressesAlong(t *testing.T) {
	l := with(t, "10.0.0.0/30")
	mustAssign(t, l, request(0))
	got := woken(l)
	l.SetPools(plan(t, func(p *ipam.Pool) { p.Name = "q" }, "10.0.0.0/30"))
	want := []ipam.Holding{{Address: addr("10.0.0.0"), Pool: "q", Service: key(0)}}
	held, _ := l.HeldBy(key(0))
	if diff := cmp.Diff(want, held, byValue); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	diffWoken(t, "so that claim and annotation follow", got, 0)
}

func TestPoolsThatStayAsTheyAreWakeNobody(t *testing.T) {
	l := with(t, "10.0.0.0/31", "10.0.1.0/31")
	mustAssign(t, l, request(0))
	mustRefuse(t, l, request(1, "10.9.9.9"))
	got := woken(l)
	if l.SetPools(plan(t, nil, "10.0.0.0/31", "10.0.1.0/31")) {
		t.Error("got changed, want nothing to have changed")
	}
	diffWoken(t, "by the same pools", got)
	if !l.SetPools(plan(t, func(p *ipam.Pool) { p.Draining = true }, "10.0.0.0/31", "10.0.1.0/31")) {
		t.Error("got nothing changed, want a pool that drains to be a change")
	}
	diffWoken(t, "by a pool that drains, who waits first", got, 1, 0)
}

func TestSetPools_ServesWaitQueueAndWakesAll(t *testing.T) {
	l := with(t, "10.0.0.0/31")
	mustAssign(t, l, request(9))
	mustAssign(t, l, request(8))
	for _, i := range []int{5, 1, 2, 4} {
		mustRefuse(t, l, request(i))
	}
	l.Forget(key(1))
	got := woken(l)
	l.SetPools(plan(t, nil, "10.0.0.0/30"))
	holds(t, l, 5, []string{"10.0.0.2"}, nil)
	holds(t, l, 2, []string{"10.0.0.3"}, nil)
	holds(t, l, 4, nil, nil)
	holds(t, l, 1, nil, nil)
	seen := map[lb.ServiceKey]bool{}
	for _, service := range *got {
		seen[service] = true
	}
	if diff := cmp.Diff(map[lb.ServiceKey]bool{key(2): true, key(4): true, key(5): true, key(8): true, key(9): true}, seen); diff != "" {
		t.Errorf("woken by more addresses (-want +got):\n%s", diff)
	}
}

func TestPoolOf(t *testing.T) {
	l := with(t, "10.0.0.0/31", "10.0.1.0/31")
	tests := []struct {
		name, address string
		want          lb.PoolName
	}{
		{"one that is free", "10.0.1.1", "p1"},
		{"one that is in no pool", "10.0.2.1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := l.PoolOf(addr(tt.address)); got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, tt.want)
			}
		})
	}
}

func TestAdoptShown(t *testing.T) {
	kept := func(address string) func(*View) {
		return func(l *View) {
			l.RecordClaim(ClaimContent{}, ClaimContent{Address: addr(address), Pool: "gone", Holders: []Holder{{Service: key(0), Reserved: true}}})
		}
	}
	both := func(fs ...func(*View)) func(*View) {
		return func(l *View) {
			for _, f := range fs {
				f(l)
			}
		}
	}
	has := func(address string) func(*View) { return func(l *View) { l.Assign(request(0, address)) } }
	tests := []struct {
		name   string
		before func(*View)
		shows  []string
		terms  lb.Sharing
		want   int
		has    []string
		kept   []string
	}{
		{name: "nothing", want: 0},
		{name: "a free address of a pool", shows: []string{"10.0.0.3"}, want: 1, has: []string{"10.0.0.3"}},
		{name: "all of a family of which it has nothing", shows: []string{"10.0.0.3", "10.0.0.1"}, want: 2, has: []string{"10.0.0.1", "10.0.0.3"}},
		{name: "of both families", shows: []string{"10.0.0.3", "2001:db8::1"}, want: 2, has: []string{"10.0.0.3", "2001:db8::1"}},
		{name: "of the family of which it has nothing", before: has("10.0.0.2"), shows: []string{"10.0.0.3", "2001:db8::1"}, want: 1, has: []string{"10.0.0.2", "2001:db8::1"}},
		{name: "not one that no pool has", shows: []string{"192.0.2.1"}},
		{name: "not one of another Service", before: func(l *View) { l.Assign(request(1, "10.0.0.3")) }, shows: []string{"10.0.0.3"}},
		{name: "not one that is reserved", before: func(l *View) { l.RecordClaim(ClaimContent{}, ClaimContent{Address: addr("10.0.0.3")}) }, shows: []string{"10.0.0.3"}},
		{name: "what can be given, besides what cannot", shows: []string{"192.0.2.1", "10.0.0.3"}, want: 1, has: []string{"10.0.0.3"}},
		{name: "one that another Service shares", before: func(l *View) { l.Assign(sharing(request(1, "10.0.0.3"), shares("k", 80))) },
			shows: []string{"10.0.0.3"}, terms: shares("k", 81), want: 1, has: []string{"10.0.0.3"}},
		{name: "one that it has is nothing new", before: has("10.0.0.3"), shows: []string{"10.0.0.3"}, has: []string{"10.0.0.3"}},
		{name: "one that is kept for it is taken up, even outside of the pools", before: kept("192.0.2.1"), shows: []string{"192.0.2.1"}, want: 1, has: []string{"192.0.2.1"}},
		{name: "one that is kept does not count as one that it has", before: kept("192.0.2.1"), shows: []string{"10.0.0.3"}, want: 1, has: []string{"10.0.0.3"}, kept: []string{"192.0.2.1"}},
		{name: "one that is kept, besides what it has, is for a decision", before: both(has("10.0.0.2"), kept("192.0.2.1")), shows: []string{"192.0.2.1"}, has: []string{"10.0.0.2"}, kept: []string{"192.0.2.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/30", "2001:db8::/126")
			if tt.before != nil {
				tt.before(l)
			}
			if got := l.AdoptShown(ipam.Request{Service: key(0), Terms: tt.terms, Shows: addrList(tt.shows...)}); got != tt.want {
				t.Errorf("adopted: got %d, want %d", got, tt.want)
			}
			holds(t, l, 0, tt.has, tt.kept)
		})
	}
}

// The shown addresses of a Service are a part of its request, so that a waiting Service gets them.
func TestARequestAdoptsWhatTheServiceShows(t *testing.T) {
	showing := func(req ipam.Request, addresses ...string) ipam.Request {
		req.Shows = addrList(addresses...)
		return req
	}
	elsewhere := showing(request(0), "10.0.0.3")
	elsewhere.Pool = "nope"
	tests := []struct {
		name       string
		req        ipam.Request
		keep, drop []string
		refused    bool
	}{
		{name: "and keeps it", req: showing(request(0), "10.0.0.3"), keep: []string{"10.0.0.3"}},
		{name: "and keeps it though another was asked for that cannot be had", req: showing(request(0, "10.9.9.9"), "10.0.0.3"), keep: []string{"10.0.0.3"}, refused: true},
		{name: "and keeps it though there is no such pool", req: elsewhere, keep: []string{"10.0.0.3"}, refused: true},
		{name: "and lets it go for one that was asked for", req: showing(request(0, "10.0.0.1"), "10.0.0.3"), keep: []string{"10.0.0.1"}, drop: []string{"10.0.0.3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/30")
			o := l.Assign(tt.req)
			if (o.Refusal != nil) != tt.refused {
				t.Errorf("refusal: got %+v, want one: %v", o.Refusal, tt.refused)
			}
			if diff := cmp.Diff(tt.keep, texts(o.Keep)); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.drop, texts(o.Drop)); diff != "" {
				t.Errorf("dropped (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOutcome_HasReservedAddressUntilServiceTakesItUp(t *testing.T) {
	l := with(t, "10.0.0.0/30")
	l.RecordClaim(ClaimContent{}, reservedFor(1))
	for range 2 { // the first decision came to nothing
		if diff := cmp.Diff(addrList(at), l.Assign(request(1)).TakenUp, byValue); diff != "" {
			t.Errorf("taken up (-want +got):\n%s", diff)
		}
		holds(t, l, 1, nil, []string{at})
	}
	l.TakeUp(addr(at), key(1))
	holds(t, l, 1, []string{at}, nil)
	if got := l.Assign(request(1)).TakenUp; got != nil {
		t.Errorf("taken up again: got %v, want nothing", got)
	}
	if got := l.Assign(request(2)).TakenUp; got != nil {
		t.Errorf("taken up of a new address: got %v, want nothing", got)
	}
	l.RecordClaim(ClaimContent{}, ClaimContent{Address: addr("10.0.0.3"), Pool: "p0", Holders: []Holder{{Service: key(1), Reserved: true}}})
	if got := l.Assign(request(1, "10.9.9.9")).TakenUp; got != nil {
		t.Errorf("taken up by a request that is refused: got %v, want nothing", got)
	}
}

// The Service was to move, its status could not be written, and its request is invalid
// now: it has the addresses that it shows, and no others.
func TestInvalidRequest_TakesUpNoReservedAddress(t *testing.T) {
	l := with(t, "10.0.0.0/30")
	mustAssign(t, l, request(1, "10.0.0.3"))
	l.RecordClaim(ClaimContent{}, reservedFor(1))
	mustAssign(t, l, request(1))
	o := l.RefuseInvalid(request(1), &ipam.Refusal{Reason: ipam.ReasonInvalidRequest})
	if diff := cmp.Diff([]string{"10.0.0.3"}, texts(o.Keep)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	holds(t, l, 1, []string{"10.0.0.3"}, []string{at})
}

func TestOutcome_HasPoolsThatWerePassedOver(t *testing.T) {
	full := func(t *testing.T) *View {
		l := New()
		l.Load(plan(t, func(p *ipam.Pool) { p.Draining = true }, "10.0.0.0/32", "10.0.1.0/32", "10.0.2.0/30", "10.0.3.0/32"), nil)
		mustAssign(t, l, request(9, "10.0.1.0"))
		mustAssign(t, l, request(8, "10.0.3.0"))
		return l
	}
	named, fromPool := request(0, "10.0.2.1"), request(0)
	fromPool.Pool = "p2"
	tests := []struct {
		name  string
		req   ipam.Request
		again bool
		want  []ipam.Reason
	}{
		{name: "those before the one that gave", req: request(0), want: []ipam.Reason{ipam.ReasonPoolDraining, ipam.ReasonPoolExhausted}},
		{name: "none for what the Service has already", req: request(0), again: true},
		{name: "none for an address that was asked for", req: named},
		{name: "none for a pool that was asked for", req: fromPool},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := full(t)
			o := l.Assign(tt.req)
			if tt.again {
				o = l.Assign(tt.req)
			}
			var got []ipam.Reason
			for _, v := range o.PassedPools {
				got = append(got, v.Reason)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("passed (-want +got):\n%s", diff)
			}
		})
	}
}
