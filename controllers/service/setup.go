package service

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// concurrency is how many Services are worked on at once: most of the time of
// each is waiting for the API server.
const concurrency = 16

// Setup starts the controller with the manager, and connects its queue with the
// view (who is woken) and the adopter (who is looked at first).
func Setup(mgr ctrl.Manager, r *Reconciler, adopter *Adopter) error {
	woken := source.Func(func(_ context.Context, q request.Queue) error {
		enqueue := func(key lb.ServiceKey) { q.Add(request.Service(key)) }
		r.Allocations.OnChange(enqueue)
		adopter.SetEnqueue(enqueue)
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("service").
		For(&corev1.Service{}, builder.WithPredicates(r.arrivals())).
		Watches(&v1beta1.IPAddressClaim{}, claims{allocations: r.Allocations, changed: adopter.BeforeChange, cached: r.cached}).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.servicesIn), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WatchesRawSource(woken).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency, RateLimiter: &retry.Limiter{}}).
		Complete(r)
}

// arrivals notes when a Service was first seen without an address, and lets all
// events pass.
func (r *Reconciler) arrivals() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(object client.Object) bool {
		if svc, ok := object.(*corev1.Service); ok && svc.DeletionTimestamp.IsZero() && apiconv.ServedBy(svc, r.Class) && len(svc.Status.LoadBalancer.Ingress) == 0 {
			r.Metrics.Arrived(apiconv.KeyOf(svc))
		}
		return true
	})
}

// servicesIn returns the Services of a namespace: pools can be for those with
// certain labels.
func (r *Reconciler) servicesIn(ctx context.Context, namespace client.Object) []reconcile.Request {
	var services corev1.ServiceList
	if err := r.Client.List(ctx, &services, client.InNamespace(namespace.GetName())); err != nil {
		return nil // the cache is going down with the program
	}
	var requests []reconcile.Request
	for i := range services.Items {
		if svc := &services.Items[i]; svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
			requests = append(requests, request.Service(apiconv.KeyOf(svc)))
		}
	}
	if !namespace.GetDeletionTimestamp().IsZero() { // what is retained ends with it
		for _, key := range r.Allocations.ReservedIn(namespace.GetName()) {
			requests = append(requests, request.Service(key))
		}
	}
	return requests
}

// claims learns of claims that somebody else wrote, changed or deleted, and looks
// at the Services that a claim names: one that was deleted by hand comes back.
type claims struct {
	allocations *allocations.View
	// changed is called before the view learns of a claim.
	changed func()
	// cached reads a Service from the cache, nil if it is not there.
	cached func(context.Context, lb.ServiceKey) (*corev1.Service, error)
}

// Create implements handler.EventHandler.
func (c claims) Create(_ context.Context, e event.CreateEvent, q request.Queue) {
	if now, ok := claimed(e.Object); ok {
		c.changed()
		c.allocations.Observe(allocations.Claimed{}, now)
	}
	enqueue(e.Object, q)
}

// Update implements handler.EventHandler.
func (c claims) Update(ctx context.Context, e event.UpdateEvent, q request.Queue) {
	before, _ := claimed(e.ObjectOld)
	if now, ok := claimed(e.ObjectNew); ok && !c.refused(ctx, e.ObjectNew) {
		c.changed()
		c.allocations.Observe(before, now)
	}
	enqueue(e.ObjectOld, q)
	enqueue(e.ObjectNew, q)
}

// refused reports whether a claim hands its address to Services that do not exist, as far as the
// cache has them. The Services that have the address find out, and give the claim back.
func (c claims) refused(ctx context.Context, object client.Object) bool {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return false
	}
	if address, err := apiconv.ClaimAddress(claim); err != nil || !c.allocations.InUse(address) {
		return false // nobody has the address who would find out
	}
	is, err := unfounded(claim, func(key lb.ServiceKey) (*corev1.Service, error) { return c.cached(ctx, key) })
	return is && err == nil
}

// Delete implements handler.EventHandler.
func (c claims) Delete(_ context.Context, e event.DeleteEvent, q request.Queue) {
	if gone, ok := claimed(e.Object); ok {
		c.changed()
		c.allocations.Deleted(gone)
	}
	enqueue(e.Object, q)
}

// Generic implements handler.EventHandler; there are no such events.
func (c claims) Generic(context.Context, event.GenericEvent, request.Queue) {}

// claimed is the content of a claim; it is not ok if that is invalid.
func claimed(object client.Object) (allocations.Claimed, bool) {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return allocations.Claimed{}, false
	}
	c, err := claimedBy(claim)
	return c, err == nil
}

func enqueue(object client.Object, q request.Queue) {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return
	}
	for _, holder := range claim.Spec.Holders {
		q.Add(request.Service(apiconv.HolderKey(holder)))
	}
}
