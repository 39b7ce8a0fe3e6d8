package ipam

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

// A refusal names what is wrong, where, and what to do.
func TestRefusalsNamePlaceReasonAndRemedy(t *testing.T) {
	full := newPool("full", "10.0.0.1")
	gone := []string{"10.7.0.1@gone"}
	tests := []struct {
		name    string
		pools   []Pool
		taken   []string
		kept    []string
		foreign string // a Service that has 10.0.0.1 and shares it by the key k with port 443
		req     []requestOption
		reason  Reason
		want    string
	}{
		{name: "no pool", reason: ReasonNoPool, want: "there is no pool of addresses: add one to spec.ipAddressPools of the LoadBalancerStack"},
		{name: "no pool of the family", pools: pools(full), req: options(using(v6)), reason: ReasonNoPool, want: `no pool gives the Service an IPv6 address: "full" has no IPv6 addresses: add addresses of this family to a pool, or change spec.ipFamilies of the Service`},
		{name: "a pool whose addresses of the family are all excluded", pools: pools(newPool("p", "10.0.0.1 2001:db8::1", without("10.0.0.1"))), reason: ReasonNoPool, want: `no pool gives the Service an IPv4 address: "p" can give none of its IPv4 addresses (for the reason see kubectl describe lbpool p): add addresses of this family to a pool, or change spec.ipFamilies of the Service`},
		{name: "a pool by hand", pools: pools(newPool("hand", "10.0.0.1", manual)), reason: ReasonNoPool, want: `no pool gives the Service an IPv4 address: "hand" has autoAssign: false: name a pool with the annotation lbstack.io/address-pool, or set autoAssign: true on a pool`},
		{name: "a pool for others", pools: pools(newPool("team", "10.0.0.1", forNamespaces("m"))), reason: ReasonPoolNotAllowed, want: `no pool gives the Service an IPv4 address: "team" is for other Services (spec.serviceAllocation): change spec.serviceAllocation of a pool, or add a pool for the Service`},
		{name: "a draining pool", pools: pools(newPool("old", "10.0.0.1", drained)), reason: ReasonPoolDraining, want: `no pool gives the Service an IPv4 address: "old" is draining: set state: Active on the pool, or add another pool`},
		{name: "a pool that is wrong", pools: pools(newPool("bad", "10.0.0.1", broken("it is wrong"))), reason: ReasonPoolUnusable, want: `no pool gives the Service an IPv4 address: "bad" gives nothing: it is wrong: correct the pool`},
		{name: "a quota", pools: pools(newPool("p", "10.0.0.1-10.0.0.9", quota(1))), taken: []string{"10.0.0.1@p"}, reason: ReasonQuotaExceeded, want: `no pool gives the Service an IPv4 address: "p" has maxAddressesPerNamespace: 1 in spec.quota, and the namespace "n" has that many addresses: delete a Service of the namespace that has an address of the pool, or raise spec.quota of the pool`},
		{name: "a full pool", pools: pools(full), taken: []string{"10.0.0.1@full"}, reason: ReasonPoolExhausted, want: `no pool gives the Service an IPv4 address: "full" has no free IPv4 address: add addresses to a pool, or delete a Service that has an address (kubectl get lbip lists the addresses with their Services)`},
		{name: "either family", pools: pools(full), taken: []string{"10.0.0.1@full"}, req: options(using(v64)), reason: ReasonPoolExhausted, want: `no pool gives the Service an IPv6 or IPv4 address: "full" has no free IPv4 address: add addresses to a pool, or delete a Service that has an address (kubectl get lbip lists the addresses with their Services)`},
		{name: "of both families, preferred, the first one", pools: pools(newPool("hand", "10.0.0.1", manual)), req: options(both(PreferDualStack, v64)), reason: ReasonNoPool, want: `no pool gives the Service an IPv6 address: "hand" has autoAssign: false: name a pool with the annotation lbstack.io/address-pool, or set autoAssign: true on a pool`},
		{name: "both families of a pool, the first one", pools: pools(newPool("p", "10.0.0.1 2001:db8::1")), taken: []string{"10.0.0.1@p", "2001:db8::1@p"}, req: options(using(v64)), reason: ReasonPoolExhausted, want: `no pool gives the Service an IPv6 or IPv4 address: "p" has no free IPv6 address: add addresses to a pool, or delete a Service that has an address (kubectl get lbip lists the addresses with their Services)`},
		{name: "of several pools the one that is nearest to giving", pools: pools(newPool("a", "10.0.0.9", drained), full, newPool("z", "2001:db8::1")), taken: []string{"10.0.0.1@full"}, reason: ReasonPoolExhausted, want: `no pool gives the Service an IPv4 address: "a" is draining; "full" has no free IPv4 address; "z" has no IPv4 addresses: add addresses to a pool, or delete a Service that has an address (kubectl get lbip lists the addresses with their Services)`},
		{name: "an unknown pool", pools: pools(newPool("z", "10.0.0.1", priority(1)), full), taken: gone, req: options(from("gone")), reason: ReasonUnknownPool, want: `the Service names the pool "gone", which does not exist (there are "full", "z"): create the pool, or name another pool`},
		{name: "an unknown pool of none", req: options(from("gone")), reason: ReasonUnknownPool, want: `the Service names the pool "gone", which does not exist (there is no pool at all): create the pool, or name another pool`},
		{name: "an address in no pool", pools: pools(full), req: options(wants("10.9.0.1")), reason: ReasonAddressNotInPool, want: "the Service asks for 10.9.0.1, which is in no pool: add the address to a pool, or ask for another address (kubectl get ipaddresspools -o wide lists the pools)"},
		{name: "an address of another pool", pools: pools(full, newPool("p", "10.0.1.1")), req: options(wants("10.0.0.1"), from("p")), reason: ReasonAddressNotInPool, want: `the Service asks for 10.0.0.1 from the pool "p", but the address belongs to the pool "full": name that pool, or another address`},
		{name: "an address that is excluded", pools: pools(newPool("p", "10.0.0.0/24", without("10.0.0.9"))), req: options(wants("10.0.0.9")), reason: ReasonAddressNotInPool, want: `the Service asks for 10.0.0.9, which the pool "p" does not give: the address is in spec.excludeAddresses; ask for another address`},
		{name: "an address that is held back", pools: pools(newPool("p", "10.0.0.0/24", avoiding)), req: options(wants("10.0.0.255")), reason: ReasonAddressNotInPool, want: `the Service asks for 10.0.0.255, which the pool "p" does not give: spec.avoidBuggyIPs excludes the address; ask for another address`},
		{name: "an address of a pool that is wrong", pools: pools(newPool("bad", "10.0.0.1", broken("it is wrong"))), req: options(wants("10.0.0.1")), reason: ReasonPoolUnusable, want: `the Service asks for 10.0.0.1, but the pool "bad" gives nothing: it is wrong: correct the pool`},
		{name: "an address of a pool for others", pools: pools(newPool("team", "10.0.0.1", forNamespaces("m"))), req: options(wants("10.0.0.1")), reason: ReasonPoolNotAllowed, want: `the Service asks for 10.0.0.1, but the pool "team" is for other Services (spec.serviceAllocation): change spec.serviceAllocation of a pool, or add a pool for the Service`},
		{name: "an address beyond the quota", pools: pools(newPool("p", "10.0.0.1-10.0.0.9", quota(1))), taken: []string{"10.0.0.1@p"}, req: options(wants("10.0.0.5")), reason: ReasonQuotaExceeded, want: `the Service asks for 10.0.0.5, but the pool "p" has maxAddressesPerNamespace: 1 in spec.quota, and the namespace "n" has that many addresses: delete a Service of the namespace that has an address of the pool, or raise spec.quota of the pool`},
		{name: "an address of another Service", pools: pools(full), taken: []string{"10.0.0.1@full"}, req: options(wants("10.0.0.1")), reason: ReasonAddressInUse, want: "the Service asks for 10.0.0.1, which belongs to the Service n/other-0: ask for another address, or free this one"},
		{name: "an address of a Service of another namespace", pools: pools(full), foreign: "m/secret", req: options(wants("10.0.0.1")), reason: ReasonAddressInUse, want: "the Service asks for 10.0.0.1, which belongs to a Service of another namespace: ask for another address, or free this one"},
		{name: "an address that a Service of another namespace would share", pools: pools(full), foreign: "m/secret", req: options(wants("10.0.0.1"), on(share("k", 80))), reason: ReasonSharingConflict, want: "the Service asks for 10.0.0.1, but cannot share the address with a Service of another namespace: the pool has sharingScope: Namespace; remove the cause, or ask for another address"},
		{name: "a port that a Service of another namespace has", pools: pools(newPool("full", "10.0.0.1", across)), foreign: "m/secret", req: options(wants("10.0.0.1"), on(share("k", 443))), reason: ReasonSharingConflict, want: "the Service asks for 10.0.0.1, but cannot share the address with a Service of another namespace: both use port 443/TCP; remove the cause, or ask for another address"},
		{name: "more addresses than a pool gives a Service", pools: pools(newPool("p", "10.0.0.1-10.0.0.9", perService(2))), req: options(wants("10.0.0.1", "10.0.0.2", "10.0.0.3")), reason: ReasonTooManyAddresses, want: `the Service asks for 3 IPv4 addresses, but 10.0.0.1 belongs to the pool "p", whose spec.maxAddressesPerService is 2: ask for fewer addresses, or raise that value`},
		{name: "an address that is not shared", pools: pools(full), taken: []string{"10.0.0.1@full"}, req: options(wants("10.0.0.1"), on(share("k", 80))), reason: ReasonSharingConflict, want: "the Service asks for 10.0.0.1, but cannot share the address with the Service n/other-0: both must have the annotation lbstack.io/allow-shared-ip with the same value; remove the cause, or ask for another address"},
		{name: "an address that is reserved", pools: pools(full), kept: []string{"10.0.0.1@full"}, req: options(wants("10.0.0.1")), reason: ReasonAddressInUse, want: "the Service asks for 10.0.0.1, which is reserved by the IPAddressClaim of that address: ask for another address"},
		{name: "an address of the wrong family", pools: pools(full), req: options(wants("10.0.0.1"), using(v6)), reason: ReasonInvalidRequest, want: "the Service asks for the IPv4 address 10.0.0.1, but its spec.ipFamilies is IPv6: change the address or spec.ipFamilies"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(tt.pools...)
			for i, h := range tt.taken {
				take(t, a, fmt.Sprint("other-", i), h)
			}
			if tt.foreign != "" {
				take(t, a, tt.foreign, "10.0.0.1@full", share("k", 443))
			}
			for _, h := range tt.kept {
				a.Reserve(holding("", h).Address, holding("", h).Pool)
			}
			got := a.Assign(ask("web", tt.req...)).Refusal
			if got == nil || got.Reason != tt.reason || got.Message != tt.want {
				t.Errorf("got  %+v\nwant %s: %s", got, tt.reason, tt.want)
			}
		})
	}
	t.Run("an address that conflicts with a node", func(t *testing.T) {
		list, a := pools(newPool("p", "10.0.0.1-10.0.0.2")), New()
		Resolve(list, []TakenRange{{Range: rangesIn("10.0.0.1")[0], By: "a node"}})
		a.SetPools(list)
		got := a.Assign(ask("web", wants("10.0.0.1"))).Refusal
		want := `the Service asks for 10.0.0.1, which the pool "p" does not give: the address belongs to a node; ask for another address`
		if got == nil || got.Reason != ReasonAddressNotInPool || got.Message != want {
			t.Errorf("got %+v, want %s", got, want)
		}
	})
}

func TestResultsOfEveryPoolAreInOrder(t *testing.T) {
	a := allocator(newPool("free", "10.0.0.1"), newPool("full", "10.0.1.1", priority(1)), newPool("quota", "10.0.2.1-10.0.2.9", quota(1)), newPool("bad", "10.0.3.1", broken("it is wrong")),
		newPool("drain", "10.0.4.1", drained), newPool("hand", "10.0.5.1", manual), newPool("team", "10.0.6.1", forNamespaces("m"), priority(2)), newPool("six", "2001:db8::1 10.0.7.1"))
	take(t, a, "x", "10.0.1.1@full")
	take(t, a, "y", "10.0.2.1@quota")
	take(t, a, "z", "2001:db8::1@six")
	want := []PoolResult{
		{"full", ReasonPoolExhausted, `"full" has no free IPv4 address`},
		{"team", ReasonPoolNotAllowed, `"team" is for other Services (spec.serviceAllocation)`},
		{"bad", ReasonPoolUnusable, `"bad" gives nothing: it is wrong`},
		{"drain", ReasonPoolDraining, `"drain" is draining`},
		{"free", "", `"free" has free addresses`},
		{"hand", ReasonNoPool, `"hand" has autoAssign: false`},
		{"quota", ReasonQuotaExceeded, `"quota" has maxAddressesPerNamespace: 1 in spec.quota, and the namespace "n" has that many addresses`},
		{"six", "", `"six" has free addresses`},
	}
	if diff := cmp.Diff(want, a.Explain(ask("web"), lb.IPv4)); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]PoolResult{{"hand", "", `"hand" has free addresses`}}, a.Explain(ask("web", from("hand")), lb.IPv4)); diff != "" {
		t.Errorf("results of the named pool (-want +got):\n%s", diff)
	}
	if got := a.Explain(ask("web", from("nope")), lb.IPv4); len(got) != 0 {
		t.Errorf("results of no pool: got %v, want none", got)
	}
	six := a.Explain(ask("web", both(PreferDualStack, v46)), lb.IPv6)
	if got, want := six[2], (PoolResult{"six", ReasonPoolExhausted, `"six" has no free IPv6 address`}); got != want {
		t.Errorf("result of the pool with both families: got %v, want %v in its place", got, want)
	}
	// A refusal carries the same.
	for _, free := range []string{"10.0.0.1", "10.0.7.1"} {
		a.Reserve(addr(free), "")
	}
	d := a.Assign(ask("web"))
	if diff := cmp.Diff(a.Explain(ask("web"), lb.IPv4), d.Refusal.Pools); diff != "" {
		t.Errorf("results of the refusal (-want +got):\n%s", diff)
	}
}

func TestMessageIsBounded(t *testing.T) {
	var list []Pool
	for i := range 20 {
		list = append(list, newPool(lb.PoolName(fmt.Sprintf("pool-%02d", i)), fmt.Sprintf("10.0.%d.1", i)))
	}
	build := func(n int) (*Allocator, *Refusal) {
		a := allocator(list[:n]...)
		for i := range n {
			take(t, a, fmt.Sprint(i), fmt.Sprintf("10.0.%d.1@%s", i, list[i].Name))
		}
		return a, a.Assign(ask("web")).Refusal
	}
	for n, want := range map[int]string{8: "", 9: "pools that are not listed: 1", 20: "pools that are not listed: 12"} {
		_, refusal := build(n)
		if reported := strings.Count(refusal.Message, "pool-"); reported != 8 {
			t.Errorf("%d pools: got %d pools named, want 8: %s", n, reported, refusal.Message)
		}
		if got := strings.Contains(refusal.Message, "not listed"); got != (want != "") || !strings.Contains(refusal.Message, want) {
			t.Errorf("%d pools: got %q, want %q in it", n, refusal.Message, want)
		}
		if len(refusal.Pools) != n {
			t.Errorf("%d pools: got %d results, want all", n, len(refusal.Pools))
		}
	}
	a, _ := build(20)
	if got := strings.Count(a.Assign(ask("web", from("nope"))).Refusal.Message, "pool-"); got != 8 {
		t.Errorf("unknown pool: got %d pools named, want 8", got)
	}
}

// The remedy is for a pool that the message names.
func TestMessageNamesThePoolThatTheRemedyIsFor(t *testing.T) {
	var list []Pool
	for i := range 9 {
		list = append(list, newPool(lb.PoolName(fmt.Sprintf("pool-%d", i)), fmt.Sprintf("10.0.%d.1", i), forNamespaces("m")))
	}
	a := allocator(append(list, newPool("full", "10.1.0.1"))...)
	take(t, a, "other", "10.1.0.1@full")
	refusal := a.Assign(ask("web")).Refusal
	if refusal.Reason != ReasonPoolExhausted || !strings.Contains(refusal.Message, `"full" has no free IPv4 address`) {
		t.Errorf("got %s: %s\nwant it to name the pool that is full", refusal.Reason, refusal.Message)
	}
}
