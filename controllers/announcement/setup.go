package announcement

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/config"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// maxConcurrentReconciles is how many Services are reconciled at once. A reconcile spends most of its time
// waiting for the API server.
const maxConcurrentReconciles = 16

// routeDelay is the delay of a reconcile after a report about routes, so that one reconcile covers the
// reports of several nodes: many nodes report one address at about the same time.
const routeDelay = 500 * time.Millisecond

// holderIndex is the index of IPAddressClaims by the Services that they name.
const holderIndex = "spec.holders"

// serviceIndex is the index of EndpointSlices by the name of their Service. The cache does not index
// labels: a list by label would visit all EndpointSlices of the namespace.
const serviceIndex = "metadata.labels." + discoveryv1.LabelServiceName

// SetupWithManager starts the controller with the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1beta1.IPAddressClaim{}, holderIndex, holderIndexKeys); err != nil {
		return fmt.Errorf("indexing the IPAddressClaims by holder: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &discoveryv1.EndpointSlice{}, serviceIndex, serviceIndexKeys); err != nil {
		return fmt.Errorf("indexing the EndpointSlices by Service: %w", err)
	}
	waiting := handler.EnqueueRequestsFromMapFunc(r.onEligibility)
	return ctrl.NewControllerManagedBy(mgr).
		Named("announcement").
		For(&corev1.Service{}).
		Watches(&v1beta1.SpeakerState{}, r.onState()).
		Watches(&v1beta1.SpeakerRouteSlice{}, r.onRouteSlice()).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.onNode), builder.WithPredicates(config.NodeChanged)).
		WatchesMetadata(&corev1.Namespace{}, waiting, builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(r.onEndpoints)).
		Watches(&v1beta1.L2Advertisement{}, waiting, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1beta1.LoadBalancerStack{}, waiting, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1beta1.BGPAdvertisement{}, waiting, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1beta1.BGPPeer{}, waiting, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1beta1.Community{}, waiting, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1beta1.IPAddressPool{}, waiting, builder.WithPredicates(predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))).
		Watches(&v1beta1.IPAddressClaim{}, handler.EnqueueRequestsFromMapFunc(onClaim), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: maxConcurrentReconciles, RateLimiter: &retry.Limiter{}}).
		Complete(r)
}

func serviceIndexKeys(slice client.Object) []string {
	return []string{slice.GetLabels()[discoveryv1.LabelServiceName]}
}

func holderIndexKeys(object client.Object) []string {
	var list []string
	for _, key := range claimHolders(object) {
		list = append(list, key.String())
	}
	return list
}

// onState returns a handler that records the reports of the speakers, and requests a reconcile of the
// Services whose reports have changed.
func (r *Reconciler) onState() handler.EventHandler {
	put := func(ctx context.Context, object client.Object, q request.Queue) {
		if state, ok := object.(*v1beta1.SpeakerState); ok {
			r.enqueueChanged(ctx, r.Reports.Put(apiconv.SpeakerReport(state).PlausibleParts(time.Now())), q)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q request.Queue) { put(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q request.Queue) { put(ctx, e.ObjectNew, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q request.Queue) {
			r.enqueueChanged(ctx, r.Reports.Remove(lb.NodeName(e.Object.GetName())), q)
		},
	}
}

// onRouteSlice returns a handler that records the routes that speakers report, and requests a reconcile of
// the Services whose routes have changed.
func (r *Reconciler) onRouteSlice() handler.EventHandler {
	put := func(ctx context.Context, object client.Object, q request.Queue) {
		if slice, ok := object.(*v1beta1.SpeakerRouteSlice); ok {
			node, routes := apiconv.SpeakerRoutes(slice)
			r.enqueueChanged(ctx, r.Reports.PutRoutes(slice.Name, node, reports.PlausibleRoutes(routes, time.Now())), q)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q request.Queue) { put(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q request.Queue) { put(ctx, e.ObjectNew, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q request.Queue) {
			r.enqueueChanged(ctx, r.Reports.PutRoutes(e.Object.GetName(), "", nil), q)
		},
	}
}

// enqueueChanged requests a reconcile of the Services whose reports have changed.
func (r *Reconciler) enqueueChanged(ctx context.Context, changed ReportChanges, q request.Queue) {
	for _, key := range r.servicesHolding(ctx, changed.Addresses) {
		q.Add(request.Service(key))
	}
	for _, key := range r.servicesWithin(ctx, changed.Prefixes) {
		q.AddAfter(request.Service(key), routeDelay)
	}
	for _, node := range changed.Left { // conditions may name the node although its routes are removed
		for _, key := range r.Records.servicesRoutedBy(node) {
			q.AddAfter(request.Service(key), routeDelay)
		}
	}
	if changed.Sessions || changed.Waiting {
		for _, key := range r.Records.waitingServices() {
			q.AddAfter(request.Service(key), routeDelay)
		}
	}
}

// servicesHolding returns the Services that the claims of these addresses name.
func (r *Reconciler) servicesHolding(ctx context.Context, addresses []netip.Addr) (keys []lb.ServiceKey) {
	for _, address := range addresses {
		var claim v1beta1.IPAddressClaim
		if err := r.Client.Get(ctx, client.ObjectKey{Name: apiconv.ClaimName(address)}, &claim); err != nil {
			continue // no Service holds the address, or the program ends
		}
		keys = append(keys, claimHolders(&claim)...)
	}
	return keys
}

// servicesWithin returns the Services that hold an address in one of the prefixes. It looks up single
// addresses. For wider prefixes, which are few and rarely change, it goes through all claims once.
func (r *Reconciler) servicesWithin(ctx context.Context, prefixes []netip.Prefix) []lb.ServiceKey {
	var single []netip.Addr
	var wider []netip.Prefix
	for _, p := range prefixes {
		if p.IsSingleIP() {
			single = append(single, p.Addr())
		} else {
			wider = append(wider, p)
		}
	}
	keys := r.servicesHolding(ctx, single)
	if len(wider) == 0 {
		return keys
	}
	var claims v1beta1.IPAddressClaimList
	if err := r.Client.List(ctx, &claims, client.UnsafeDisableDeepCopy); err != nil {
		return keys // reading the cache fails only when the program ends
	}
	for i := range claims.Items {
		if address, err := apiconv.ClaimAddress(&claims.Items[i]); err == nil && slices.ContainsFunc(wider, func(p netip.Prefix) bool { return p.Contains(address) }) {
			keys = append(keys, claimHolders(&claims.Items[i])...)
		}
	}
	return keys
}

// onEligibility requests a reconcile of the waiting Services, see ServiceRecords.waitingServices. The changed
// object can decide which nodes may announce their addresses.
func (r *Reconciler) onEligibility(context.Context, client.Object) []reconcile.Request {
	return request.Services(r.Records.waitingServices())
}

// onNode requests a reconcile of the waiting Services and of the Services that the node announces. The latter
// are needed since the report of a node does not count while the node is not ready.
func (r *Reconciler) onNode(ctx context.Context, node client.Object) []reconcile.Request {
	name := lb.NodeName(node.GetName())
	return request.Services(slices.Concat(r.Records.waitingServices(), r.servicesHolding(ctx, r.Reports.OwnedAddresses(name)), r.servicesWithin(ctx, r.Reports.RoutesOf(name))))
}

// onEndpoints requests a reconcile of the Service that has these endpoints, and of the Services that share an
// address with it. It leaves out Services that do not wait, see ServiceRecords.waitingServices.
func (r *Reconciler) onEndpoints(ctx context.Context, slice client.Object) []reconcile.Request {
	key := lb.ServiceKey{Namespace: slice.GetNamespace(), Name: slice.GetLabels()[discoveryv1.LabelServiceName]}
	claims, err := r.claimsOf(ctx, key)
	if err != nil {
		return nil // reading the cache fails only when the program ends
	}
	var keys []lb.ServiceKey
	for i := range claims {
		for _, key := range claimHolders(&claims[i]) {
			if r.Records.isWaiting(key) {
				keys = append(keys, key)
			}
		}
	}
	return request.Services(keys)
}

// onClaim requests a reconcile of the Services that a claim names.
func onClaim(_ context.Context, object client.Object) []reconcile.Request {
	return request.Services(claimHolders(object))
}

// claimHolders returns the Services that a claim names.
func claimHolders(object client.Object) (keys []lb.ServiceKey) {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return nil
	}
	for _, h := range claim.Spec.Holders {
		keys = append(keys, apiconv.HolderKey(h))
	}
	return keys
}
