package service

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// isTakeOver reports whether a claim hands its address over to other Services: takeOver is set, and all
// holders are Services that do not use the address yet. A claim without holders only reserves its address.
func isTakeOver(claim *v1beta1.IPAddressClaim) bool {
	if !claim.Spec.TakeOver || len(claim.Spec.Holders) == 0 {
		return false
	}
	for _, h := range claim.Spec.Holders {
		if h.UID != "" {
			return false
		}
	}
	return true
}

// mayTakeAddress reports whether a Service can use an address. It returns false for nil, which stands for a Service
// that does not exist.
func mayTakeAddress(svc *corev1.Service) bool {
	return svc != nil && svc.DeletionTimestamp.IsZero() && svc.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// hasOnlyMissingHolders reports whether a claim hands its address over, and none of the Services that it names
// exists.
func hasOnlyMissingHolders(claim *v1beta1.IPAddressClaim, read func(lb.ServiceKey) (*corev1.Service, error)) (bool, error) {
	if !isTakeOver(claim) {
		return false, nil
	}
	for _, h := range claim.Spec.Holders {
		svc, err := read(apiconv.HolderKey(h))
		if err != nil || mayTakeAddress(svc) {
			return false, err
		}
	}
	return true, nil
}

// refuseTakeOver restores the holders of a claim that hands its address over if none of the new holders
// exists. The view still has the former holders, see claimHandler.isRefusedTakeOver. refuseTakeOver reports
// whether it restored them.
func (r *Reconciler) refuseTakeOver(ctx context.Context, h ipam.Holding, have *v1beta1.IPAddressClaim) (bool, error) {
	if !r.Allocations.IsConfirmed(h.Address, h.Service) {
		return false, nil
	}
	fresh := func(key lb.ServiceKey) (*corev1.Service, error) { return r.readService(ctx, key) }
	if is, err := hasOnlyMissingHolders(have, fresh); err != nil || !is {
		return false, err
	}
	named := apiconv.HolderKey(have.Spec.Holders[0])
	want := have.DeepCopy()
	want.Spec.Holders = nil
	holders, _ := r.Allocations.Holders(h.Address)
	for _, holding := range holders {
		svc, err := fresh(holding.Service)
		if err != nil {
			return false, err
		}
		if mayTakeAddress(svc) {
			terms := r.Allocations.SharingTerms(h.Address, holding.Service)
			want = claimWithHolder(want, holding, apiconv.ClaimHolderOf(svc, terms), terms)
		}
	}
	if len(want.Spec.Holders) == 0 {
		return false, nil
	}
	key := claimWrite{claim: have.Name, service: h.Service, what: kindGiveBack}
	err := r.writeClaim(key, named.String(), have, func() error { return r.Client.Update(ctx, want) })
	if err != nil {
		return false, fmt.Errorf("giving the IPAddressClaim %s back to the Service %s: %w", have.Name, h.Service, err)
	}
	log.FromContext(ctx).Info("refused a take-over by a Service that does not exist", "address", h.Address.String(), "service", named.String())
	r.Events.Eventf(have, nil, corev1.EventTypeWarning, v1beta1.ReasonClaimHolderMissing, "TakeOver", "%s", bounded.Note(fmt.Sprintf(
		"the claim %[1]s has takeOver set and names the Service %[2]s, which does not exist or is not of type LoadBalancer; the Service %[3]s keeps the address: create the Service %[2]s or correct spec.holders, then set takeOver: true again",
		have.Name, named, h.Service)))
	return true, nil
}

// cachedService reads a Service of type LoadBalancer from the cache; nil: the cache does not have it.
func (r *Reconciler) cachedService(ctx context.Context, key lb.ServiceKey) (*corev1.Service, error) {
	svc := &corev1.Service{}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, svc); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return svc, nil
}
