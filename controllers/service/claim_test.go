package service

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

func claim(name, address string, holders ...lb.ServiceKey) *v1beta1.IPAddressClaim {
	c := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressClaimSpec{Address: address, Pool: "auto"}}
	for _, h := range holders {
		c.Spec.Holders = append(c.Spec.Holders, v1beta1.ClaimHolder{Namespace: h.Namespace, Name: h.Name})
	}
	return c
}

// whoHas tells what happens to a third Service that asks for the address.
func whoHas(l *ledger.Ledger, address string) string {
	asks := lb.ServiceKey{Namespace: "default", Name: "asks"}
	for _, key := range []lb.ServiceKey{web, other} {
		for _, h := range l.HeldBy(key) {
			if h.Address == addr(address) {
				return fmt.Sprintf("%s from %s", key.Name, h.Pool)
			}
		}
	}
	if _, _, refusal := l.Assign(ipam.Request{Service: asks, Address: addr(address), Families: []lb.Family{lb.IPv4, lb.IPv6}}); refusal != nil {
		return "refused: " + string(refusal.Reason)
	}
	return "nobody"
}

// observe has the ledger see a claim.
func observe(t *testing.T, l *ledger.Ledger, claim *v1beta1.IPAddressClaim) {
	t.Helper()
	if h, ok := holdingOf(t.Context(), claim); ok {
		l.Observe(h)
	}
}

func TestHold(t *testing.T) {
	tests := []struct {
		name  string
		held  []ipam.Holding
		claim *v1beta1.IPAddressClaim
		at    string
		want  string
	}{
		{name: "the holder of a claim has the address", claim: claim("10.0.0.1", "10.0.0.1", web), at: "10.0.0.1", want: "web from auto"},
		{name: "of several holders the first has it", claim: claim("10.0.0.1", "10.0.0.1", web, other), at: "10.0.0.1", want: "web from auto"},
		{name: "a claim without a holder reserves the address", claim: claim("10.0.0.1", "10.0.0.1"), at: "10.0.0.1", want: "refused: AddressInUse"},
		{name: "a claim holds an address that no pool has any more", claim: claim("192.0.2.1", "192.0.2.1", web), at: "192.0.2.1", want: "web from auto"},
		{name: "an IPv6 address is known by the full form in the name", claim: claim("2001-0db8-0000-0000-0000-0000-0000-0001", "2001:db8::1", web), at: "2001:db8::1", want: "web from auto"},
		{name: "a claim whose name is of another address claims nothing", claim: claim("10.0.0.1", "10.0.0.2", web), at: "10.0.0.2", want: "nobody"},
		{name: "and not the address in its name either", claim: claim("10.0.0.1", "10.0.0.2", web), at: "10.0.0.1", want: "nobody"},
		{name: "a claim without an address claims nothing", claim: claim("10.0.0.1", "", web), at: "10.0.0.1", want: "nobody"},
		{name: "a second claim takes nothing away", held: []ipam.Holding{holding("10.0.0.1", "auto", other)}, claim: claim("10.0.0.1", "10.0.0.1", web), at: "10.0.0.1", want: "other from auto"},
		{name: "a reservation takes nothing away", held: []ipam.Holding{holding("10.0.0.1", "auto", other)}, claim: claim("10.0.0.1", "10.0.0.1"), at: "10.0.0.1", want: "other from auto"},
		{name: "a reservation gives way to the Service that the claim names", held: []ipam.Holding{holding("10.0.0.1", "auto", lb.ServiceKey{})}, claim: claim("10.0.0.1", "10.0.0.1", web), at: "10.0.0.1", want: "web from auto"},
		{name: "a claim corrects the pool", held: []ipam.Holding{holding("10.0.0.1", "manual", web)}, claim: claim("10.0.0.1", "10.0.0.1", web), at: "10.0.0.1", want: "web from auto"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := filled(t, tt.held...)
			observe(t, l, tt.claim)
			if got := whoHas(l, tt.at); got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.at, got, tt.want)
			}
		})
	}
}

func TestClaimFor(t *testing.T) {
	tests := []struct{ name, address, claim string }{
		{name: "an IPv4 address is the name as it is", address: "10.0.0.1", claim: "10.0.0.1"},
		{name: "an IPv6 address is in full in the name, and short in the spec", address: "2001:db8::1", claim: "2001-0db8-0000-0000-0000-0000-0000-0001"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := holding(tt.address, "auto", web)
			got := claimFor(h, service())
			want := &v1beta1.IPAddressClaim{
				ObjectMeta: metav1.ObjectMeta{Name: tt.claim, Labels: map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByController}},
				Spec: v1beta1.IPAddressClaimSpec{Address: tt.address, Pool: "auto",
					Holders: []v1beta1.ClaimHolder{{Namespace: "default", Name: "web", UID: "uid-web"}}},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claim (-want +got):\n%s", diff)
			}
			l := ledger.New()
			observe(t, l, got)
			if diff := cmp.Diff([]ipam.Holding{h}, l.HeldBy(web), byAddr); diff != "" {
				t.Errorf("what a restart reads from the claim (-want +got):\n%s", diff)
			}
		})
	}
}

// asked is a queue that only remembers who was put into it.
type asked struct {
	queue
	list []reconcile.Request
}

func (a *asked) Add(r reconcile.Request) { a.list = append(a.list, r) }

func TestClaimsThatSomebodyElseWrites(t *testing.T) {
	const at = "10.0.0.1"
	reservation, ofWeb, ofOther := claim(at, at), claim(at, at, web), claim(at, at, other)
	tests := []struct {
		name  string
		held  []ipam.Holding
		event func(claims, *asked)
		asked []lb.ServiceKey
		want  string
	}{
		{name: "a reservation takes the address and concerns nobody", want: "refused: AddressInUse",
			event: func(c claims, q *asked) { c.Create(t.Context(), event.CreateEvent{Object: reservation}, q) }},
		{name: "a claim for a Service is its Service's to look at", asked: []lb.ServiceKey{web}, want: "web from auto",
			event: func(c claims, q *asked) { c.Create(t.Context(), event.CreateEvent{Object: ofWeb}, q) }},
		{name: "all holders are asked", asked: []lb.ServiceKey{web, other}, want: "web from auto",
			event: func(c claims, q *asked) {
				c.Create(t.Context(), event.CreateEvent{Object: claim(at, at, web, other)}, q)
			}},
		{name: "a claim that changes hands is looked at by both, and decided then", held: []ipam.Holding{holding(at, "auto", web)}, asked: []lb.ServiceKey{web, other}, want: "web from auto",
			event: func(c claims, q *asked) {
				c.Update(t.Context(), event.UpdateEvent{ObjectOld: ofWeb, ObjectNew: ofOther}, q)
			}},
		{name: "a reservation that is deleted frees the address", held: []ipam.Holding{holding(at, "auto", lb.ServiceKey{})}, want: "nobody",
			event: func(c claims, q *asked) { c.Delete(t.Context(), event.DeleteEvent{Object: reservation}, q) }},
		{name: "a claim that is deleted by hand is written again by its Service", held: []ipam.Holding{holding(at, "auto", web)}, asked: []lb.ServiceKey{web}, want: "web from auto",
			event: func(c claims, q *asked) { c.Delete(t.Context(), event.DeleteEvent{Object: ofWeb}, q) }},
		{name: "a reservation that is deleted frees nothing of a Service", held: []ipam.Holding{holding(at, "auto", web)}, want: "web from auto",
			event: func(c claims, q *asked) { c.Delete(t.Context(), event.DeleteEvent{Object: reservation}, q) }},
		{name: "a reservation with a wrong name frees nothing", held: []ipam.Holding{holding(at, "auto", lb.ServiceKey{})}, want: "refused: AddressInUse",
			event: func(c claims, q *asked) { c.Delete(t.Context(), event.DeleteEvent{Object: claim("10.0.0.2", at)}, q) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, q := claims{ledger: filled(t, tt.held...)}, &asked{}
			tt.event(c, q)
			var want []reconcile.Request
			for _, key := range tt.asked {
				want = append(want, requestFor(key))
			}
			if diff := cmp.Diff(want, q.list); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if got := whoHas(c.ledger, at); got != tt.want {
				t.Errorf("%s: got %s, want %s", at, got, tt.want)
			}
		})
	}
}

func TestRequestForNamesTheService(t *testing.T) {
	got := requestFor(lb.ServiceKey{Namespace: "n", Name: "s"})
	if got.Namespace != "n" || got.Name != "s" {
		t.Errorf("got %s, want n/s", got)
	}
}
