package ipam

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

// states returns how pools stand, family by family: "used/total/free".
func states(a *Allocator) map[lb.PoolName]string {
	got := map[lb.PoolName]string{}
	for name, s := range a.PoolStates() {
		line := fmt.Sprintf("held %d", s.Held)
		for _, f := range v46 {
			if u, ok := s.Usage[f]; ok {
				line += fmt.Sprintf(", %s %d/%s/%s", f, u.Used, u.Total, u.Free())
			}
		}
		got[name] = line
	}
	return got
}

func TestStatesCount(t *testing.T) {
	tests := []struct {
		name string
		pool Pool
		want string
	}{
		{"a pool without addresses", newPool("p", ""), "held 0"},
		{"a /24", newPool("p", "10.0.0.0/24"), "held 0, IPv4 0/256/256"},
		{"a /24 and a /25", newPool("p", "10.0.0.0/24 10.0.1.0/25"), "held 0, IPv4 0/384/384"},
		{"the same without .0 and .255", newPool("p", "10.0.0.0/24 10.0.1.0/25", avoiding), "held 0, IPv4 0/381/381"},
		{"both families without .0 and .255", newPool("p", "10.0.0.254/31 2001:db8::/127", avoiding), "held 0, IPv4 0/1/1, IPv6 0/2/2"},
		{"less what is excluded", newPool("p", "10.0.0.0/24", without("10.0.0.0/25")), "held 0, IPv4 0/128/128"},
		// MetalLB overflows here, or saturates.
		{"a /64", newPool("p", "2001:db8::/64 10.0.0.1"), "held 0, IPv4 0/1/1, IPv6 0/18446744073709551616/18446744073709551616"},
		{"all of IPv6", newPool("p", "::/0"), "held 0, IPv6 0/340282366920938463463374607431768211456/340282366920938463463374607431768211456"},
		{"all of IPv4 without .0 and .255", newPool("p", "0.0.0.0/0", avoiding), "held 0, IPv4 0/4261412864/4261412864"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(map[lb.PoolName]string{"p": tt.want}, states(allocator(tt.pool))); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
		})
	}
}

// A20, and metrics of MetalLB: a shared address counts once, a gone pool not at all.
func TestStatesFollow(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.4 2001:db8::/64"), newPool("q", "10.1.0.1"))
	check := func(p, q string) {
		t.Helper()
		want := map[lb.PoolName]string{"p": p, "q": q}
		if q == "" {
			delete(want, "q")
		}
		if diff := cmp.Diff(want, states(a)); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	}
	settle(t, a, ask("a", on(share("k", 80)), both(RequireDualStack, v46)), "keep 10.0.0.1@p 2001:db8::@p")
	check("held 2, IPv4 1/4/3, IPv6 1/18446744073709551616/18446744073709551615", "held 0, IPv4 0/1/1")
	settle(t, a, ask("b", on(share("k", 81))), "keep 10.0.0.1@p")
	a.Reserve(addr("10.0.0.9"), "p")
	a.Reserve(addr("10.1.0.1"), "q")
	take(t, a, "c", "10.0.0.8@gone")
	check("held 3, IPv4 1/4/3, IPv6 1/18446744073709551616/18446744073709551615", "held 1, IPv4 1/1/0")
	setPools(a, newPool("p", "10.0.0.2-10.0.0.9"))
	check("held 4, IPv4 2/8/6", "")
	a.Release(addr("10.0.0.1"), service("a"))
	a.Release(addr("10.0.0.8"), service("c"))
	check("held 3, IPv4 1/8/7", "")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9"), newPool("q", "10.1.0.1"))
	check("held 3, IPv4 2/9/7", "held 1, IPv4 1/1/0")
	setPools(a)
	if diff := cmp.Diff(map[lb.PoolName]string{}, states(a)); diff != "" {
		t.Errorf("states without pools (-want +got):\n%s", diff)
	}
}

func TestStates_ListAddressesOutsideThePool(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9", across))
	take(t, a, "n/b", "10.0.0.5@p", share("k", 80))
	take(t, a, "n/a", "10.0.0.5@p", share("k", 81))
	take(t, a, "m/z", "10.0.0.5@p", share("k", 82))
	take(t, a, "n/c", "10.0.0.3@p")
	take(t, a, "n/d", "10.0.0.1@p")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.2", across, forNamespaces("n")))
	if kept := a.PoolStates()["p"].OutsidePool; len(kept) != 0 {
		t.Errorf("kept before the Services are assigned anew: got %v, want nothing", kept)
	}
	settle(t, a, ask("n/b", on(share("k", 80))), "keep 10.0.0.5@p")
	settle(t, a, ask("n/a", on(share("k", 81))), "keep 10.0.0.5@p")
	settle(t, a, ask("m/z", on(share("k", 82))), "keep 10.0.0.5@p")
	settle(t, a, ask("n/c"), "keep 10.0.0.3@p")
	settle(t, a, ask("n/d"), "keep 10.0.0.1@p")
	lines := func() (got []string) {
		for _, k := range a.PoolStates()["p"].OutsidePool {
			got = append(got, fmt.Sprintf("%s@%s of %s: %s", k.Address, k.Pool, k.Service, k.Why))
		}
		return got
	}
	why := ": the address is no longer in spec.addresses"
	want := []string{"10.0.0.3@p of n/c" + why, "10.0.0.5@p of m/z" + why, "10.0.0.5@p of n/a" + why, "10.0.0.5@p of n/b" + why}
	if diff := cmp.Diff(want, lines()); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	a.Release(addr("10.0.0.5"), service("n/a"))
	setPools(a, newPool("p", "10.0.0.1-10.0.0.3", across, forNamespaces("n")))
	want = []string{want[1], want[3]} // 10.0.0.3 is given again
	if diff := cmp.Diff(want, lines()); diff != "" {
		t.Errorf("kept after the edit (-want +got):\n%s", diff)
	}
	setPools(a, newPool("p", "10.0.0.1-10.0.0.5", across, forNamespaces("n")))
	settle(t, a, ask("m/z", on(share("k", 82))), "keep 10.0.0.5@p")
	settle(t, a, ask("n/b", on(share("k", 80))), "keep 10.0.0.5@p")
	want = []string{"10.0.0.5@p of m/z: spec.serviceAllocation no longer selects the Service"}
	if diff := cmp.Diff(want, lines()); diff != "" {
		t.Errorf("kept of another Service (-want +got):\n%s", diff)
	}
	setPools(a, newPool("q", "10.9.0.1"))
	if got := lines(); len(got) != 0 || len(a.PoolStates()["q"].OutsidePool) != 0 {
		t.Errorf("kept of a pool that is gone: got %v, want nothing", got)
	}
	settle(t, a, ask("n/b", on(share("k", 80))), "keep 10.0.0.5@p")
	settle(t, a, ask("m/z", on(share("k", 82))), "keep 10.0.0.5@p")
	if len(a.outside) != 0 {
		t.Errorf("outside: got %v, want nothing: the terms of the pool are unknown", a.outside)
	}
}

func TestOutsidePool_EndsWhenThePoolFitsAgain(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1", forServicesWith("app=a")))
	settle(t, a, ask("web", labelled("app=a")), "keep 10.0.0.1@p")
	for _, labels := range []string{"app=b", "app=a"} { // no pool changes in between
		settle(t, a, ask("web", labelled(labels)), "keep 10.0.0.1@p")
		if got, want := len(a.PoolStates()["p"].OutsidePool), map[string]int{"app=b": 1, "app=a": 0}[labels]; got != want {
			t.Errorf("kept with %s: got %d, want %d", labels, got, want)
		}
	}
}

// A reserved address that is not taken up does not count as retained.
func TestReservedAddressDoesNotStayAgainstThePool(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	reserved(t, a, "web", "10.7.0.1@p")
	settle(t, a, ask("web", wants("10.0.0.1")), "keep 10.0.0.1@p")
	if kept := a.PoolStates()["p"].OutsidePool; len(kept) != 0 {
		t.Errorf("kept: got %v, want nothing", kept)
	}
}
