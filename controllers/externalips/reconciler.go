// Package externalips compares spec.externalIPs of all Services with the pools. An address of
// a pool there is a conflict: kube-proxy sends its connections to the Pods of the Service that
// lists it as well. The package is the only writer of the condition lbstack.io/ExternalIPConflict.
//
// A conflict never takes an address from a Service or a pool: a tenant could use up a pool by
// listing its addresses.
package externalips

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/controllers/servicecondition"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// unlisted is when a Service is looked at again while the index is not complete.
const unlisted = time.Second

// Reconciler compares the externalIPs of one Service. Make it with New.
type Reconciler struct {
	client client.Client
	events events.EventRecorder
	ledger *ledger.Ledger
	load   func(context.Context) error
	others *index
	now    func() time.Time
}

// New returns a Reconciler that reads Services of type LoadBalancer from the cache of c, asks
// the ledger, which load fills, about addresses, and records events.
func New(c client.Client, recorder events.EventRecorder, book *ledger.Ledger, load func(context.Context) error) *Reconciler {
	return &Reconciler{client: c, events: recorder, ledger: book, load: load, others: newIndex(maxAddresses), now: time.Now}
}

// Reconcile brings the condition of one Service to what it should be.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if err := r.load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	if !r.others.isListed() {
		return reconcile.Result{RequeueAfter: unlisted}, nil
	}
	svc, addresses, more, err := r.read(ctx, lb.ServiceKey{Namespace: req.Namespace, Name: req.Name})
	if err != nil || svc == nil {
		return reconcile.Result{}, err
	}
	f, err := r.gather(ctx, apiconv.KeyOf(svc), addresses)
	if err != nil {
		return reconcile.Result{}, err
	}
	f.more = more
	now := decide(f)
	if now == nil {
		return reconcile.Result{}, servicecondition.Remove(ctx, r.client, svc, v1beta1.ServiceExternalIPConflict)
	}
	now.ObservedGeneration = svc.Generation
	changed, err := servicecondition.Set(ctx, r.client, svc, *now, r.now())
	if err != nil {
		return reconcile.Result{}, err
	}
	if changed {
		r.events.Eventf(svc, nil, corev1.EventTypeWarning, now.Reason, "CheckExternalIPs", "%s", bounded.Note(now.Message))
	}
	return reconcile.Result{}, nil
}

// read returns a Service with its externalIPs, nil if there is none or it lists nothing and has
// nothing to remove. Of Services of other types only metadata and condition are there.
func (r *Reconciler) read(ctx context.Context, key lb.ServiceKey) (svc *corev1.Service, addresses []netip.Addr, more bool, err error) {
	svc = &corev1.Service{}
	err = r.client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, svc)
	switch {
	case err == nil:
		addresses, more = apiconv.ExternalIPs(svc)
		return svc, addresses, more, nil
	case !apierrors.IsNotFound(err):
		return nil, nil, false, fmt.Errorf("reading the Service %s: %w", key, err)
	}
	e, ok := r.others.get(key)
	if !ok {
		return nil, nil, false, nil
	}
	return e.service(key), e.addresses, e.more, nil
}

// gather asks who has the addresses that the Service lists, and who lists those that it has.
func (r *Reconciler) gather(ctx context.Context, key lb.ServiceKey, addresses []netip.Addr) (facts, error) {
	f := facts{namespace: key.Namespace}
	for _, address := range addresses {
		l := listed{address: address, holders: r.holders(address)}
		if slices.Contains(l.holders, key) {
			continue // its own
		}
		var ok bool
		if l.pool, ok = r.pool(address); ok {
			f.listed = append(f.listed, l)
		}
	}
	has, _ := r.ledger.HeldBy(key)
	for _, h := range has {
		by, err := r.listers(ctx, h.Address)
		if err != nil {
			return facts{}, err
		}
		holders := r.holders(h.Address)
		if by = slices.DeleteFunc(by, func(k lb.ServiceKey) bool { return slices.Contains(holders, k) }); len(by) > 0 {
			f.shared = append(f.shared, shared{h.Address, by})
		}
	}
	return f, nil
}

// holders returns the Services that have an address.
func (r *Reconciler) holders(address netip.Addr) (keys []lb.ServiceKey) {
	holdings, _ := r.ledger.Holders(address)
	for _, h := range holdings {
		if has, _ := r.ledger.HeldBy(h.Service); slices.Contains(has, h) {
			keys = append(keys, h.Service)
		}
	}
	return keys
}

// pool returns the pool that gives an address, or that it came from.
func (r *Reconciler) pool(address netip.Addr) (lb.PoolName, bool) {
	if pool, ok := r.ledger.PoolOf(address); ok {
		return pool, true
	}
	holdings, _ := r.ledger.Holders(address)
	i := slices.IndexFunc(holdings, func(h ipam.Holding) bool { return h.Pool != "" })
	if i < 0 {
		return "", false
	}
	return holdings[i].Pool, true
}

// listers returns the Services of all types that list an address.
func (r *Reconciler) listers(ctx context.Context, address netip.Addr) ([]lb.ServiceKey, error) {
	keys, err := r.balancers(ctx, address.String())
	return append(keys, r.others.with(address)...), err
}

// balancers returns the Services of type LoadBalancer with a value in the index byExternalIP.
func (r *Reconciler) balancers(ctx context.Context, value string) (keys []lb.ServiceKey, err error) {
	var services corev1.ServiceList
	if err := r.client.List(ctx, &services, client.MatchingFields{byExternalIP: value}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the Services of type LoadBalancer with externalIPs: %w", err)
	}
	for i := range services.Items {
		keys = append(keys, apiconv.KeyOf(&services.Items[i]))
	}
	return keys, nil
}
