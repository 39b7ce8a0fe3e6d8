package externalips

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
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
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// collect is how long changes about a Service are collected.
	collect = time.Second
	// afterPools is how long the controller of pools has until the view has a change.
	afterPools = 2 * time.Second

	// byExternalIP is the index of Services of type LoadBalancer by their externalIPs;
	// anyExternalIP is the value of those that have one.
	byExternalIP, anyExternalIP = "spec.externalIPs", "*"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// SetupWithManager starts the controller with the manager. Services that are not of type
// LoadBalancer come from a reflector of its own, which keeps the index only.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	watching, err := client.NewWithWatch(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("making a client that watches Services: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &corev1.Service{}, byExternalIP, externalIPsOf); err != nil {
		return fmt.Errorf("indexing the Services by externalIPs: %w", err)
	}
	reflect := source.Func(func(ctx context.Context, q queue) error {
		r.changed = func(key lb.ServiceKey, touched []netip.Addr) { r.enqueue(q, key, touched) }
		s := &store{index: r.others, changed: r.changed}
		reflector := cache.NewReflectorWithOptions(listerWatcher(watching), &corev1.Service{}, s, cache.ReflectorOptions{Name: "externalips"})
		go reflector.RunWithContext(ctx)
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("externalips").
		Watches(&corev1.Service{}, r.onService()).
		Watches(&v1beta1.IPAddressClaim{}, r.onClaim(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1beta1.IPAddressPool{}, r.onPool()).
		WatchesRawSource(reflect).
		WithOptions(controller.Options{RateLimiter: &retry.Limiter{}}).
		Complete(r)
}

func externalIPsOf(object client.Object) (values []string) {
	svc, ok := object.(*corev1.Service)
	if !ok {
		return nil
	}
	addresses, _ := apiconv.ExternalIPs(svc)
	for _, a := range addresses {
		values = append(values, a.String())
	}
	if len(values) > 0 {
		values = append(values, anyExternalIP)
	}
	return values
}

// enqueue asks for a Service and for those that have the addresses.
func (r *Reconciler) enqueue(q queue, key lb.ServiceKey, touched []netip.Addr) {
	q.AddAfter(requestFor(key), collect)
	for _, address := range touched {
		holders, _ := r.allocations.Holders(address)
		for _, h := range holders {
			q.AddAfter(requestFor(h.Service), collect)
		}
	}
}

// onService asks for a Service of type LoadBalancer that changes.
func (r *Reconciler) onService() handler.EventHandler {
	put := func(q queue, objects ...client.Object) {
		for _, object := range objects {
			if svc, ok := object.(*corev1.Service); ok {
				addresses, _ := apiconv.ExternalIPs(svc)
				r.enqueue(q, apiconv.KeyOf(svc), addresses)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { put(q, e.Object) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { put(q, e.ObjectOld, e.ObjectNew) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { put(q, e.Object) },
	}
}

// onClaim asks for the Services that a claim names and for those that list its address.
func (r *Reconciler) onClaim() handler.EventHandler {
	put := func(ctx context.Context, q queue, objects ...client.Object) {
		for _, object := range objects {
			claim, ok := object.(*v1beta1.IPAddressClaim)
			if !ok {
				continue
			}
			address, err := apiconv.ClaimAddress(claim)
			if err != nil {
				continue // the claim controller reports it
			}
			keys, _ := r.listers(ctx, address) // the cache ends with the program
			for _, h := range claim.Spec.Holders {
				keys = append(keys, apiconv.HolderKey(h))
			}
			for _, key := range keys {
				q.AddAfter(requestFor(key), collect)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { put(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { put(ctx, q, e.ObjectOld, e.ObjectNew) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { put(ctx, q, e.Object) },
	}
}

// onPool asks for all Services with externalIPs, when the view has the change.
func (r *Reconciler) onPool() handler.EventHandler {
	all := func(ctx context.Context, q queue) {
		keys, _ := r.balancers(ctx, anyExternalIP) // the cache ends with the program
		for _, key := range slices.Concat(keys, r.others.keys()) {
			q.AddAfter(requestFor(key), afterPools)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, _ event.CreateEvent, q queue) { all(ctx, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			// Counters in the status change with each address that is given.
			if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() {
				all(ctx, q)
			}
		},
		DeleteFunc: func(ctx context.Context, _ event.DeleteEvent, q queue) { all(ctx, q) },
	}
}

func requestFor(key lb.ServiceKey) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: key.Namespace, Name: key.Name}}
}
