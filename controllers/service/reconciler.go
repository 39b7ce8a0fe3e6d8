// Package service gives Services of type LoadBalancer their addresses: it
// decides with internal/ipam, persists the IPAddressClaim, and only then
// writes the address to the Service's status. It is the only writer of claims
// and of the condition lbstack.io/AddressAllocated.
package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// retryRefused is when a Service that was refused is looked at again even
	// if nothing that it waits for seems to have changed.
	retryRefused = 5 * time.Minute
	// maxCorrections is how often a decision is made again because the
	// cluster knew better; more than that waits for the next reconcile.
	maxCorrections = 8
)

// Reconciler gives one Service its address.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Reader reads from the API server, where the cache may be too old.
	Reader client.Reader
	// Events tells the Service's owner what happened.
	Events events.EventRecorder
	// Ledger knows who holds what.
	Ledger *ledger.Ledger
	// Load fills the ledger before anything is decided; it does so once.
	Load func(context.Context) error
	// Class of the Services that are served; see apiconv.ServedBy.
	Class string
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
		return retryWhenBehind(reconcile.Result{}, r.forget(ctx, lb.ServiceKey{Namespace: req.Namespace, Name: req.Name}))
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading the Service %s: %w", req.NamespacedName, err)
	case !r.serves(svc):
		return retryWhenBehind(r.letGo(ctx, svc))
	}
	return retryWhenBehind(r.serve(ctx, svc))
}

// serve gives the Service what it asks for: claim, then status, then release of
// what it no longer needs.
func (r *Reconciler) serve(ctx context.Context, svc *corev1.Service) (reconcile.Result, error) {
	d, err := r.claim(ctx, svc)
	if err != nil {
		return reconcile.Result{}, err
	}
	changed, err := r.write(ctx, svc, desired(svc, d))
	if err != nil {
		return reconcile.Result{}, err
	}
	if changed {
		r.tell(svc, d)
		log.FromContext(ctx).Info("wrote the Service's status", "addresses", addresses(d.keep), "reason", condition(svc, d).Reason)
	}
	for _, h := range d.drop {
		if err := r.releaseClaim(ctx, h); err != nil {
			return reconcile.Result{}, err
		}
	}
	if d.refusal != nil {
		return reconcile.Result{RequeueAfter: retryRefused}, nil
	}
	return reconcile.Result{}, nil
}

// claim decides and persists the claims, again as long as the cluster turns
// out to know better who holds an address.
func (r *Reconciler) claim(ctx context.Context, svc *corev1.Service) (decision, error) {
	for range maxCorrections {
		d := decide(r.Ledger, svc)
		var err error
		for _, h := range d.keep {
			if err = r.ensureClaim(ctx, h, svc); err != nil {
				break
			}
		}
		switch {
		case errors.Is(err, errTaken):
			continue
		case err != nil:
			return decision{}, err
		}
		return d, nil
	}
	return decision{}, fmt.Errorf("claiming an address for the Service %s: %w", apiconv.KeyOf(svc), errTaken)
}

// letGo takes its addresses from a Service that is not, or no longer, served.
func (r *Reconciler) letGo(ctx context.Context, svc *corev1.Service) (reconcile.Result, error) {
	key := apiconv.KeyOf(svc)
	held := r.Ledger.HeldBy(key)
	r.Ledger.Forget(key)
	if len(held) == 0 && !marked(svc) {
		return reconcile.Result{}, nil
	}
	if err := r.isUnserved(ctx, key, held); err != nil {
		return reconcile.Result{}, err
	}
	changed, err := r.write(ctx, svc, released(svc, held))
	if err != nil {
		return reconcile.Result{}, err
	}
	if changed && len(held) > 0 {
		r.Events.Eventf(svc, nil, corev1.EventTypeNormal, v1beta1.ReasonReleased, "ReleaseAddress", "the Service let %s go", addresses(held))
	}
	return reconcile.Result{}, r.releaseAll(ctx, held)
}

// marked says whether lbstack left anything on the Service.
func marked(svc *corev1.Service) bool {
	for _, c := range svc.Status.Conditions {
		if c.Type == v1beta1.ServiceAddressAllocated {
			return true
		}
	}
	return svc.Annotations[v1beta1.AnnotationAllocatedFromPool] != ""
}

// forget frees the addresses of a Service that is gone.
func (r *Reconciler) forget(ctx context.Context, key lb.ServiceKey) error {
	r.Ledger.Forget(key)
	held := r.Ledger.HeldBy(key)
	if err := r.isUnserved(ctx, key, held); err != nil {
		return err
	}
	return r.releaseAll(ctx, held)
}

// isUnserved makes sure that a Service which is about to lose what it holds is
// gone, or not served, in the API server too: a new leader's cache may be older
// than the claims that it adopted.
func (r *Reconciler) isUnserved(ctx context.Context, key lb.ServiceKey, held []ipam.Holding) error {
	if len(held) == 0 {
		return nil
	}
	svc, err := r.fresh(ctx, key)
	if err != nil {
		return err
	}
	if svc != nil && r.serves(svc) {
		return errStale
	}
	return nil
}

// serves says whether a Service gets an address from here.
func (r *Reconciler) serves(svc *corev1.Service) bool {
	return svc.DeletionTimestamp.IsZero() && apiconv.ServedBy(svc, r.Class)
}

func (r *Reconciler) releaseAll(ctx context.Context, held []ipam.Holding) error {
	for _, h := range held {
		if err := r.releaseClaim(ctx, h); err != nil {
			return err
		}
		log.FromContext(ctx).Info("released an address", "address", h.Address.String())
	}
	return nil
}

// retryWhenBehind turns "somebody wrote in between" and "the cache is behind"
// into another round: that is no error, the cache will show the newer object.
func retryWhenBehind(result reconcile.Result, err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) || errors.Is(err, errStale) {
		return reconcile.Result{RequeueAfter: 50 * time.Millisecond}, nil
	}
	return result, err
}
