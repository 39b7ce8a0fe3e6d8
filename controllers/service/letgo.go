package service

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// releaseUnserved releases the addresses of a Service that the controller does not serve. It removes them,
// the conditions and the annotation of lbstack from the Service.
func (r *Reconciler) releaseUnserved(ctx context.Context, svc *corev1.Service) (reconcile.Result, error) {
	key := apiconv.KeyOf(svc)
	held, kept := r.Allocations.HeldBy(key)
	if len(held) > 0 || isMarked(svc) {
		if err := r.checkUnserved(ctx, key, held); err != nil {
			return reconcile.Result{}, err
		}
		lost := serviceDecision{}.withStatusAddresses(r.Allocations, svc).lost
		own := addressMatcher(slices.Concat(held, kept)) // the status may have an address that is only reserved in the view
		changed, err := r.writeService(ctx, svc, apiconv.WithoutOwnData(svc, func(a netip.Addr) bool { return own(a) || slices.Contains(lost, a) }))
		if err != nil {
			return reconcile.Result{}, err
		}
		if changed && len(held) > 0 {
			r.Events.Eventf(svc, nil, corev1.EventTypeNormal, v1beta1.ReasonReleased, "ReleaseAddress", "the Service released %s", joinAddresses(held))
		}
	}
	return r.releaseAll(ctx, key, held)
}

// isMarked reports whether the Service has the condition or the annotation of this controller.
func isMarked(svc *corev1.Service) bool {
	for _, c := range svc.Status.Conditions {
		if c.Type == v1beta1.ServiceAddressAllocated {
			return true
		}
	}
	return svc.Annotations[v1beta1.AnnotationAllocatedFromPool] != ""
}

// handleMissing releases the addresses of a Service that is not in the cache. The Service was deleted, or is
// no longer of type LoadBalancer; handleMissing reads it from the API server to find out.
func (r *Reconciler) handleMissing(ctx context.Context, key lb.ServiceKey) (reconcile.Result, error) {
	svc, err := r.readService(ctx, key)
	if err != nil {
		return reconcile.Result{}, err
	}
	if svc == nil {
		return r.releaseDeleted(ctx, key)
	}
	if served, err := r.isServed(ctx, svc); err != nil || served {
		return reconcile.Result{}, cmp.Or(err, errStaleCache) // the cache is behind
	}
	defer r.stale.forget(key)
	return r.releaseUnserved(ctx, svc)
}

// releaseDeleted releases the addresses of a Service that does not exist any more.
func (r *Reconciler) releaseDeleted(ctx context.Context, key lb.ServiceKey) (reconcile.Result, error) {
	r.stale.forget(key)
	r.retries.Forget(request.Service(key))
	held, _ := r.Allocations.HeldBy(key)
	if err := r.checkUnserved(ctx, key, held); err != nil {
		return reconcile.Result{}, err
	}
	return r.releaseAll(ctx, key, held)
}

// checkUnserved reads a Service that is about to lose its addresses from the API server. It returns
// errStaleCache if the controller serves the Service after all. The check is needed since the cache of a new
// leader may be older than the claims that the Adopter read.
func (r *Reconciler) checkUnserved(ctx context.Context, key lb.ServiceKey, held []ipam.Holding) error {
	if len(held) == 0 {
		return nil
	}
	svc, err := r.readService(ctx, key)
	if err != nil {
		return err
	}
	if svc == nil {
		return nil
	}
	if served, err := r.isServed(ctx, svc); err != nil || served {
		return cmp.Or(err, errStaleCache)
	}
	return nil
}

// releaseAll releases all addresses of a Service that requests none.
func (r *Reconciler) releaseAll(ctx context.Context, key lb.ServiceKey, held []ipam.Holding) (reconcile.Result, error) {
	r.restoreLimiter.Forget(key)
	r.Allocations.RecordWrittenStatus(key, nil)
	r.Allocations.Forget(key)
	r.Metrics.Forget(key)
	for _, h := range held {
		if err := r.releaseClaim(ctx, h, true); err != nil {
			return reconcile.Result{}, err
		}
	}
	if err := r.leaveRefusedClaims(ctx, key); err != nil {
		return reconcile.Result{}, err
	}
	again, err := r.expireRetained(ctx, key)
	return reconcile.Result{RequeueAfter: again}, err
}
