// Package service gives Services of type LoadBalancer their addresses. It decides with internal/ipam, writes
// the IPAddressClaim, and only then writes the address into the status of the Service. It creates, changes
// and deletes the claims of Services. If an administrator removes all holders of a claim, it is
// controllers/claim that turns the claim into a reservation. No other package writes the condition
// lbstack.io/AddressAllocated.
package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/controllers/metrics"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// firstRetryWait is the time after which a Service whose request was refused is reconciled again, even if
	// no watched object has changed. The time doubles with each further refusal.
	firstRetryWait = 10 * time.Second
	// longestRetryWait is the longest time between two attempts.
	longestRetryWait = 10 * time.Minute
	// maxClaimAttempts is how often one reconcile decides at most. It decides again when another Service
	// turns out to have claimed the chosen address.
	maxClaimAttempts = 8
)

// Reconciler gives one Service its addresses.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Reader reads from the API server. It is used where the cache may be outdated.
	Reader client.Reader
	// Events sends events about Services.
	Events events.EventRecorder
	// Allocations has the holders of all addresses.
	Allocations *allocations.View
	// Load fills the view at its first call. Each reconcile calls it before it reads the view.
	Load func(context.Context) error
	// Class is the spec.loadBalancerClass of the Services that the controller serves; see apiconv.IsServedBy.
	Class string
	// Metrics counts what the controller does; nil: nothing is counted.
	Metrics *metrics.Metrics
	// Now is the clock; nil: time.Now.
	Now func() time.Time

	stale          staleVersions
	restoreLimiter retry.RestoreLimiter[lb.ServiceKey]
	claimWrites    retry.RestoreLimiter[claimWrite]
	retries        retry.Limiter
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Reconcile gives one Service the addresses that it requests, or releases the addresses of a Service that the
// controller does not serve.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if err := r.Load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	svc := &corev1.Service{}
	err := r.Client.Get(ctx, req.NamespacedName, svc)
	switch {
	case apierrors.IsNotFound(err):
		return r.retryLater(req)(r.handleMissing(ctx, lb.ServiceKey{Namespace: req.Namespace, Name: req.Name}))
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading the Service %s: %w", req.NamespacedName, err)
	case r.stale.isStale(svc):
		return r.retryLater(req)(reconcile.Result{}, errStaleCache)
	}
	served, err := r.isServed(ctx, svc)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case !served:
		return r.retryLater(req)(r.releaseUnserved(ctx, svc))
	}
	return r.retryLater(req)(r.serve(ctx, svc))
}

// serve gives the Service the addresses that it requests: it writes the claims, then the
// status, then releases the addresses that the Service no longer needs.
func (r *Reconciler) serve(ctx context.Context, svc *corev1.Service) (reconcile.Result, error) {
	d, err := r.ensureClaims(ctx, svc)
	if err != nil {
		return reconcile.Result{}, err
	}
	d.otherClass = !apiconv.IsServedBy(svc, r.Class)
	var calmClaims time.Duration
	d.claimOverwritten, calmClaims = r.claimOverwrittenMessage(d.Keep)
	next, wait, calm, err := r.planWrite(ctx, svc, &d)
	if err != nil || wait > 0 {
		return reconcile.Result{RequeueAfter: backoff.ShorterWait(wait, d.claimUndone)}, err
	}
	calm = backoff.ShorterWait(calm, calmClaims)
	changed, err := r.writeService(ctx, svc, next)
	if err != nil {
		return reconcile.Result{}, err
	}
	key := apiconv.KeyOf(svc)
	for _, address := range d.TakenUp { // until now these addresses were reserved
		r.Allocations.TakeUp(address, key)
	}
	if err := r.reportStatusAddresses(ctx, key, next, changed); err != nil {
		return reconcile.Result{}, err
	}
	r.Metrics.NoteReconciled(key, d.Refusal == nil && changed)
	r.Metrics.SetClaimRefused(key, d.claimRefused != nil)
	for _, h := range d.Keep {
		if !slices.Contains(d.TakenUp, h.Address) {
			continue
		}
		// The claim becomes InUse only after the status was written. If the controller restarts between
		// the two writes, the claim, still Reserved or Retained, shows to which address the Service moves.
		err := r.ensureClaim(ctx, h, svc, r.Allocations.SharingTerms(h.Address, key))
		if errors.Is(err, errAddressTaken) {
			return reconcile.Result{}, errStaleCache // no claim is released before the next attempt
		}
		if wait := undoneWait(err); wait > 0 {
			d.claimUndone, err = backoff.ShorterWait(d.claimUndone, wait), nil
		}
		if err != nil {
			return reconcile.Result{}, err
		}
	}
	if changed {
		r.sendEvents(svc, d)
		log.FromContext(ctx).Info("wrote the Service's status", "addresses", strings.Join(addressStrings(d.Keep), ", "), "reason", allocatedCondition(svc, d).Reason, "poolsNotUsed", joinResults(d.PassedPools))
	}
	for _, h := range d.Drop {
		if err := r.releaseClaim(ctx, h, false); err != nil {
			return reconcile.Result{}, err
		}
	}
	if err := r.leaveRefusedClaims(ctx, key); err != nil {
		return reconcile.Result{}, err
	}
	if d.claimRefused != nil {
		return reconcile.Result{}, d.claimRefused // try again: no event reports that a policy has changed
	}
	if d.handOver {
		return reconcile.Result{}, errNotHandedOver // a Service that waits for another Service keeps its reserved addresses
	}
	again, err := r.expireRetained(ctx, key)
	return reconcile.Result{RequeueAfter: backoff.ShorterWait(backoff.ShorterWait(d.claimUndone, calm), backoff.ShorterWait(again, retryWait(d)))}, err
}

// reportStatusAddresses passes the addresses in the status of a Service to the view. If this reconcile did
// not write the status (written is false), svc is from the cache and may be outdated. Another Service may
// wait until an address is no longer in this status. If the view has such an address, reportStatusAddresses
// therefore also reads the status from the API server.
func (r *Reconciler) reportStatusAddresses(ctx context.Context, key lb.ServiceKey, svc *corev1.Service, written bool) error {
	shows := apiconv.StatusAddresses(svc)
	if !written && r.Allocations.ShowsLostAddress(key) {
		fresh, err := r.readService(ctx, key)
		if err != nil {
			return err
		}
		if fresh != nil {
			shows = append(shows, apiconv.StatusAddresses(fresh)...)
		}
	}
	r.Allocations.RecordWrittenStatus(key, shows)
	return nil
}

// retryWait returns how long to wait before a Service that lacks addresses is reconciled again; zero: it is
// reconciled again only after a change.
func retryWait(d serviceDecision) time.Duration {
	if d.invalid || d.Attempts == 0 {
		return 0
	}
	wait := firstRetryWait
	for range d.Attempts - 1 {
		if wait *= 2; wait > longestRetryWait {
			return longestRetryWait
		}
	}
	return wait
}

// ensureClaims decides which addresses the Service gets, and writes their claims. It starts over whenever a
// chosen address turns out to be taken.
func (r *Reconciler) ensureClaims(ctx context.Context, svc *corev1.Service) (serviceDecision, error) {
	namespaceLabels, err := r.namespaceLabels(ctx, svc.Namespace)
	if err != nil {
		return serviceDecision{}, err
	}
	shows := apiconv.StatusAddresses(svc)
	for range maxClaimAttempts {
		d := decideService(r.Allocations, svc, namespaceLabels).dropUntilFree(r.Allocations, svc)
		var err error
		for _, h := range d.Keep {
			if slices.Contains(d.TakenUp, h.Address) {
				err = r.verifyClaim(ctx, h)
			} else {
				err = r.ensureClaim(ctx, h, svc, r.Allocations.SharingTerms(h.Address, h.Service))
			}
			if wait := undoneWait(err); wait > 0 && slices.Contains(shows, h.Address) { // the address stays in the status meanwhile
				d.claimUndone, err = backoff.ShorterWait(d.claimUndone, wait), nil
			}
			if err != nil {
				break
			}
		}
		refused := asClaimRefused(err)
		switch {
		case errors.Is(err, errAddressTaken):
			continue
		case refused != nil:
			return r.dropUnclaimed(svc, d, refused), nil
		case err != nil:
			return serviceDecision{}, err
		}
		return d, nil
	}
	return serviceDecision{}, fmt.Errorf("claiming an address for the Service %s: %w", apiconv.KeyOf(svc), errAddressTaken)
}

// namespaceLabels returns the labels of a namespace, which decide which pools may serve a Service. If the
// cache does not have the namespace yet, it is read from the API server.
func (r *Reconciler) namespaceLabels(ctx context.Context, name string) (map[string]string, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.Client.Get(ctx, client.ObjectKey{Name: name}, namespace)
	if apierrors.IsNotFound(err) {
		err = r.Reader.Get(ctx, client.ObjectKey{Name: name}, namespace)
	}
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading the labels of the namespace %s: %w", name, err)
	}
	return namespace.Labels, nil
}

// isServed reports whether the controller serves a Service. A Service that uses an address is served whatever
// its class: spec.loadBalancerClass is immutable, so that the class of the Service cannot change when lbstack
// is configured to serve another class. A Service uses an address if the claim of the address has its UID;
// the name is not enough, since an earlier Service may have had that name. A claim that is not in the cache
// is read from the API server.
func (r *Reconciler) isServed(ctx context.Context, svc *corev1.Service) (bool, error) {
	if !svc.DeletionTimestamp.IsZero() || svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return false, nil
	}
	if apiconv.IsServedBy(svc, r.Class) {
		return true, nil
	}
	held, _ := r.Allocations.HeldBy(apiconv.KeyOf(svc))
	for _, h := range held {
		for _, reader := range []client.Reader{r.Client, r.Reader} {
			var claim v1beta1.IPAddressClaim
			err := reader.Get(ctx, client.ObjectKey{Name: apiconv.ClaimName(h.Address)}, &claim)
			if client.IgnoreNotFound(err) != nil {
				return false, fmt.Errorf("reading the IPAddressClaim %s: %w", apiconv.ClaimName(h.Address), err)
			}
			if err == nil && hasHolderUID(&claim, svc) {
				return true, nil
			}
		}
	}
	return false, nil
}

// hasHolderUID reports whether a claim names the Service with its UID.
func hasHolderUID(claim *v1beta1.IPAddressClaim, svc *corev1.Service) bool {
	return slices.ContainsFunc(claim.Spec.Holders, func(h v1beta1.ClaimHolder) bool {
		return apiconv.HolderKey(h) == apiconv.KeyOf(svc) && h.UID != "" && h.UID == svc.UID
	})
}

// retryLater returns a function that turns some errors into a later retry. These errors are expected, and
// would only fill the log: a conflict with another writer, a write that another writer undoes, an outdated
// cache, and an address that another Service still has.
func (r *Reconciler) retryLater(req reconcile.Request) func(reconcile.Result, error) (reconcile.Result, error) {
	return func(result reconcile.Result, err error) (reconcile.Result, error) {
		if apierrors.IsConflict(err) || errors.Is(err, errStaleCache) || errors.Is(err, errNotHandedOver) {
			return reconcile.Result{RequeueAfter: r.retries.When(req)}, nil
		}
		if wait := undoneWait(err); wait > 0 {
			return reconcile.Result{RequeueAfter: wait}, nil
		}
		if err == nil {
			r.retries.Forget(req)
		}
		return result, err
	}
}
