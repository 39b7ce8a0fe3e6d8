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

// maxConcurrentReconciles is how many Services are reconciled at once. A reconcile spends most of its time
// waiting for the API server.
const maxConcurrentReconciles = 16

// Setup starts the controller with the manager. It connects the queue of the controller with the view, which
// requests reconciles of Services, and with the adopter, which requests the first reconciles.
func Setup(mgr ctrl.Manager, r *Reconciler, adopter *Adopter) error {
	woken := source.Func(func(_ context.Context, q request.Queue) error {
		enqueue := func(key lb.ServiceKey) { q.Add(request.Service(key)) }
		r.Allocations.OnChange(enqueue)
		adopter.SetEnqueue(enqueue)
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("service").
		For(&corev1.Service{}, builder.WithPredicates(r.arrivalPredicate())).
		Watches(&v1beta1.IPAddressClaim{}, claimHandler{allocations: r.Allocations, changed: adopter.NoteClaimChange, cached: r.cachedService}).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.servicesOfNamespace), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WatchesRawSource(woken).
		WithOptions(controller.Options{MaxConcurrentReconciles: maxConcurrentReconciles, RateLimiter: &retry.Limiter{}}).
		Complete(r)
}

// arrivalPredicate returns a predicate that lets all events pass. Its purpose is to pass Services without an
// address to the metrics.
func (r *Reconciler) arrivalPredicate() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(object client.Object) bool {
		if svc, ok := object.(*corev1.Service); ok && svc.DeletionTimestamp.IsZero() && apiconv.IsServedBy(svc, r.Class) && len(svc.Status.LoadBalancer.Ingress) == 0 {
			r.Metrics.NoteArrival(apiconv.KeyOf(svc))
		}
		return true
	})
}

// servicesOfNamespace returns the requests for the Services of a namespace. They are needed since the labels of the
// namespace can decide which pools serve its Services.
func (r *Reconciler) servicesOfNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	var services corev1.ServiceList
	if err := r.Client.List(ctx, &services, client.InNamespace(namespace.GetName())); err != nil {
		return nil // reading the cache fails only when the program ends
	}
	var requests []reconcile.Request
	for i := range services.Items {
		if svc := &services.Items[i]; svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
			requests = append(requests, request.Service(apiconv.KeyOf(svc)))
		}
	}
	if !namespace.GetDeletionTimestamp().IsZero() { // addresses that are retained for its Services are released with the namespace
		for _, key := range r.Allocations.ServicesWithReservations(namespace.GetName()) {
			requests = append(requests, request.Service(key))
		}
	}
	return requests
}

// claimHandler is the event handler for claims. It passes each change to the view, and requests a reconcile of
// the Services that the claim names. If a person deleted the claim, such a reconcile creates it again.
type claimHandler struct {
	allocations *allocations.View
	// changed is called before the view gets a change.
	changed func()
	// cached reads a Service from the cache; nil: the cache does not have it.
	cached func(context.Context, lb.ServiceKey) (*corev1.Service, error)
}

// Create implements handler.EventHandler.
func (c claimHandler) Create(_ context.Context, e event.CreateEvent, q request.Queue) {
	if now, ok := claimContent(e.Object); ok {
		c.changed()
		c.allocations.RecordClaim(allocations.ClaimContent{}, now)
	}
	enqueueHolders(e.Object, q)
}

// Update implements handler.EventHandler.
func (c claimHandler) Update(ctx context.Context, e event.UpdateEvent, q request.Queue) {
	before, _ := claimContent(e.ObjectOld)
	if now, ok := claimContent(e.ObjectNew); ok && !c.isRefusedTakeOver(ctx, e.ObjectNew) {
		c.changed()
		c.allocations.RecordClaim(before, now)
	}
	enqueueHolders(e.ObjectOld, q)
	enqueueHolders(e.ObjectNew, q)
}

// isRefusedTakeOver reports whether a claim hands an address in use over to Services that do not exist in the
// cache. Such a change is not passed to the view: the reconcile of a Service that holds the address undoes
// the change, see refuseTakeOver.
func (c claimHandler) isRefusedTakeOver(ctx context.Context, object client.Object) bool {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return false
	}
	if address, err := apiconv.ClaimAddress(claim); err != nil || !c.allocations.IsInUse(address) {
		return false // no Service has the address, so that no reconcile would undo the change
	}
	is, err := hasOnlyMissingHolders(claim, func(key lb.ServiceKey) (*corev1.Service, error) { return c.cached(ctx, key) })
	return is && err == nil
}

// Delete implements handler.EventHandler.
func (c claimHandler) Delete(_ context.Context, e event.DeleteEvent, q request.Queue) {
	if gone, ok := claimContent(e.Object); ok {
		c.changed()
		c.allocations.RecordClaimDeletion(gone)
	}
	enqueueHolders(e.Object, q)
}

// Generic implements handler.EventHandler; there are no such events.
func (c claimHandler) Generic(context.Context, event.GenericEvent, request.Queue) {}

// claimContent returns the content of a claim; false: the claim is invalid.
func claimContent(object client.Object) (allocations.ClaimContent, bool) {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return allocations.ClaimContent{}, false
	}
	c, err := parseClaim(claim)
	return c, err == nil
}

func enqueueHolders(object client.Object, q request.Queue) {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return
	}
	for _, holder := range claim.Spec.Holders {
		q.Add(request.Service(apiconv.HolderKey(holder)))
	}
}
