package externalips

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// collectDelay delays a reconcile after a change, so that one reconcile covers several changes.
	collectDelay = time.Second
	// poolDelay delays a reconcile after a change of a pool, so that the pool controller updates
	// the view of allocations first.
	poolDelay = 2 * time.Second

	// externalIPIndex is the index in the cache of Services of type LoadBalancer by their externalIPs.
	externalIPIndex = "spec.externalIPs"
	// anyExternalIP is the value in this index of all Services that have externalIPs.
	anyExternalIP = "*"
)

// SetupWithManager adds the controller to the manager. Services that are not of type LoadBalancer come from a
// reflector of this controller, which stores only their externalIPs and the condition about them, see
// serviceIndex.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	watching, err := client.NewWithWatch(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("making a client that watches Services: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &corev1.Service{}, externalIPIndex, externalIPsOf); err != nil {
		return fmt.Errorf("indexing the Services by externalIPs: %w", err)
	}
	reflect := source.Func(func(ctx context.Context, q request.Queue) error {
		r.changed = func(key lb.ServiceKey, touched []netip.Addr) {
			for _, request := range r.affectedRequests(key, touched) {
				q.AddAfter(request, collectDelay)
			}
		}
		s := &indexStore{index: r.others, changed: r.changed}
		reflector := cache.NewReflectorWithOptions(newListerWatcher(watching), &corev1.Service{}, s, cache.ReflectorOptions{Name: "externalips"})
		go reflector.RunWithContext(ctx)
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("externalips").
		Watches(&corev1.Service{}, request.EnqueueLater(collectDelay, r.onService)).
		Watches(&v1beta1.IPAddressClaim{}, request.EnqueueLater(collectDelay, r.onClaim), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		// Changes of the status are ignored: its counters change whenever a Service gets or releases an
		// address.
		Watches(&v1beta1.IPAddressPool{}, request.EnqueueLater(poolDelay, r.onPool), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
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

// affectedRequests returns the requests for a Service and for the holders of the addresses.
func (r *Reconciler) affectedRequests(key lb.ServiceKey, touched []netip.Addr) []reconcile.Request {
	requests := []reconcile.Request{request.Service(key)}
	for _, address := range touched {
		holders, _ := r.allocations.Holders(address)
		for _, h := range holders {
			requests = append(requests, request.Service(h.Service))
		}
	}
	return requests
}

// onService returns the requests after a change of a Service of type LoadBalancer.
func (r *Reconciler) onService(_ context.Context, objects ...client.Object) (requests []reconcile.Request) {
	for _, object := range objects {
		if svc, ok := object.(*corev1.Service); ok {
			addresses, _ := apiconv.ExternalIPs(svc)
			requests = append(requests, r.affectedRequests(apiconv.KeyOf(svc), addresses)...)
		}
	}
	return requests
}

// onClaim returns the requests for the Services that a claim names and for those that list its address.
func (r *Reconciler) onClaim(ctx context.Context, objects ...client.Object) (requests []reconcile.Request) {
	for _, object := range objects {
		claim, ok := object.(*v1beta1.IPAddressClaim)
		if !ok {
			continue
		}
		address, err := apiconv.ClaimAddress(claim)
		if err != nil {
			continue // the claim controller reports it
		}
		keys, _ := r.servicesListing(ctx, address) // reading the cache fails only when the program ends
		for _, h := range claim.Spec.Holders {
			keys = append(keys, apiconv.HolderKey(h))
		}
		requests = append(requests, request.Services(keys)...)
	}
	return requests
}

// onPool returns the requests for all Services with externalIPs.
func (r *Reconciler) onPool(ctx context.Context, _ ...client.Object) []reconcile.Request {
	keys, _ := r.loadBalancersListing(ctx, anyExternalIP) // reading the cache fails only when the program ends
	return request.Services(slices.Concat(keys, r.others.serviceKeys()))
}
