package allocations

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// at is the address that most of these tests are about.
const at = "10.0.0.1"

// by returns a claim of the address that names these Services as holders.
func by(services ...int) ClaimContent {
	c := ClaimContent{Address: addr(at), Pool: "p0"}
	for _, i := range services {
		c.Holders = append(c.Holders, Holder{Service: key(i)})
	}
	return c
}

// reservedFor returns a claim of the address for a Service that has not taken the address up.
func reservedFor(i int) ClaimContent {
	c := by(i)
	c.Holders[0].Reserved = true
	return c
}

// shared returns a claim of Services that share with a key, each on the port of its number.
func shared(key string, services ...int) ClaimContent {
	c := by(services...)
	for n, i := range services {
		c.Holders[n].Terms = shares(key, uint16(i))
	}
	return c
}

// leaving compares the other Service that may still show an address; -1: none.
func leaving(t *testing.T, l *View, address string, i, want int) {
	t.Helper()
	var wantKey lb.ServiceKey
	if want >= 0 {
		wantKey = key(want)
	}
	if got, yes := l.WakePreviousService(addr(address), key(i)); yes != (want >= 0) || (yes && got != wantKey) {
		t.Errorf("who still shows what %s gets: got %v, %v, want %v, %v", key(i), got, yes, wantKey, want >= 0)
	}
}

// holdersOf compares the holders of the address, and whether it is taken.
func holdersOf(t *testing.T, l *View, taken bool, want ...int) {
	t.Helper()
	holders, gotTaken := l.Holders(addr(at))
	var got, keys []lb.ServiceKey
	for _, h := range holders {
		got = append(got, h.Service)
	}
	for _, i := range want {
		keys = append(keys, key(i))
	}
	if diff := cmp.Diff(keys, got); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	if gotTaken != taken {
		t.Errorf("taken: got %v, want %v", gotTaken, taken)
	}
}

func TestLoad_ReplacesAllByWhatTheClusterHas(t *testing.T) {
	l := with(t, "10.0.0.0/30")
	mustAssign(t, l, request(5))
	if l.IsInUse(addr("10.0.0.0")) {
		t.Error("nothing shows 10.0.0.0 yet: got that it is in use")
	}
	l.Confirm(addr("10.0.0.0"), key(5))
	if !l.IsInUse(addr("10.0.0.0")) {
		t.Error("a Service shows 10.0.0.0: got that it is not in use")
	}
	l.RecordReadStatus(key(5), []netip.Addr{addr("10.0.0.0")})
	l.RecordClaim(ClaimContent{}, by(6))
	l.RecordClaim(ClaimContent{}, by(7)) // refused

	l.Load(plan(t, nil, "10.0.0.0/30"), []ClaimContent{shared("k", 1, 2)})
	holdersOf(t, l, true, 1, 2)
	holds(t, l, 5, nil, nil)
	if got := l.RefusedAddresses(key(7)); got != nil {
		t.Errorf("refused before: got %v, want nothing to be left of it", got)
	}
	if l.IsConfirmed(addr("10.0.0.0"), key(5)) {
		t.Error("confirmed before: got true, want nothing to be left of it")
	}
	leaving(t, l, "10.0.0.0", 1, -1)
	if diff := cmp.Diff(shares("k", 2), l.SharingTerms(addr(at), key(2))); diff != "" {
		t.Errorf("terms (-want +got):\n%s", diff)
	}
}

func TestObserve(t *testing.T) {
	tests := []struct {
		name   string
		before []func(*View)
		old    ClaimContent
		now    ClaimContent
		taken  bool
		want   []int
		kept   bool // for who was named last
		refuse []int
	}{
		{name: "a claim without holders reserves", now: by(), taken: true},
		{name: "a claim gives its holder the address", now: by(1), taken: true, want: []int{1}},
		{name: "a claim of an administrator keeps it for the holder", now: reservedFor(1), taken: true, want: []int{1}, kept: true},
		{name: "holders that may share all have it, in their order", now: shared("k", 2, 1), taken: true, want: []int{2, 1}},
		{name: "of holders that may not share the first one has it", now: by(2, 1), taken: true, want: []int{2}, refuse: []int{1}},
		{name: "of holders with one port the first one has it", now: ClaimContent{Address: addr(at), Holders: []Holder{{Service: key(2), Terms: shares("k", 80)}, {Service: key(1), Terms: shares("k", 80)}}},
			taken: true, want: []int{2}, refuse: []int{1}},
		{name: "a reservation takes nothing away", before: []func(*View){func(l *View) { l.Assign(request(3, at)) }}, now: by(), taken: true, want: []int{3}},
		{name: "a claim for another takes nothing away", before: []func(*View){func(l *View) { l.Assign(request(3, at)) }}, now: by(1), taken: true, want: []int{3}, refuse: []int{1}},
		{name: "a reservation that is given to a Service is kept for it", before: []func(*View){func(l *View) { l.RecordClaim(ClaimContent{}, by()) }}, old: by(), now: by(1), taken: true, want: []int{1}, kept: true},
		{name: "a claim that changes hands is kept for the new one", before: []func(*View){func(l *View) { l.RecordClaim(ClaimContent{}, by(1)) }}, old: by(1), now: by(2), taken: true, want: []int{2}, kept: true},
		{name: "a claim that loses its holder reserves", before: []func(*View){func(l *View) { l.RecordClaim(ClaimContent{}, by(1)) }}, old: by(1), now: by(), taken: true},
		{name: "a shared claim that one leaves", before: []func(*View){func(l *View) { l.RecordClaim(ClaimContent{}, shared("k", 1, 2)) }}, old: shared("k", 1, 2), now: shared("k", 2), taken: true, want: []int{2}},
		{name: "a shared claim that one joins", before: []func(*View){func(l *View) { l.RecordClaim(ClaimContent{}, shared("k", 1)) }}, old: shared("k", 1), now: shared("k", 1, 2), taken: true, want: []int{1, 2}, kept: true},
		{name: "one that joined in this process has taken it up", before: []func(*View){func(l *View) {
			l.RecordClaim(ClaimContent{}, shared("k", 1))
			l.Assign(sharing(request(2, at), shares("k", 2)))
		}}, old: shared("k", 1), now: shared("k", 1, 2), taken: true, want: []int{1, 2}},
		{name: "what is seen twice is as if seen once", before: []func(*View){func(l *View) { l.RecordClaim(ClaimContent{}, by(1)) }}, now: by(1), taken: true, want: []int{1}},
		{name: "an update that changes nothing hands nothing over", before: []func(*View){func(l *View) { l.RecordClaim(ClaimContent{}, by(1)) }}, old: by(1), now: by(1), taken: true, want: []int{1}},
		{name: "an update that changes nothing of what was not known hands nothing over either", old: by(1), now: by(1), taken: true, want: []int{1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/30")
			for _, f := range tt.before {
				f(l)
			}
			l.RecordClaim(tt.old, tt.now)
			holdersOf(t, l, tt.taken, tt.want...)
			if n := len(tt.want); n > 0 {
				_, kept := l.HeldBy(key(tt.want[n-1]))
				if got := len(kept) > 0; got != tt.kept {
					t.Errorf("kept for the Service: got %v, want %v", got, tt.kept)
				}
			}
			for _, i := range []int{1, 2, 3} {
				var want []netip.Addr
				for _, r := range tt.refuse {
					if r == i {
						want = []netip.Addr{addr(at)}
					}
				}
				if diff := cmp.Diff(want, l.RefusedAddresses(key(i)), byValue); diff != "" {
					t.Errorf("refused to %s (-want +got):\n%s", key(i), diff)
				}
			}
		})
	}
}

func TestAHandOverWaitsUntilTheOldHolderHasLetGo(t *testing.T) {
	l := New()
	l.Load(plan(t, nil, "10.0.0.0/30"), []ClaimContent{by(1)})
	got := woken(l)
	l.RecordClaim(by(1), by(2))
	if l.IsConfirmed(addr(at), key(1)) {
		t.Error("confirmed of who lost it: got true, want false")
	}
	leaving(t, l, at, 2, 1)
	leaving(t, l, at, 1, -1)
	leaving(t, l, "10.0.0.2", 2, -1)
	l.RecordWrittenStatus(key(3), nil)
	leaving(t, l, at, 2, 1)
	l.RecordWrittenStatus(key(1), addrList("10.0.0.2", at)) // what it wrote was decided before
	leaving(t, l, at, 2, 1)
	diffWoken(t, "while it shows the address: the one that is waited for", got, 1, 1, 1)
	l.RecordWrittenStatus(key(1), addrList("10.0.0.2"))
	leaving(t, l, at, 2, -1)
	diffWoken(t, "when it left", got, 2)
	l.RecordWrittenStatus(key(1), nil)
	diffWoken(t, "when it left again", got)

	mustAssign(t, l, request(2))
	l.TakeUp(addr(at), key(2))
	holds(t, l, 2, []string{at}, nil)
}

func TestServicesThatMayStillShowAnAddress(t *testing.T) {
	tests := []struct {
		name string
		do   func(*View)
		want int // to whom 2 has to give way
	}{
		{name: "who was taken out of the claim by somebody else", do: func(l *View) { l.RecordClaim(by(1), by(2)) }, want: 1},
		{name: "not who was taken out by this process", do: func(l *View) { l.Release(addr(at), key(1)); l.RecordClaim(by(1), by(2)) }, want: -1},
		{name: "who is found to show it without holding it", do: func(l *View) { l.RecordReadStatus(key(3), []netip.Addr{addr(at)}) }, want: 3},
		{name: "who finds out that the claim was deleted and written for another", do: func(l *View) {
			l.RecordClaimDeletion(by(1))
			l.RecordClaim(ClaimContent{}, by(2))
			l.AcceptClaim(by(2), key(1))
		}, want: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := New()
			l.Load(plan(t, nil, "10.0.0.0/30"), []ClaimContent{by(1)})
			tt.do(l)
			leaving(t, l, at, 2, tt.want)
		})
	}
}

// An administrator gives an address that two Services share to one of them.
func TestAddressThatTwoServicesShow_IsFreeWhenBothReleasedIt(t *testing.T) {
	tests := []struct {
		name        string
		first, then int
	}{
		{name: "in one order", first: 1, then: 2},
		{name: "in the other", first: 2, then: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := New()
			l.Load(plan(t, nil, "10.0.0.0/30"), []ClaimContent{shared("k", 1, 2)})
			l.RecordClaim(shared("k", 1, 2), by(3))
			l.RecordWrittenStatus(key(tt.first), nil)
			leaving(t, l, at, 3, tt.then)
			l.RecordWrittenStatus(key(tt.then), nil)
			leaving(t, l, at, 3, -1)
		})
	}
}

func TestARefusalEndsWithItsReason(t *testing.T) {
	taken := func(l *View) { l.Assign(request(3, at)) }
	tests := []struct {
		name   string
		before func(*View)
		then   func(*View)
		want   []netip.Addr
	}{
		{name: "the change is reported once", before: taken, then: func(l *View) { l.RecordClaim(ClaimContent{}, by(1)) }, want: addrList(at)},
		{name: "it ends when the claim names the Service no more", before: taken, then: func(l *View) { l.RecordClaim(by(1), by()) }},
		{name: "it ends when the claim is gone", before: taken, then: func(l *View) { l.RecordClaimDeletion(by(1)) }},
		{name: "it ends when the Service is taken off", before: taken, then: func(l *View) { l.Release(addr(at), key(1)) }},
		{name: "it ends when the Service gets the address, since who had it let go", before: taken, then: func(l *View) {
			l.Release(addr(at), key(3))
			l.RecordClaim(ClaimContent{}, by(1))
		}},
		{name: "it ends when the Service has got the address by itself", before: taken, then: func(l *View) {
			l.Release(addr(at), key(3))
			l.Assign(request(1, at))
			l.RecordClaim(by(1), by(1))
		}},
		{name: "the reservation ends when the API server has the Service as holder", before: taken, then: func(l *View) { l.AcceptClaim(by(1), key(3)) }},
		{name: "it ends when the first holder leaves the claim", before: func(l *View) { l.RecordClaim(ClaimContent{}, by(3, 1)) }, then: func(l *View) { l.RecordClaim(by(3, 1), by(1)) }},
		{name: "that of another address stays", before: func(l *View) {
			taken(l)
			l.Assign(request(4, "10.0.0.2"))
			l.RecordClaim(ClaimContent{}, ClaimContent{Address: addr("10.0.0.2"), Holders: []Holder{{Service: key(1)}}})
		}, then: func(l *View) { l.RecordClaimDeletion(by(1)) }, want: addrList("10.0.0.2")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/30")
			tt.before(l)
			l.RecordClaim(ClaimContent{}, by(1))
			tt.then(l)
			if diff := cmp.Diff(tt.want, l.RefusedAddresses(key(1)), byValue); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
		})
	}
}

func addrList(list ...string) (addresses []netip.Addr) {
	for _, s := range list {
		addresses = append(addresses, addr(s))
	}
	return addresses
}

func TestRefused_ReturnsACopy(t *testing.T) {
	l := with(t, "10.0.0.0/30")
	l.RecordClaim(ClaimContent{}, by(2, 1))
	l.RefusedAddresses(key(1))[0] = netip.Addr{}
	if diff := cmp.Diff(addrList(at), l.RefusedAddresses(key(1)), byValue); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

func TestRetain_ReservesAddressForNextServiceOfThatName(t *testing.T) {
	l := with(t, "10.0.0.0/30")
	mustAssign(t, l, request(1, at))
	l.Confirm(addr(at), key(1))
	l.Reserve(addr(at), key(1))
	holds(t, l, 1, nil, []string{at})
	if l.IsConfirmed(addr(at), key(1)) {
		t.Error("confirmed: got true, want the claim to be looked at anew")
	}
	if o := l.Assign(request(2, at)); o.Refusal == nil || o.Refusal.Reason != ipam.ReasonAddressInUse {
		t.Errorf("to another Service: got %+v, want a refusal", o)
	}
	mustAssign(t, l, request(1))
	l.TakeUp(addr(at), key(1))
	holds(t, l, 1, []string{at}, nil)
}
