package allocations

import (
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestCacheCountsOnlyForConfirmedAddresses(t *testing.T) {
	tests := []struct {
		name string
		do   func(*View)
		want bool
	}{
		{"what was loaded past the cache", func(l *View) { l.Load(plan(t, nil, "10.0.0.0/30"), []ClaimContent{by(0)}) }, true},
		{"what came out of the cache", func(l *View) { l.RecordClaim(ClaimContent{}, by(0)) }, false},
		{"what was written", func(l *View) { l.RecordClaim(ClaimContent{}, by(0)); l.Confirm(addr(at), key(0)) }, true},
		{"what was written for another", func(l *View) { l.RecordClaim(ClaimContent{}, by(0)); l.Confirm(addr(at), key(1)) }, false},
		{"what was released since", func(l *View) { l.Confirm(addr(at), key(0)); l.Release(addr(at), key(0)) }, false},
		{"what was kept for it since", func(l *View) { l.Confirm(addr(at), key(0)); l.Reserve(addr(at), key(0)) }, false},
		{"what was deleted since", func(l *View) { l.Confirm(addr(at), key(0)); l.RecordClaimDeletion(by(0)) }, false},
		{"what was given to another since", func(l *View) { l.Confirm(addr(at), key(0)); l.RecordClaim(by(0), by(1)) }, false},
		{"what was corrected since", func(l *View) { l.Confirm(addr(at), key(0)); l.AcceptClaim(by(1), key(0)) }, false},
		{"what stayed in a claim that another joined", func(l *View) {
			l.Confirm(addr(at), key(0))
			l.RecordClaim(shared("k", 0), shared("k", 0, 1))
		}, true},
		{"what was loaded anew without it", func(l *View) { l.Confirm(addr(at), key(0)); l.Load(nil, nil) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/30")
			tt.do(l)
			if got := l.IsConfirmed(addr(at), key(0)); got != tt.want {
				t.Errorf("confirmed: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestGone(t *testing.T) {
	tests := []struct {
		name   string
		before func(*View)
		gone   ClaimContent
		taken  bool
		want   []int
	}{
		{name: "a reservation ends", before: func(l *View) { l.RecordClaim(ClaimContent{}, by()) }, gone: by()},
		{name: "a reservation of what a Service has ends without harm", before: func(l *View) { l.Assign(request(1, at)) }, gone: by(), taken: true, want: []int{1}},
		{name: "a Service keeps what it wrote the claim of", before: func(l *View) { l.Assign(request(1, at)); l.Confirm(addr(at), key(1)) }, gone: by(1), taken: true, want: []int{1}},
		{name: "a Service that this process knows from the cache only has lost it", before: func(l *View) { l.RecordClaim(ClaimContent{}, by(1)) }, gone: by(1)},
		{name: "what was kept for a Service is free", before: func(l *View) { l.RecordClaim(ClaimContent{}, reservedFor(1)) }, gone: reservedFor(1)},
		{name: "what was kept is free even if the claim was read past the cache", before: func(l *View) { l.Load(plan(t, nil, "10.0.0.0/30"), []ClaimContent{reservedFor(1)}) }, gone: reservedFor(1)},
		{name: "of several each is looked at by itself", before: func(l *View) { l.RecordClaim(ClaimContent{}, shared("k", 1, 2)); l.Confirm(addr(at), key(2)) }, gone: shared("k", 1, 2), taken: true, want: []int{2}},
		{name: "the claim of another takes nothing away", before: func(l *View) { l.Assign(request(1, at)) }, gone: by(2), taken: true, want: []int{1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/30")
			tt.before(l)
			l.RecordClaimDeletion(tt.gone)
			holdersOf(t, l, tt.taken, tt.want...)
		})
	}
}

func TestAgree(t *testing.T) {
	has := func(l *View) { l.Assign(request(1, at)) }
	shareHas := func(l *View) { l.Assign(sharing(request(1, at), shares("k", 1))) }
	tests := []struct {
		name   string
		before func(*View)
		claim  ClaimContent
		ok     bool
		want   []int
		woken  []int
	}{
		{name: "a claim that names the Service", before: has, claim: by(1), ok: true, want: []int{1}},
		{name: "a claim that names it and was not known", before: func(*View) {}, claim: by(1), ok: true, want: []int{1}},
		{name: "a claim that names another", before: has, claim: by(2), want: []int{2}, woken: []int{2}},
		{name: "a reservation", before: has, claim: by()},
		{name: "a claim that it can join", before: shareHas, claim: shared("k", 2), ok: true, want: []int{2, 1}, woken: []int{2}},
		{name: "a claim of two that it can join", before: shareHas, claim: shared("k", 3, 2), ok: true, want: []int{3, 2, 1}, woken: []int{3, 2}},
		{name: "a claim that it cannot join", before: shareHas, claim: shared("other", 2), want: []int{2}, woken: []int{2}},
		{name: "a claim that it was taken out of", before: func(l *View) { shareHas(l); l.Confirm(addr(at), key(1)) }, claim: shared("k", 2), want: []int{2}, woken: []int{2}},
		{name: "a claim that names it behind one that it cannot be together with", before: func(*View) {}, claim: by(2, 1), want: []int{2}, woken: []int{2}},
		{name: "a claim that names it in front of one that it cannot be together with", before: has, claim: by(1, 2), ok: true, want: []int{1}},
		{name: "a claim of one that is known wakes nobody", before: func(l *View) { l.RecordClaim(ClaimContent{}, shared("k", 2)); shareHas(l) }, claim: shared("k", 2), ok: true, want: []int{2, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/30")
			tt.before(l)
			got := woken(l)
			if ok := l.AcceptClaim(tt.claim, key(1)); ok != tt.ok {
				t.Errorf("agreed: got %v, want %v", ok, tt.ok)
			}
			holdersOf(t, l, true, tt.want...)
			diffWoken(t, "by that", got, tt.woken...)
		})
	}
}

func TestServiceThatJoinsAClaimStaysOnItsTerms(t *testing.T) {
	l := with(t, "10.0.0.0/30")
	mustAssign(t, l, sharing(request(1, at), shares("k", 1)))
	if !l.AcceptClaim(shared("k", 2), key(1)) {
		t.Fatal("got no place in the claim, want one")
	}
	if l.AcceptClaim(ClaimContent{Address: addr(at), Holders: []Holder{{Service: key(2), Terms: shares("k", 2)}, {Service: key(3), Terms: shares("k", 1)}}}, key(3)) {
		t.Errorf("a third one on the first one's port: got a place, want none (holds %+v)", l.SharingTerms(addr(at), key(1)))
	}
}

// The cache is late: events of claims that this process has written and deleted
// since arrive in any order relative to its own writes.
func TestEventsThatComeLateDoNoHarm(t *testing.T) {
	tests := []struct {
		name  string
		story func(*View)
		taken bool
		want  []int
	}{
		{name: "a claim that was written and deleted is created, and gone", story: func(l *View) {
			l.Assign(request(1, at))
			l.Confirm(addr(at), key(1))
			l.Release(addr(at), key(1))
			l.RecordClaim(ClaimContent{}, by(1))
			l.RecordClaimDeletion(by(1))
		}},
		{name: "a claim is gone whose address the Service has got again, and claimed", story: func(l *View) {
			l.Assign(request(1, at))
			l.Confirm(addr(at), key(1))
			l.Release(addr(at), key(1))
			l.Assign(request(1, at))
			l.Confirm(addr(at), key(1))
			l.RecordClaim(ClaimContent{}, by(1))
			l.RecordClaimDeletion(by(1))
			l.RecordClaim(ClaimContent{}, by(1))
		}, taken: true, want: []int{1}},
		{name: "a claim is created and gone whose address another has by now", story: func(l *View) {
			l.Assign(request(1, at))
			l.Release(addr(at), key(1))
			l.Assign(request(2, at))
			l.RecordClaim(ClaimContent{}, by(1))
			l.RecordClaimDeletion(by(1))
			l.Confirm(addr(at), key(2))
			l.RecordClaim(ClaimContent{}, by(2))
		}, taken: true, want: []int{2}},
		{name: "one joins and leaves before the cache has the events", story: func(l *View) {
			l.Assign(sharing(request(1, at), shares("k", 1)))
			l.Confirm(addr(at), key(1))
			l.Assign(sharing(request(2, at), shares("k", 2)))
			l.Confirm(addr(at), key(2))
			l.Release(addr(at), key(2))
			l.RecordClaim(ClaimContent{}, shared("k", 1))
			l.RecordClaim(shared("k", 1), shared("k", 1, 2))
			l.RecordClaim(shared("k", 1, 2), shared("k", 1))
		}, taken: true, want: []int{1}},
		{name: "a reservation is created after it was handed to a Service that took it up", story: func(l *View) {
			l.AcceptClaim(by(1), key(1))
			l.Confirm(addr(at), key(1))
			l.RecordClaim(ClaimContent{}, by())
			l.RecordClaim(by(), by(1))
		}, taken: true, want: []int{1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := with(t, "10.0.0.0/30")
			tt.story(l)
			holdersOf(t, l, tt.taken, tt.want...)
		})
	}
}

func TestAReservationThatIsHandedToAServiceIsTakenUp(t *testing.T) {
	l := with(t, "10.0.0.0/30")
	mustAssign(t, l, request(1, "10.0.0.3"))
	l.RecordClaim(ClaimContent{}, by())
	got := woken(l)
	l.RecordClaim(by(), reservedFor(1))
	holds(t, l, 1, []string{"10.0.0.3"}, []string{at})
	o := l.Assign(request(1))
	if keep, drop := texts(o.Keep), texts(o.Drop); len(keep) != 1 || keep[0] != at || len(drop) != 1 || drop[0] != "10.0.0.3" {
		t.Errorf("got %v, and %v let go, want %s, and 10.0.0.3 let go", keep, drop, at)
	}
	diffWoken(t, "by the reservation", got)
	if got := l.SharingTerms(addr(at), key(9)); got.Key != "" || got.Ports != nil {
		t.Errorf("terms of a Service that has nothing: got %+v, want %+v", got, lb.Sharing{})
	}
}
