// Package service gives Services of type LoadBalancer their addresses: it
// decides with internal/ipam, persists the IPAddressClaim, and only then
// writes the address to the Service's status. It is the only writer of claims
// and of the condition lbstack.io/AddressAllocated.
package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// firstRetry and lastRetry bound when a Service that was refused is looked at
	// again even if nothing that it waits for seems to have changed; the time
	// doubles.
	firstRetry, lastRetry = 10 * time.Second, 10 * time.Minute
	// maxCorrections is how often a decision is made again because the
	// cluster knew better; more than that waits for the next reconcile.
	maxCorrections = 8
)

// Reconciler gives one Service its addresses.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Reader reads from the API server, where the cache may be too old.
	Reader client.Reader
	// Events records what happened, for the Service's owner.
	Events events.EventRecorder
	// Allocations knows who holds what.
	Allocations *allocations.View
	// Load fills the view before anything is decided; it does so once.
	Load func(context.Context) error
	// Class of the Services that are served; see apiconv.ServedBy.
	Class string
	// Metrics counts; nil counts nothing.
	Metrics *metrics.Metrics
	// Now is the clock, if it is not the real one.
	Now func() time.Time

	stale       staleVersions
	restores    retry.Restores[lb.ServiceKey]
	claimWrites retry.Restores[claimWrite]
	retries     retry.Limiter
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Reconcile brings one Service to what it asks for.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if err := r.Load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	svc := &corev1.Service{}
	err := r.Client.Get(ctx, req.NamespacedName, svc)
	switch {
	case apierrors.IsNotFound(err):
		return r.again(req)(r.handleMissing(ctx, lb.ServiceKey{Namespace: req.Namespace, Name: req.Name}))
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading the Service %s: %w", req.NamespacedName, err)
	case r.stale.isStale(svc):
		return r.again(req)(reconcile.Result{}, errStale)
	}
	served, err := r.serves(ctx, svc)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case !served:
		return r.again(req)(r.letGo(ctx, svc))
	}
	return r.again(req)(r.serve(ctx, svc))
}

// serve gives the Service what it asks for: claim, then status, then release of
// what it no longer needs.
func (r *Reconciler) serve(ctx context.Context, svc *corev1.Service) (reconcile.Result, error) {
	d, err := r.claim(ctx, svc)
	if err != nil {
		return reconcile.Result{}, err
	}
	d.otherClass = !apiconv.ServedBy(svc, r.Class)
	var calmClaims time.Duration
	d.claimOverwritten, calmClaims = r.claimOverwritten(d.Keep)
	next, wait, calm, err := r.plan(ctx, svc, &d)
	if err != nil || wait > 0 {
		return reconcile.Result{RequeueAfter: soonest(wait, d.claimUndone)}, err
	}
	calm = soonest(calm, calmClaims)
	changed, err := r.write(ctx, svc, next)
	if err != nil {
		return reconcile.Result{}, err
	}
	key := apiconv.KeyOf(svc)
	for _, address := range d.TakenUp { // which the status shows now, and not before
		r.Allocations.TakeUp(address, key)
	}
	if err := r.reportShown(ctx, key, next, changed); err != nil {
		return reconcile.Result{}, err
	}
	r.Metrics.Decided(key, d.Refusal == nil && changed)
	r.Metrics.ClaimRefused(key, d.claimRefused != nil)
	for _, h := range d.Keep {
		if !slices.Contains(d.TakenUp, h.Address) {
			continue
		}
		// Only now: a claim that is reserved for the Service records that it is to have the
		// address, and one in use does not say which of several.
		err := r.ensureClaim(ctx, h, svc, r.Allocations.Terms(h.Address, key))
		if errors.Is(err, errTaken) {
			return reconcile.Result{}, errStale // and let nothing go
		}
		if wait := undoneFor(err); wait > 0 {
			d.claimUndone, err = soonest(d.claimUndone, wait), nil
		}
		if err != nil {
			return reconcile.Result{}, err
		}
	}
	if changed {
		r.sendEvents(svc, d)
		log.FromContext(ctx).Info("wrote the Service's status", "addresses", addresses(d.Keep), "reason", condition(svc, d).Reason, "passed", sentences(d.Passed))
	}
	for _, h := range d.Drop {
		if err := r.releaseClaim(ctx, h, false); err != nil {
			return reconcile.Result{}, err
		}
	}
	if err := r.leaveRefused(ctx, key); err != nil {
		return reconcile.Result{}, err
	}
	if d.claimRefused != nil {
		return reconcile.Result{}, d.claimRefused // tried again: nothing reports that a policy has changed
	}
	if d.handOver {
		return reconcile.Result{}, errHandOver // do not expire what is reserved for it while it waits for the other Service
	}
	again, err := r.expire(ctx, key)
	return reconcile.Result{RequeueAfter: soonest(soonest(d.claimUndone, calm), soonest(again, retryAfter(d)))}, err
}

// reportShown gives the view the addresses in the status of a Service. If nothing had to be written, they
// come from the cache and may be old. A Service that waits for one of the addresses needs the current
// state, so it is read from the API server.
func (r *Reconciler) reportShown(ctx context.Context, key lb.ServiceKey, svc *corev1.Service, written bool) error {
	shows := apiconv.StatusAddresses(svc)
	if !written && r.Allocations.Leaves(key) {
		fresh, err := r.fresh(ctx, key)
		if err != nil {
			return err
		}
		if fresh != nil {
			shows = append(shows, apiconv.StatusAddresses(fresh)...)
		}
	}
	r.Allocations.Left(key, shows)
	return nil
}

// retryAfter is when to look again at a Service that does not have all that it
// asks for, zero for never.
func retryAfter(d decision) time.Duration {
	if d.invalid || d.Attempts == 0 {
		return 0
	}
	wait := firstRetry
	for range d.Attempts - 1 {
		if wait *= 2; wait > lastRetry {
			return lastRetry
		}
	}
	return wait
}

// claim decides and persists the claims; it starts over whenever a chosen address turns out to be
// taken.
func (r *Reconciler) claim(ctx context.Context, svc *corev1.Service) (decision, error) {
	namespaceLabels, err := r.namespaceLabels(ctx, svc.Namespace)
	if err != nil {
		return decision{}, err
	}
	shows := apiconv.StatusAddresses(svc)
	for range maxCorrections {
		d := decide(r.Allocations, svc, namespaceLabels).afterOthers(r.Allocations, svc)
		var err error
		for _, h := range d.Keep {
			if slices.Contains(d.TakenUp, h.Address) {
				err = r.verifyClaim(ctx, h)
			} else {
				err = r.ensureClaim(ctx, h, svc, r.Allocations.Terms(h.Address, h.Service))
			}
			if wait := undoneFor(err); wait > 0 && slices.Contains(shows, h.Address) { // it keeps that until then
				d.claimUndone, err = soonest(d.claimUndone, wait), nil
			}
			if err != nil {
				break
			}
		}
		refused := refusedClaim(err)
		switch {
		case errors.Is(err, errTaken):
			continue
		case refused != nil:
			return r.withoutClaim(svc, d, refused), nil
		case err != nil:
			return decision{}, err
		}
		return d, nil
	}
	return decision{}, fmt.Errorf("claiming an address for the Service %s: %w", apiconv.KeyOf(svc), errTaken)
}

// namespaceLabels of a namespace. The cache may have a Service before it
// has of its namespace: then the API server is asked, since which pools are for
// the Service depends on it.
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

// serves reports whether a Service gets addresses from here. One that has taken an address up
// does, whatever its class: spec.loadBalancerClass is immutable, so that the Service could
// not follow when another class is configured. Claims say so; that of an earlier Service of
// the name has another UID. What the cache does not know is asked of the API server.
func (r *Reconciler) serves(ctx context.Context, svc *corev1.Service) (bool, error) {
	if !svc.DeletionTimestamp.IsZero() || svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return false, nil
	}
	if apiconv.ServedBy(svc, r.Class) {
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
			if err == nil && takenUp(&claim, svc) {
				return true, nil
			}
		}
	}
	return false, nil
}

// takenUp reports whether a claim names this very Service.
func takenUp(claim *v1beta1.IPAddressClaim, svc *corev1.Service) bool {
	return slices.ContainsFunc(claim.Spec.Holders, func(h v1beta1.ClaimHolder) bool {
		return apiconv.HolderKey(h) == apiconv.KeyOf(svc) && h.UID != "" && h.UID == svc.UID
	})
}

// again has a request tried again, later each time, if another writer was faster or undoes what
// is written, the cache is behind, or another Service has not let an address go yet: these are no
// errors.
func (r *Reconciler) again(req reconcile.Request) func(reconcile.Result, error) (reconcile.Result, error) {
	return func(result reconcile.Result, err error) (reconcile.Result, error) {
		if apierrors.IsConflict(err) || errors.Is(err, errStale) || errors.Is(err, errHandOver) {
			return reconcile.Result{RequeueAfter: r.retries.When(req)}, nil
		}
		if wait := undoneFor(err); wait > 0 {
			return reconcile.Result{RequeueAfter: wait}, nil
		}
		if err == nil {
			r.retries.Forget(req)
		}
		return result, err
	}
}
