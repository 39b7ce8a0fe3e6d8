package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/internal/lb"
)

// usageDelay collects the claims of a moment into one count.
const usageDelay = time.Second

// all is the one request of this controller: whether a pool is good depends on
// all of them.
var all = reconcile.Request{}

// Reconciler writes IPAddressPool status and the ledger's pools.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Events tells what changed, on the pool.
	Events events.EventRecorder
	// Ledger gets the pools, once it is loaded.
	Ledger *ledger.Ledger
	// Load fills the ledger before anything looks at it; it does so once.
	Load func(context.Context) error
}

// SetupWithManager starts the controller with the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	onPool := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{all}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("pool").
		Watches(&v1beta1.IPAddressPool{}, onPool, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1beta1.IPAddressClaim{}, onClaim()).
		Complete(r)
}

// onClaim asks for a new count, a little later.
func onClaim() handler.EventHandler {
	later := func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) { q.AddAfter(all, usageDelay) }
	return handler.Funcs{
		CreateFunc: func(_ context.Context, _ event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			later(q)
		},
		UpdateFunc: func(_ context.Context, _ event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			later(q)
		},
		DeleteFunc: func(_ context.Context, _ event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			later(q)
		},
	}
}

// Reconcile looks at all pools together.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	if err := r.Load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	var list v1beta1.IPAddressPoolList
	if err := r.Client.List(ctx, &list); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the IPAddressPools: %w", err)
	}
	pools, verdicts := Plan(list.Items)
	r.Ledger.SetPools(pools)

	usage := r.Ledger.Usage()
	var failed []error
	for i := range list.Items {
		object := &list.Items[i]
		name := lb.PoolName(object.Name)
		next := status(object, verdicts[name], usage[name])
		if err := r.report(ctx, object, next); err != nil {
			failed = append(failed, fmt.Errorf("writing the status of the IPAddressPool %s: %w", object.Name, err))
		}
	}
	return reconcile.Result{}, errors.Join(failed...)
}

func (r *Reconciler) report(ctx context.Context, object *v1beta1.IPAddressPool, next v1beta1.IPAddressPoolStatus) error {
	if equality.Semantic.DeepEqual(object.Status, next) {
		return nil
	}
	before := meta.FindStatusCondition(object.Status.Conditions, v1beta1.ConditionReady)
	updated := object.DeepCopy()
	updated.Status = next
	if err := r.Client.Status().Patch(ctx, updated, client.MergeFrom(object)); err != nil {
		return client.IgnoreNotFound(err)
	}
	now := meta.FindStatusCondition(next.Conditions, v1beta1.ConditionReady)
	if before != nil && before.Reason == now.Reason && before.Message == now.Message {
		return nil
	}
	kind := corev1.EventTypeNormal
	if now.Reason != v1beta1.ReasonPoolReady {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(object, nil, kind, now.Reason, "CheckPool", "%s", now.Message)
	return nil
}
