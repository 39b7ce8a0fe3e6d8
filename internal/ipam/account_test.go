package ipam

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestHold(t *testing.T) {
	tests := []struct {
		name  string
		first lb.Sharing
		by    string
		terms lb.Sharing
		want  bool
		after string
	}{
		{name: "an address that another Service holds is not held twice", by: "b", want: false, after: "a"},
		{name: "what a Service holds it can hold again", by: "a", want: true, after: "a"},
		{name: "what a Service holds it can hold again on other terms, which do not count", first: share("k", 80), by: "a", terms: share("x", 80), want: true, after: "a"},
		{name: "Services that may share hold it together", first: share("k", 80), by: "b", terms: share("k", 81), want: true, after: "a b"},
		{name: "Services with a common port do not", first: share("k", 80), by: "b", terms: share("k", 80), want: false, after: "a"},
		{name: "Services with different keys do not", first: share("k", 80), by: "b", terms: share("x", 81), want: false, after: "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
			take(t, a, "a", "10.0.0.1@p", tt.first)
			if got := a.Hold(holding(tt.by, "10.0.0.1@p"), tt.terms); got != tt.want {
				t.Errorf("Hold: got %v, want %v", got, tt.want)
			}
			checkInside(t, a)
			if got := holdersOf(a, "10.0.0.1"); got != tt.after {
				t.Errorf("holders: got %q, want %q", got, tt.after)
			}
			if diff := cmp.Diff(tt.first, a.SharingTerms(addr("10.0.0.1"), service("a"))); diff != "" {
				t.Errorf("terms of the first holder (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHold_HasTheCurrentPool(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	take(t, a, "a", "10.0.0.1@other") // the pool in a claim may be older than the pools
	take(t, a, "b", "10.1.0.1@gone")
	for name, want := range map[string]string{"a": "10.0.0.1@p", "b": "10.1.0.1@gone"} {
		if got := heldBy(a, name); got != want {
			t.Errorf("%s holds: got %q, want %q", name, got, want)
		}
	}
}

func TestReserve(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	take(t, a, "a", "10.0.0.1@p")
	for _, tt := range []struct {
		name, address string
		want          bool
	}{
		{"an address that is held cannot be reserved", "10.0.0.1", false},
		{"a free one can", "10.0.0.2", true},
		{"and again", "10.0.0.2", true},
		{"and one that is in no pool", "10.7.0.1", true},
	} {
		if got := a.Reserve(addr(tt.address), "p"); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
		checkInside(t, a)
	}
	if a.Hold(holding("b", "10.0.0.2@p"), share("k", 80)) {
		t.Error("Hold of what is reserved: got true, want false")
	}
	if holders, taken := a.Holders(addr("10.0.0.2")); len(holders) != 0 || !taken {
		t.Errorf("holders of what is reserved: got %v, %v, want none, true", holders, taken)
	}
	if holders, taken := a.Holders(addr("10.0.0.3")); len(holders) != 0 || taken {
		t.Errorf("holders of what is free: got %v, %v, want none, false", holders, taken)
	}
	a.Unreserve(addr("10.0.0.1")) // is held, and stays so
	a.Unreserve(addr("10.0.0.3")) // is free
	a.Unreserve(addr("10.7.0.1"))
	if got := holdersOf(a, "10.0.0.1"); got != "a" {
		t.Errorf("holders after an Unreserve that is not theirs: got %q, want a", got)
	}
	decide(t, a, ask("b", wants("10.0.0.2")), "refused AddressInUse")
	a.Unreserve(addr("10.0.0.2"))
	decide(t, a, ask("b", wants("10.0.0.2")), "keep 10.0.0.2@p")
}

func TestReleasedAddressIsGivenAgainLowestFirst(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.4"))
	for i := range 4 {
		decide(t, a, ask(fmt.Sprint(i)), fmt.Sprintf("keep 10.0.0.%d@p", i+1))
	}
	decide(t, a, ask("late"), "refused PoolExhausted")
	a.Release(addr("10.0.0.3"), service("2"))
	a.Release(addr("10.0.0.2"), service("1"))
	a.Release(addr("10.0.0.1"), service("3")) // not the holder
	decide(t, a, ask("late"), "keep 10.0.0.2@p")
	decide(t, a, ask("later"), "keep 10.0.0.3@p")
	if got := holdersOf(a, "10.0.0.1"); got != "0" {
		t.Errorf("holders of 10.0.0.1: got %q, want 0", got)
	}
}

func TestReleaseLeavesNothing(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.0/24 2001:db8::/64", quota(9), across), newPool("q", "10.2.0.0/16"))
	take(t, a, "n/a", "10.0.0.1@p", share("k", 80))
	take(t, a, "n/b", "10.0.0.1@p", share("k", 81))
	take(t, a, "m/c", "10.0.0.1@p", share("k", 82))
	take(t, a, "n/a", "10.2.200.1@q", share("k", 80)) // far
	take(t, a, "n/a", "2001:db8::ffff@p", share("k", 80))
	take(t, a, "n/d", "10.9.0.1@gone")
	take(t, a, "n/d", "10.9.0.0@gone")
	take(t, a, "n/d", "10.9.0.2@gone")
	a.Reserve(addr("10.9.0.9"), "gone")
	a.ReserveFor(addr("10.9.0.1"), service("n/d"))
	setPools(a, newPool("p", "10.0.0.2 2001:db8::/64", quota(9), across), newPool("q", "10.2.0.0/16"))
	decide(t, a, ask("n/a", on(share("k", 80)), both(PreferDualStack, v46)), "keep 10.0.0.1@p 2001:db8::ffff@p, drop 10.2.200.1@q")
	if len(a.outside) != 1 {
		t.Errorf("outside: got %v, want the address that p has no more", a.outside)
	}
	for _, release := range []struct{ address, name string }{
		{"10.0.0.1", "n/a"}, {"10.0.0.1", "m/c"}, {"10.0.0.1", "n/b"}, {"10.2.200.1", "n/a"}, {"2001:db8::ffff", "n/a"},
		{"10.9.0.1", "n/d"}, {"10.9.0.0", "n/d"}, {"10.9.0.2", "n/d"},
	} {
		a.Release(addr(release.address), service(release.name))
		checkInside(t, a)
		a.Release(addr(release.address), service(release.name)) // once is enough
		checkInside(t, a)
	}
	a.Unreserve(addr("10.9.0.9"))
	checkEmpty(t, a)
}

func TestHeldByIsInOrderOfTheAddresses(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.0/24 2001:db8::/64"))
	for _, h := range []string{"10.0.0.5@p", "2001:db8::1@p", "10.0.0.7@p", "10.0.0.3@p", "10.0.0.6@p"} {
		take(t, a, "web", h)
	}
	if got, want := heldBy(a, "web"), "10.0.0.3@p 10.0.0.5@p 10.0.0.6@p 10.0.0.7@p 2001:db8::1@p"; got != want {
		t.Errorf("held: got %q, want %q", got, want)
	}
	for _, gone := range []string{"10.0.0.6", "10.0.0.3", "2001:db8::1", "10.0.0.5"} {
		a.Release(addr(gone), service("web"))
		checkInside(t, a)
	}
	if got, want := heldBy(a, "web"), "10.0.0.7@p"; got != want {
		t.Errorf("held: got %q, want %q", got, want)
	}
	if got := a.HeldBy(service("nobody")); got != nil {
		t.Errorf("held by a Service that is not known: got %v, want nothing", got)
	}
}

func TestServicesAreThoseThatHoldSomething(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.0/24"))
	take(t, a, "a", "10.0.0.1@p")
	take(t, a, "b", "10.0.0.2@p")
	take(t, a, "b", "10.0.0.3@p")
	a.Reserve(addr("10.0.0.4"), "p")
	a.Release(addr("10.0.0.1"), service("a"))
	want := []lb.ServiceKey{service("b")}
	if diff := cmp.Diff(want, slices.Collect(a.HoldingServices())); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	take(t, a, "c", "10.0.0.1@p")
	for range a.HoldingServices() { // may be left early
		break
	}
}
