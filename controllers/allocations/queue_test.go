package allocations

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// crowded returns a view whose two addresses the Services 8 and 9 have. 10.0.1.0
// is free, but must be named.
func crowded(t *testing.T) *View {
	t.Helper()
	l := New()
	l.Load(plan(t, func(p *ipam.Pool) { p.AutoAssign = false }, "10.0.1.0/32", "10.0.0.0/31"), nil)
	mustAssign(t, l, request(8, "10.0.0.0"))
	mustAssign(t, l, request(9, "10.0.0.1"))
	return l
}

func TestAnAddressThatBecomesFreeWakesTheFirstThatCouldUseIt(t *testing.T) {
	six := request(2)
	six.Families = []lb.Family{lb.IPv6}
	elsewhere := request(2)
	elsewhere.Pool = "nope"
	tests := []struct {
		name string
		line []ipam.Request
		want []int
	}{
		{name: "nobody, if nobody waits"},
		{name: "the first of two", line: []ipam.Request{request(2), request(1)}, want: []int{2}},
		{name: "not who asks for another address", line: []ipam.Request{request(2, "10.0.0.1"), request(1)}, want: []int{1}},
		{name: "not who had it before, if another waits longer", line: []ipam.Request{request(1), had(2, "10.0.0.0")}, want: []int{1}},
		{name: "who asks for that address", line: []ipam.Request{request(2, "10.0.0.0"), request(1)}, want: []int{2}},
		{name: "not who needs the other family", line: []ipam.Request{six, request(1)}, want: []int{1}},
		{name: "not who names another pool", line: []ipam.Request{elsewhere, request(1)}, want: []int{1}},
		{name: "who asked again keeps its place", line: []ipam.Request{request(1), request(2), request(1)}, want: []int{1}},
		{name: "who asks for something else by now is taken at its word", line: []ipam.Request{request(1), request(2), request(1, "10.0.0.1")}, want: []int{2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := crowded(t)
			for _, req := range tt.line {
				mustRefuse(t, l, req)
			}
			got := woken(l)
			l.Release(addr("10.0.0.0"), key(8))
			diffWoken(t, "by a free address", got, tt.want...)
		})
	}
}

// A Service that is woken for an address has it already, so that no other Service is quicker.
func TestWaitQueue_ServedServiceHoldsTheAddressUntilRelease(t *testing.T) {
	const free = "10.0.0.0"
	gone := func(l *View, i int) {
		l.Forget(key(i))
		has, _ := l.HeldBy(key(i))
		for _, h := range has {
			l.Release(h.Address, h.Service)
		}
	}
	tests := []struct {
		name string
		then func(*testing.T, *View)
		want []int // who is woken
		has  map[int][]string
	}{
		{name: "while it does not come for it", then: func(*testing.T, *View) {}, has: map[int][]string{1: {free}}},
		{name: "and then it keeps it", then: func(t *testing.T, l *View) { mustAssign(t, l, request(1)) }, has: map[int][]string{1: {free}}},
		{name: "also if a younger one asks in between", then: func(t *testing.T, l *View) { mustRefuse(t, l, request(2)) }, has: map[int][]string{1: {free}}},
		{name: "also if it asks for something else by now that it cannot have", then: func(t *testing.T, l *View) { mustRefuse(t, l, request(1, "10.9.9.9")) }, has: map[int][]string{1: {free}}},
		{name: "also if its request is invalid by now", then: func(_ *testing.T, l *View) {
			l.RefuseInvalid(ipam.Request{Service: key(1)}, &ipam.Refusal{Reason: ipam.ReasonInvalidRequest})
		}, has: map[int][]string{1: {free}}},
		{name: "also if it asks for nothing any more", then: func(_ *testing.T, l *View) { l.Forget(key(1)) }, has: map[int][]string{1: {free}}},
		{name: "then the next one has it", then: func(_ *testing.T, l *View) { gone(l, 1) }, want: []int{2}, has: map[int][]string{2: {free}}},
		{name: "and the one after that", then: func(_ *testing.T, l *View) { gone(l, 1); gone(l, 2) }, want: []int{2, 3}, has: map[int][]string{3: {free}}},
		{name: "but not one that has left the line", then: func(_ *testing.T, l *View) { gone(l, 2); gone(l, 1) }, want: []int{3}, has: map[int][]string{3: {free}}},
		{name: "if it took another one, until it lets this one go", then: func(t *testing.T, l *View) {
			if keep := mustAssign(t, l, request(1, "10.0.1.0")); len(keep) != 1 || keep[0] != "10.0.1.0" {
				t.Errorf("kept: got %v, want 10.0.1.0", keep)
			}
			l.Release(addr(free), key(1))
		}, want: []int{2}, has: map[int][]string{1: {"10.0.1.0"}, 2: {free}}},
		{name: "and the next address is the next one's", then: func(_ *testing.T, l *View) { l.Release(addr("10.0.0.1"), key(9)) }, want: []int{2}, has: map[int][]string{1: {free}, 2: {"10.0.0.1"}}},
		{name: "it counts as waiting again if it is refused", then: func(t *testing.T, l *View) {
			mustRefuse(t, l, request(1, "10.0.0.1"))
			l.Release(addr("10.0.0.1"), key(9))
		}, want: []int{1}, has: map[int][]string{1: {free, "10.0.0.1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := crowded(t)
			for _, i := range []int{1, 2, 3} {
				mustRefuse(t, l, request(i))
			}
			got := woken(l)
			l.Release(addr(free), key(8))
			diffWoken(t, "by the free address", got, 1)
			holds(t, l, 1, []string{free}, nil)
			tt.then(t, l)
			diffWoken(t, "then", got, tt.want...)
			for _, i := range []int{1, 2, 3} {
				holds(t, l, i, tt.has[i], nil)
			}
		})
	}
}

func TestAnAddressThatIsNotAllThatIsMissingGoesToTheNext(t *testing.T) {
	l := crowded(t)
	both := request(1)
	both.Families, both.Policy = []lb.Family{lb.IPv4, lb.IPv6}, ipam.RequireDualStack
	mustRefuse(t, l, both)
	mustRefuse(t, l, request(2))
	l.Release(addr("10.0.0.0"), key(8))
	holds(t, l, 1, nil, nil)
	holds(t, l, 2, []string{"10.0.0.0"}, nil)
}

// A Service that lacks one family, perhaps for ever, is not woken for each address of the
// other family.
func TestWaitQueue_ServiceThatCannotUseTheAddressIsNotWoken(t *testing.T) {
	tests := []struct {
		name   string
		policy ipam.FamilyPolicy
	}{
		{"since it has one of that family", ipam.PreferDualStack},
		{"since it needs another one besides", ipam.RequireDualStack},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/29")
			for i := range 4 {
				both := request(i)
				both.Families, both.Policy = []lb.Family{lb.IPv4, lb.IPv6}, tt.policy
				l.Assign(both)
			}
			mustAssign(t, l, request(8, "10.0.0.7"))
			mustRefuse(t, l, request(9, "10.0.0.7"))
			got := woken(l)
			l.Release(addr("10.0.0.7"), key(8))
			diffWoken(t, "by the free address", got, 9)
		})
	}
}

func TestAllThatMayShareAnAddressAreServed(t *testing.T) {
	l := with(t, "10.0.0.0/32")
	mustAssign(t, l, request(9))
	for i, port := range []uint16{80, 81, 80, 82} {
		mustRefuse(t, l, sharing(request(i), shares("k", port)))
	}
	mustRefuse(t, l, request(4))
	got := woken(l)
	l.Release(addr("10.0.0.0"), key(9))
	diffWoken(t, "by the free address", got, 0, 1, 3)
	for i, want := range [][]string{{"10.0.0.0"}, {"10.0.0.0"}, nil, {"10.0.0.0"}, nil} {
		holds(t, l, i, want, nil)
	}
}

func TestWaitQueue_ChangedTermsServeServicesThatMayShareNow(t *testing.T) {
	l := with(t, "10.0.0.0/32")
	mustAssign(t, l, sharing(request(9), shares("k", 80)))
	mustRefuse(t, l, sharing(request(1), shares("other", 81)))
	mustRefuse(t, l, sharing(request(2), shares("k", 80)))
	got := woken(l)
	mustAssign(t, l, sharing(request(9), shares("k", 80)))
	diffWoken(t, "by nothing new", got)
	mustAssign(t, l, sharing(request(9), shares("k", 82)))
	diffWoken(t, "by the port", got, 2)
	l.Release(addr("10.0.0.0"), key(2))
	l.Forget(key(2))
	mustAssign(t, l, sharing(request(9), shares("other", 82)))
	diffWoken(t, "by the key", got, 1)
	holds(t, l, 1, []string{"10.0.0.0"}, nil)
}

// The freed address is not the requested one, but it counted.
func TestAQuotaThatIsFreedServesThoseOfTheNamespace(t *testing.T) {
	l := New()
	l.Load(plan(t, func(p *ipam.Pool) { p.MaxPerNamespace = 1 }, "10.0.0.0/30"), nil)
	stranger := request(1, "10.0.0.0")
	stranger.Service.Namespace = "other"
	mustAssign(t, l, request(9, "10.0.0.0"))
	mustRefuse(t, l, stranger)
	mustRefuse(t, l, request(2, "10.0.0.3"))
	mustRefuse(t, l, request(3, "10.0.0.2"))
	got := woken(l)
	l.Release(addr("10.0.0.0"), key(9))
	holds(t, l, 2, []string{"10.0.0.3"}, nil)
	holds(t, l, 3, nil, nil)
	if has, _ := l.HeldBy(stranger.Service); len(has) != 1 {
		t.Errorf("what %s has: got %v, want 10.0.0.0", stranger.Service, has)
	}
	seen := map[lb.ServiceKey]bool{}
	for _, service := range *got {
		seen[service] = true
	}
	if !seen[key(2)] || !seen[stranger.Service] {
		t.Errorf("woken: got %v, want %s and %s among them", *got, key(2), stranger.Service)
	}
}

// An address that was handed to a waiting Service is written as taken up by the
// decision of its own reconcile, whichever Services were served in between.
func TestWaitQueue_HandedOverAddressIsStillReportedAsTakenUp(t *testing.T) {
	both := request(1)
	both.Families, both.Policy = []lb.Family{lb.IPv4, lb.IPv6}, ipam.PreferDualStack
	tests := []struct {
		name  string
		serve func(*View)
	}{
		{"by the hand-over itself", func(*View) {}},
		{"by a change of pools", func(l *View) { l.SetPools(plan(t, nil, "10.0.0.0/30", "10.0.5.0/30")) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/30")
			l.RecordClaim(ClaimContent{}, by(5))
			mustAssign(t, l, both) // waits for an IPv6 address
			l.RecordClaim(by(5), by(1))
			tt.serve(l)
			if diff := cmp.Diff(addrList(at), l.Assign(both).TakenUp, byValue); diff != "" {
				t.Errorf("taken up (-want +got):\n%s", diff)
			}
		})
	}
}

// The first waiting Service gets one address. The other address must not stay free while the
// second waits for up to ten minutes.
func TestOfTwoAddressesThatBecomeFreeEachIsUsed(t *testing.T) {
	tests := []struct {
		name  string
		order []string
	}{
		{name: "in the order in which they are taken", order: []string{"10.0.0.0", "10.0.0.1"}},
		{name: "in the other order", order: []string{"10.0.0.1", "10.0.0.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := crowded(t)
			mustRefuse(t, l, request(1))
			mustRefuse(t, l, request(2))
			got := woken(l)
			for _, address := range tt.order {
				holders, _ := l.Holders(addr(address))
				l.Release(addr(address), holders[0].Service)
			}
			// Who is woken asks again.
			asked := map[lb.ServiceKey]bool{}
			for i := 0; i < len(*got); i++ {
				who := (*got)[i]
				if !asked[who] {
					l.Assign(ipam.Request{Service: who, Families: []lb.Family{lb.IPv4}})
				}
				asked[who] = true
			}
			if !asked[key(2)] {
				t.Errorf("woken: got %v, want %s among them: an address is free and it waits", *got, key(2))
			}
		})
	}
}

func TestTheFirstThatCouldShareAnAddressIsWokenWhenOneLeavesIt(t *testing.T) {
	l := with(t, "10.0.0.0/32")
	mustAssign(t, l, sharing(request(8), shares("k", 80)))
	mustAssign(t, l, sharing(request(9), shares("k", 81)))
	mustRefuse(t, l, request(1))
	mustRefuse(t, l, sharing(request(2), shares("k", 80)))
	mustRefuse(t, l, sharing(request(3), shares("k", 81)))
	got := woken(l)
	l.Release(addr("10.0.0.0"), key(9))
	diffWoken(t, "by the free port", got, 3)
	if keep := mustAssign(t, l, sharing(request(3), shares("k", 81))); len(keep) != 1 || keep[0] != "10.0.0.0" {
		t.Errorf("got %v, want 10.0.0.0", keep)
	}
}

func TestWaitQueue_EndOfReservationWakesTheFirst(t *testing.T) {
	l := with(t, "10.0.0.0/32")
	l.RecordClaim(ClaimContent{}, ClaimContent{Address: addr("10.0.0.0"), Pool: "p0"})
	mustRefuse(t, l, request(1))
	mustRefuse(t, l, request(2))
	got := woken(l)
	l.RecordClaimDeletion(ClaimContent{Address: addr("10.0.0.0"), Pool: "p0"})
	diffWoken(t, "by the reservation's end", got, 1)
}

func TestAttemptsCountRefusalsInARow(t *testing.T) {
	l := crowded(t)
	for want := 1; want <= 3; want++ {
		if got := mustRefuse(t, l, request(1)); got != want {
			t.Errorf("attempts: got %d, want %d", got, want)
		}
	}
	l.Release(addr("10.0.0.0"), key(8))
	if o := l.Assign(request(1)); o.Attempts != 0 {
		t.Errorf("attempts of one that was met: got %d, want 0", o.Attempts)
	}
	if got := mustRefuse(t, l, request(1, "10.9.9.9")); got != 1 {
		t.Errorf("attempts after one that was met: got %d, want 1", got)
	}
	l.RefuseInvalid(ipam.Request{Service: key(1)}, &ipam.Refusal{Reason: ipam.ReasonInvalidRequest})
	if got := mustRefuse(t, l, request(1, "10.9.9.9")); got != 1 {
		t.Errorf("attempts after one that meant nothing: got %d, want 1", got)
	}
}

func TestPendingCountsByReason(t *testing.T) {
	l := New()
	l.Load(plan(t, func(p *ipam.Pool) { p.Listed = append(p.Listed, lb.Range{First: addr("::1:0"), Last: addr("::1:0")}) }, "10.0.0.0/32"), nil)
	both := request(5)
	both.Families, both.Policy = []lb.Family{lb.IPv4, lb.IPv6}, ipam.PreferDualStack
	mustAssign(t, l, request(9))
	mustRefuse(t, l, request(1))
	mustRefuse(t, l, request(2))
	mustRefuse(t, l, request(3, "10.9.9.9"))
	l.RefuseInvalid(ipam.Request{Service: key(4)}, &ipam.Refusal{Reason: ipam.ReasonInvalidRequest})
	l.RefuseInvalid(ipam.Request{Service: key(4)}, &ipam.Refusal{Reason: ipam.ReasonInvalidRequest})
	if o := l.Assign(both); o.Missing == nil || o.Attempts != 1 {
		t.Errorf("one that is met in part: got %+v, want one family missing, and the first attempt", o)
	}
	count := func(what string, want map[ipam.Reason]int) {
		t.Helper()
		if diff := cmp.Diff(want, l.CountWaiting()); diff != "" {
			t.Errorf("pending %s (-want +got):\n%s", what, diff)
		}
	}
	count("at first", map[ipam.Reason]int{ipam.ReasonPoolExhausted: 2, ipam.ReasonAddressNotInPool: 1, ipam.ReasonInvalidRequest: 1, "PartlyAllocated": 1})
	mustRefuse(t, l, request(4)) // its request means something now
	mustRefuse(t, l, request(2, "10.9.9.9"))
	l.Forget(key(5))
	l.RefuseInvalid(ipam.Request{Service: key(3)}, &ipam.Refusal{Reason: ipam.ReasonInvalidRequest})
	count("then", map[ipam.Reason]int{ipam.ReasonPoolExhausted: 2, ipam.ReasonAddressNotInPool: 1, ipam.ReasonInvalidRequest: 1})
	l.Forget(key(3))
	for _, i := range []int{1, 2, 4} {
		l.Forget(key(i))
	}
	count("at last", map[ipam.Reason]int{})
}

func TestWaitQueue_IsCompactedWhenManyLeft(t *testing.T) {
	l := with(t, "10.0.0.0/32")
	mustAssign(t, l, request(-1))
	for i := range 1000 {
		mustRefuse(t, l, request(i))
	}
	for i := range 990 {
		l.Forget(key(i))
	}
	if got, most := len(l.queue.list), 2*len(l.queue.at)+16; got > most {
		t.Errorf("in memory: got %d, want %d at most", got, most)
	}
	got := woken(l)
	l.Release(addr("10.0.0.0"), key(-1))
	diffWoken(t, "by the free address", got, 990)
}
