// Package externalips compares spec.externalIPs of all Services with the pools. An address of
// a pool in that field is a conflict: kube-proxy also sends connections for the address to the Pods of
// the Service that lists it. The package is the only writer of the condition lbstack.io/ExternalIPConflict.
//
// A conflict never takes an address from a Service or a pool: otherwise a tenant could use up a
// pool by listing its addresses.
package externalips

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/controllers/servicecondition"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// indexRetryInterval is how long a reconcile waits while the index is not complete.
const indexRetryInterval = time.Second

// Reconciler compares the externalIPs of one Service with the pools. Make it with New.
type Reconciler struct {
	client      client.Client
	reader      client.Reader // reads from the API server
	events      events.EventRecorder
	allocations *allocations.View
	load        func(context.Context) error
	others      *serviceIndex
	pace        writePacer // not locked, since Reconcile runs once at a time
	// conditions writes the condition.
	conditions *servicecondition.Writer
	// changed requests a reconcile of a Service and of the Services that hold the addresses. It is
	// set before the first Reconcile.
	changed func(key lb.ServiceKey, touched []netip.Addr)
	now     func() time.Time
}

// New returns a Reconciler. It reads Services of type LoadBalancer from the cache of c, and other Services
// from the API server with reader. The holders of addresses are in view. The function load fills view.
func New(c client.Client, reader client.Reader, recorder events.EventRecorder, view *allocations.View, load func(context.Context) error) *Reconciler {
	return &Reconciler{client: c, reader: reader, events: recorder, allocations: view, load: load, others: newServiceIndex(maxIndexedAddresses), now: time.Now,
		conditions: &servicecondition.Writer{Client: c, Type: v1beta1.ServiceExternalIPConflict}}
}

// Reconcile sets the condition of one Service, or removes it.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if err := r.load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	if !r.others.isListed() {
		return reconcile.Result{RequeueAfter: indexRetryInterval}, nil
	}
	key := lb.ServiceKey{Namespace: req.Namespace, Name: req.Name}
	svc, e, err := r.readService(ctx, key)
	if err != nil {
		return reconcile.Result{}, err
	}
	if svc == nil {
		r.conditions.Forget(key)
		return reconcile.Result{}, nil
	}
	f, err := r.gatherFacts(ctx, apiconv.KeyOf(svc), e.addresses)
	if err != nil {
		return reconcile.Result{}, err
	}
	f.more, f.over = e.more, e.over > 0
	return r.setCondition(ctx, svc, conflictCondition(f))
}

// setCondition sets the condition of a Service, or removes it if now is nil. It delays the write if only
// other Services caused the change, and have already caused too many writes; see writePacer.
func (r *Reconciler) setCondition(ctx context.Context, svc *corev1.Service, now *metav1.Condition) (reconcile.Result, error) {
	key, was := apiconv.KeyOf(svc), meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceExternalIPConflict)
	others := isCausedByOthers(was, now)
	if wait := r.pace.wait(key, r.now()); others && wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if now != nil {
		now.ObservedGeneration = svc.Generation
	}
	written, err := r.conditions.Set(ctx, svc, now, r.now())
	if err != nil || !written.Written {
		return reconcile.Result{RequeueAfter: written.Wait}, err
	}
	if others {
		r.pace.note(key, r.now())
	}
	if now != nil {
		r.events.Eventf(svc, nil, corev1.EventTypeWarning, now.Reason, "CheckExternalIPs", "%s", bounded.Note(now.Message))
	}
	return reconcile.Result{}, nil
}

// readService returns a Service with its externalIPs. A Service that is not of type LoadBalancer comes from
// the index: it has only metadata and the condition, and is nil if the index has no entry for it.
func (r *Reconciler) readService(ctx context.Context, key lb.ServiceKey) (*corev1.Service, serviceEntry, error) {
	svc := &corev1.Service{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, svc)
	switch {
	case err == nil:
		return svc, newServiceEntry(svc), nil
	case !apierrors.IsNotFound(err):
		return nil, serviceEntry{}, fmt.Errorf("reading the Service %s: %w", key, err)
	}
	e, ok := r.others.get(key)
	if !ok {
		return nil, serviceEntry{}, nil
	}
	if e.over > 0 && r.others.hasRoomFor(e) {
		if e, err = r.readmit(ctx, key, e); err != nil {
			return nil, serviceEntry{}, err
		}
	}
	return e.service(key), e, nil
}

// readmit reads a Service whose addresses the index left out, adds the addresses to the index if
// there is room, and returns the entry.
func (r *Reconciler) readmit(ctx context.Context, key lb.ServiceKey, e serviceEntry) (serviceEntry, error) {
	svc := &corev1.Service{}
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, svc)
	if apierrors.IsNotFound(err) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("reading the externalIPs of the Service %s: %w", key, err)
	}
	next := newServiceEntry(svc)
	if svc.Spec.Type == corev1.ServiceTypeLoadBalancer || !r.others.readmit(key, next) {
		return e, nil // the reflector updates the index with the newer state
	}
	r.changed(key, next.addresses)
	return next, nil
}

// gatherFacts returns two facts about a Service: which Services hold the addresses in its externalIPs, and
// which Services list the addresses that it holds.
func (r *Reconciler) gatherFacts(ctx context.Context, key lb.ServiceKey, addresses []netip.Addr) (serviceFacts, error) {
	f := serviceFacts{namespace: key.Namespace}
	for _, address := range addresses {
		l := listedAddress{address: address, holders: r.holdersOf(address)}
		if slices.Contains(l.holders, key) {
			continue // its own address
		}
		var ok bool
		if l.pool, ok = r.poolOf(address); ok {
			f.listed = append(f.listed, l)
		}
	}
	has, _ := r.allocations.HeldBy(key)
	for _, h := range has {
		by, err := r.servicesListing(ctx, h.Address)
		if err != nil {
			return serviceFacts{}, err
		}
		holders := r.holdersOf(h.Address)
		if by = slices.DeleteFunc(by, func(k lb.ServiceKey) bool { return slices.Contains(holders, k) }); len(by) > 0 {
			f.shared = append(f.shared, sharedAddress{h.Address, by})
		}
	}
	return f, nil
}

// holdersOf returns the Services that use an address, without those for which it is only reserved.
func (r *Reconciler) holdersOf(address netip.Addr) (keys []lb.ServiceKey) {
	holdings, _ := r.allocations.Holders(address)
	for _, h := range holdings {
		if has, _ := r.allocations.HeldBy(h.Service); slices.Contains(has, h) {
			keys = append(keys, h.Service)
		}
	}
	return keys
}

// poolOf returns the pool that gives an address, or else the pool from which a holder has it.
func (r *Reconciler) poolOf(address netip.Addr) (lb.PoolName, bool) {
	if pool, ok := r.allocations.PoolOf(address); ok {
		return pool, true
	}
	holdings, _ := r.allocations.Holders(address)
	i := slices.IndexFunc(holdings, func(h ipam.Holding) bool { return h.Pool != "" })
	if i < 0 {
		return "", false
	}
	return holdings[i].Pool, true
}

// servicesListing returns the Services of all types that list an address.
func (r *Reconciler) servicesListing(ctx context.Context, address netip.Addr) ([]lb.ServiceKey, error) {
	keys, err := r.loadBalancersListing(ctx, address.String())
	return append(keys, r.others.servicesListing(address)...), err
}

// loadBalancersListing returns the Services of type LoadBalancer with a value in the index externalIPIndex.
func (r *Reconciler) loadBalancersListing(ctx context.Context, value string) (keys []lb.ServiceKey, err error) {
	var services corev1.ServiceList
	if err := r.client.List(ctx, &services, client.MatchingFields{externalIPIndex: value}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the Services of type LoadBalancer with externalIPs: %w", err)
	}
	for i := range services.Items {
		keys = append(keys, apiconv.KeyOf(&services.Items[i]))
	}
	return keys, nil
}
