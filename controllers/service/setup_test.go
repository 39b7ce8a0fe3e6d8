package service

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/controllers/metrics"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// holderOf returns the holder of an address, or what happens to a third Service that asks
// for it.
func holderOf(l *allocations.View, address string) string {
	asks := lb.ServiceKey{Namespace: "default", Name: "asks"}
	for _, key := range []lb.ServiceKey{web, other} {
		taken, kept := l.HeldBy(key)
		for _, h := range append(taken, kept...) {
			if h.Address == addr(address) {
				return fmt.Sprintf("%s from %s", key.Name, h.Pool)
			}
		}
	}
	d := l.Assign(ipam.Request{Service: asks, Addresses: addrs(address), Families: []lb.Family{lb.IPv4, lb.IPv6}})
	if d.Refusal != nil {
		return "refused: " + string(d.Refusal.Reason)
	}
	return "nobody"
}

// asked is a queue that only records its items.
type asked struct {
	request.Queue
	list []reconcile.Request
}

func (a *asked) Add(r reconcile.Request) { a.list = append(a.list, r) }

func TestClaimsThatSomebodyElseWrites(t *testing.T) {
	const at = "10.0.0.1"
	reservation, ofWeb, ofOther, wrong := claim(at, at), claim(at, at, web), claim(at, at, other), claim("10.0.0.2", at, web)
	create := func(object *event.CreateEvent) func(context.Context, claimHandler, *asked) {
		return func(ctx context.Context, c claimHandler, q *asked) { c.Create(ctx, *object, q) }
	}
	update := func(e event.UpdateEvent) func(context.Context, claimHandler, *asked) {
		return func(ctx context.Context, c claimHandler, q *asked) { c.Update(ctx, e, q) }
	}
	gone := func(e event.DeleteEvent) func(context.Context, claimHandler, *asked) {
		return func(ctx context.Context, c claimHandler, q *asked) { c.Delete(ctx, e, q) }
	}
	tests := []struct {
		name  string
		held  []ipam.Holding
		event func(context.Context, claimHandler, *asked)
		asked []lb.ServiceKey
		want  string
	}{
		{name: "a reservation takes the address and concerns nobody", want: "refused: AddressInUse", event: create(&event.CreateEvent{Object: reservation})},
		{name: "a claim for a Service is its Service's to look at", asked: []lb.ServiceKey{web}, want: "web from auto", event: create(&event.CreateEvent{Object: ofWeb})},
		{name: "all holders are asked", asked: []lb.ServiceKey{web, other}, want: "web from auto", event: create(&event.CreateEvent{Object: claim(at, at, web, other)})},
		{name: "a claim that changes hands is looked at by both", held: []ipam.Holding{holding(at, "auto", web)}, asked: []lb.ServiceKey{web, other}, want: "other from auto",
			event: update(event.UpdateEvent{ObjectOld: ofWeb, ObjectNew: ofOther})},
		{name: "a reservation that is given away is looked at", held: []ipam.Holding{holding(at, "auto", lb.ServiceKey{})}, asked: []lb.ServiceKey{web}, want: "web from auto",
			event: update(event.UpdateEvent{ObjectOld: reservation, ObjectNew: ofWeb})},
		{name: "a claim that means something at last", asked: []lb.ServiceKey{web, web}, want: "web from auto", event: update(event.UpdateEvent{ObjectOld: wrong, ObjectNew: ofWeb})},
		{name: "a reservation that is deleted frees the address", held: []ipam.Holding{holding(at, "auto", lb.ServiceKey{})}, want: "nobody", event: gone(event.DeleteEvent{Object: reservation})},
		{name: "a claim that is deleted by hand is written again by its Service", held: []ipam.Holding{holding(at, "auto", web)}, asked: []lb.ServiceKey{web}, want: "web from auto", event: gone(event.DeleteEvent{Object: ofWeb})},
		{name: "a reservation that is deleted frees nothing of a Service", held: []ipam.Holding{holding(at, "auto", web)}, want: "web from auto", event: gone(event.DeleteEvent{Object: reservation})},
		{name: "a claim with a wrong name gives nothing", asked: []lb.ServiceKey{web}, want: "nobody", event: create(&event.CreateEvent{Object: wrong})},
		{name: "a reservation with a wrong name frees nothing", held: []ipam.Holding{holding(at, "auto", lb.ServiceKey{})}, want: "refused: AddressInUse", event: gone(event.DeleteEvent{Object: claim("10.0.0.2", at)})},
		{name: "what is no claim is nobody's to look at", want: "nobody", event: create(&event.CreateEvent{Object: service()})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, q := claimHandler{allocations: filled(t, tt.held...), changed: func() {}}, &asked{}
			tt.event(t.Context(), c, q)
			var want []reconcile.Request
			for _, key := range tt.asked {
				want = append(want, request.Service(key))
			}
			if diff := cmp.Diff(want, q.list); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if got := holderOf(c.allocations, at); got != tt.want {
				t.Errorf("%s: got %s, want %s", at, got, tt.want)
			}
		})
	}
}

func TestRequestForNamesTheService(t *testing.T) {
	got := request.Service(lb.ServiceKey{Namespace: "n", Name: "s"})
	if got.Namespace != "n" || got.Name != "s" {
		t.Errorf("got %s, want n/s", got)
	}
}

func TestServes(t *testing.T) {
	now := metaNow()
	clusterIP, going := service(), service()
	clusterIP.Spec.Type = corev1.ServiceTypeClusterIP
	going.DeletionTimestamp = &now
	tests := []struct {
		name string
		svc  *corev1.Service
		want bool
	}{
		{name: "a load balancer", svc: service(), want: true},
		{name: "not what is none", svc: clusterIP},
		{name: "not one that is being deleted", svc: going},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := (&Reconciler{}).isServed(t.Context(), tt.svc); err != nil || got != tt.want {
				t.Errorf("serves: got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// timed counts the Services whose allocation was timed.
func timed(t *testing.T, m *metrics.Metrics) uint64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "lbstack_allocation_seconds" {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	t.Fatal("lbstack_allocation_seconds: not there")
	return 0
}

func TestServiceThatArrivesWithoutAnAddressIsTimed(t *testing.T) {
	clusterIP := service()
	clusterIP.Spec.Type = corev1.ServiceTypeClusterIP
	tests := []struct {
		name string
		svc  *corev1.Service
		want uint64
	}{
		{name: "a new Service", svc: service(), want: 1},
		{name: "not one that has an address", svc: showing(service(), given("10.0.0.1"))},
		{name: "not one that is not served", svc: clusterIP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := allocations.New()
			r := &Reconciler{Allocations: l, Metrics: metrics.New(l)}
			if !r.arrivalPredicate().Create(event.CreateEvent{Object: tt.svc}) {
				t.Error("the event: got held back, want it to pass")
			}
			r.Metrics.NoteReconciled(web, true)
			if got := timed(t, r.Metrics); got != tt.want {
				t.Errorf("timed: got %d, want %d", got, tt.want)
			}
		})
	}
}
