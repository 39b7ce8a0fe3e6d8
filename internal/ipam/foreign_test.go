package ipam

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

// host returns a foreign host on an address; inUse: a Service uses the address all the same.
func host(address string, inUse bool) TakenRange {
	return TakenRange{Range: rangesIn(address)[0], By: "a host", Foreign: true, InUse: inUse}
}

// givenByOther has another load balancer give addresses to the Service.
func givenByOther(shows ...string) requestOption {
	return func(r *Request) {
		r.GivenByOther = true
		for _, a := range shows {
			r.Shows = append(r.Shows, addr(a))
		}
	}
}

func setPoolsWith(a *Allocator, taken []TakenRange, pools ...Pool) map[lb.PoolName][]Conflict {
	conflicts := Resolve(pools, taken)
	a.SetPools(pools)
	return conflicts
}

func TestAddressOfAForeignHost(t *testing.T) {
	p := newPool("p", "10.0.0.1-10.0.0.3")
	one := newPool("p", "10.0.0.1-10.0.0.2")
	two := []Pool{newPool("p", "10.0.0.1-10.0.0.2"), newPool("six", "2001:db8::1")}
	tests := []struct {
		name  string
		pools []Pool
		inUse bool
		req   []requestOption
		has   string // addresses of web before the host is reported
		other string // what others have besides
		want  string
	}{
		{"is left for another one", pools(p), false, nil, "10.0.0.1@p", "", "keep 10.0.0.2@p, drop 10.0.0.1@p"},
		{"is kept by a Service that asks for exactly that", pools(p), false, []requestOption{wants("10.0.0.1")}, "10.0.0.1@p", "", "keep 10.0.0.1@p"},
		{"is kept by a Service that another load balancer gave it to", pools(p), false, []requestOption{givenByOther("10.0.0.1")}, "10.0.0.1@p", "", "keep 10.0.0.1@p"},
		{"is left by a Service that another load balancer gave another address", pools(p), false, []requestOption{givenByOther("10.0.0.3")}, "10.0.0.1@p", "", "keep 10.0.0.2@p, drop 10.0.0.1@p"},
		{"is kept where it was announced before", pools(p), true, nil, "10.0.0.1@p", "", "keep 10.0.0.1@p"},
		{"is kept while there is no other", pools(one), false, nil, "10.0.0.1@p", "10.0.0.2@p", "keep 10.0.0.1@p, refused PoolExhausted"},
		{"is not given", pools(p), false, nil, "", "", "keep 10.0.0.2@p"},
		{"is not given even if it is in use", pools(p), true, nil, "", "", "keep 10.0.0.2@p"},
		{"is not given to who asks for it", pools(p), false, []requestOption{wants("10.0.0.1")}, "", "", "refused AddressInUse"},
		{"is left by an evicting pool's Service just so", pools(newPool("p", "10.0.0.1-10.0.0.3", evicting)), false, nil, "10.0.0.1@p", "", "keep 10.0.0.2@p, drop 10.0.0.1@p"},
		{"is kept by who asks for it, even if the pool evicts", pools(newPool("p", "10.0.0.1-10.0.0.3", evicting)), false, []requestOption{wants("10.0.0.1")}, "10.0.0.1@p", "", "keep 10.0.0.1@p"},
		{"is left by a namespace that has all it may have", pools(newPool("p", "10.0.0.1-10.0.0.3", quota(1))), false, nil, "10.0.0.1@p", "", "keep 10.0.0.2@p, drop 10.0.0.1@p"},
		{"is left alone, and not the other family's", two, false, []requestOption{both(PreferDualStack, v46)}, "10.0.0.1@p 2001:db8::1@six", "", "keep 10.0.0.2@p 2001:db8::1@six, drop 10.0.0.1@p"},
		{"is kept while there is no other of the family", two, false, []requestOption{both(PreferDualStack, v46)}, "10.0.0.1@p 2001:db8::1@six", "10.0.0.2@p", "keep 10.0.0.1@p 2001:db8::1@six, missing PoolExhausted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(tt.pools...)
			for _, what := range strings.Fields(tt.has) {
				take(t, a, "web", what)
			}
			for i, what := range strings.Fields(tt.other) {
				take(t, a, fmt.Sprint("other-", i), what)
			}
			setPoolsWith(a, []TakenRange{host("10.0.0.1", tt.inUse)}, tt.pools...)
			settle(t, a, ask("web", tt.req...), tt.want)
			for name, state := range a.PoolStates() {
				if len(state.OutsidePool) > 0 {
					t.Errorf("the pool %s: got %v outside it, want none: eviction is about others", name, state.OutsidePool)
				}
			}
		})
	}
}

// The kernel of a node has an address that was given before its speaker reported it.
func TestAddressOfAKernel_IsLeftThoughTheNodeHasIt(t *testing.T) {
	p := newPool("p", "10.0.0.1-10.0.0.3")
	node := TakenRange{Range: rangesIn("10.0.0.1")[0], By: "a node", Node: true}
	for _, tt := range []struct {
		name  string
		taken []TakenRange
		want  string
	}{
		{"not announced: left", []TakenRange{node, host("10.0.0.1", false)}, "keep 10.0.0.2@p, drop 10.0.0.1@p"},
		{"announced: kept", []TakenRange{node, host("10.0.0.1", true)}, "keep 10.0.0.1@p"},
		{"no conflict on the network: kept", []TakenRange{node}, "keep 10.0.0.1@p"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(p)
			take(t, a, "web", "10.0.0.1@p")
			setPoolsWith(a, tt.taken, p)
			settle(t, a, ask("web"), tt.want)
		})
	}
}

func TestServiceThatLeavesAForeignHostsAddressHasTheReason(t *testing.T) {
	p := newPool("p", "10.0.0.1-10.0.0.3")
	a := allocator(p)
	take(t, a, "web", "10.0.0.1@p")
	setPoolsWith(a, []TakenRange{host("10.0.0.1", false)}, p)
	d := settle(t, a, ask("web"), "keep 10.0.0.2@p, drop 10.0.0.1@p")
	want := []OutsideHolding{{holding("web", "10.0.0.1@p"), "a host uses the address"}}
	if diff := cmp.Diff(want, d.Fled, byValue); diff != "" {
		t.Errorf("fled (-want +got):\n%s", diff)
	}
	settle(t, a, ask("next"), "keep 10.0.0.3@p") // nobody else gets it
	setPools(a, p)
	settle(t, a, ask("web"), "keep 10.0.0.2@p") // and nobody goes back for it
	settle(t, a, ask("late"), "keep 10.0.0.1@p")
}

func TestServicesThatShareAForeignHostsAddressLeaveItTogether(t *testing.T) {
	p := newPool("p", "10.0.0.1-10.0.0.3")
	a := allocator(p)
	take(t, a, "tcp", "10.0.0.1@p", share("key", 80))
	take(t, a, "tls", "10.0.0.1@p", share("key", 443))
	setPoolsWith(a, []TakenRange{host("10.0.0.1", false)}, p)
	settle(t, a, ask("tcp", on(share("key", 80))), "keep 10.0.0.2@p, drop 10.0.0.1@p")
	settle(t, a, ask("tls", on(share("key", 443))), "keep 10.0.0.2@p, drop 10.0.0.1@p")
}

func TestReservedAddressIsNotTakenUpWhileAForeignHostUsesIt(t *testing.T) {
	p := newPool("p", "10.0.0.1-10.0.0.3")
	a := allocator(p)
	take(t, a, "web", "10.0.0.1@p")
	a.ReserveFor(addr("10.0.0.1"), service("web"))
	setPoolsWith(a, []TakenRange{host("10.0.0.1", false)}, p)
	settle(t, a, ask("web"), "keep 10.0.0.2@p")
	setPools(a, p)
	settle(t, a, ask("web"), "keep 10.0.0.1@p, drop 10.0.0.2@p")
}

func TestForeignHostsAreOfThePoolThatWouldGiveTheAddress(t *testing.T) {
	node := TakenRange{Range: rangesIn("10.0.0.2")[0], By: "a node"}
	list := pools(newPool("old", "10.0.0.1-10.0.0.2"), newPool("young", "10.0.0.1-10.0.0.9", without("10.0.0.9")))
	a := New()
	got := setPoolsWith(a, []TakenRange{host("10.0.0.1", false), node, host("10.0.0.2", false), host("10.0.0.3", true), host("10.0.0.9", false)}, list...)
	var recorded []string
	for _, name := range []lb.PoolName{"old", "young"} {
		for _, c := range got[name] {
			recorded = append(recorded, fmt.Sprintf("%s: %s", name, c))
		}
	}
	want := []string{
		"old: 10.0.0.1 is used by a host", "old: 10.0.0.2 is used by a host", "old: 10.0.0.2 belongs to a node",
		`young: 10.0.0.1-10.0.0.2 belongs to the older pool "old"`,
		"young: 10.0.0.3 is used by a host, and stays announced while a Service has the address, since that Service used the address first",
	}
	if diff := cmp.Diff(want, recorded); diff != "" {
		t.Errorf("conflicts (-want +got):\n%s", diff)
	}
	for address, want := range map[string]lb.PoolName{"10.0.0.1": "old", "10.0.0.2": "", "10.0.0.3": "young", "10.0.0.9": ""} {
		if _, pool, _ := a.ForeignHostOf(addr(address)); pool != want {
			t.Errorf("%s: got it foreign in %q, want %q", address, pool, want)
		}
	}
}
