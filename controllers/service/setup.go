package service

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// concurrency is how many Services are worked on at once: most of the time of
// each is waiting for the API server.
const concurrency = 8

// Setup starts the controller with the manager, and connects its queue with the
// ledger (who is woken) and the adopter (who is looked at first).
func Setup(mgr ctrl.Manager, r *Reconciler, adopter *Adopter) error {
	woken := source.Func(func(_ context.Context, q queue) error {
		enqueue := func(key lb.ServiceKey) { q.Add(requestFor(key)) }
		r.Ledger.OnChange(enqueue)
		adopter.SetEnqueue(enqueue)
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("service").
		For(&corev1.Service{}).
		Watches(&v1beta1.IPAddressClaim{}, claims{ledger: r.Ledger}).
		WatchesRawSource(woken).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency}).
		Complete(r)
}

// claims learns of claims that somebody else wrote or deleted, and looks at the
// Services that a claim names: one that was deleted by hand comes back.
type claims struct {
	ledger *ledger.Ledger
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Create implements handler.EventHandler.
func (c claims) Create(ctx context.Context, e event.CreateEvent, q queue) {
	c.written(ctx, e.Object, q)
}

// Update implements handler.EventHandler.
func (c claims) Update(ctx context.Context, e event.UpdateEvent, q queue) {
	c.enqueue(e.ObjectOld, q)
	c.written(ctx, e.ObjectNew, q)
}

// Delete implements handler.EventHandler.
func (c claims) Delete(_ context.Context, e event.DeleteEvent, q queue) {
	if claim, ok := e.Object.(*v1beta1.IPAddressClaim); ok && len(claim.Spec.Holders) == 0 {
		if address, err := apiconv.ClaimAddress(claim); err == nil {
			c.ledger.Release(address, lb.ServiceKey{})
		}
	}
	c.enqueue(e.Object, q)
}

// Generic implements handler.EventHandler; there are no such events.
func (c claims) Generic(context.Context, event.GenericEvent, queue) {}

func (c claims) written(ctx context.Context, object client.Object, q queue) {
	if claim, ok := object.(*v1beta1.IPAddressClaim); ok {
		if h, ok := holdingOf(ctx, claim); ok {
			c.ledger.Observe(h)
		}
	}
	c.enqueue(object, q)
}

func (c claims) enqueue(object client.Object, q queue) {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return
	}
	for _, holder := range claim.Spec.Holders {
		q.Add(requestFor(apiconv.HolderKey(holder)))
	}
}

func requestFor(key lb.ServiceKey) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: key.Namespace, Name: key.Name}}
}
