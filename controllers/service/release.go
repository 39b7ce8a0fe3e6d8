package service

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// releaseClaim releases an address of a Service. It changes the claim before the view, so that no other
// Service gets an address whose claim still exists. It returns errStaleCache if the API server still has the
// address in the status of the Service. If the Service does not exist any more (gone) and the pool retains
// addresses, the claim reserves the address for the next Service of that name.
func (r *Reconciler) releaseClaim(ctx context.Context, h ipam.Holding, gone bool) error {
	svc, err := r.readService(ctx, h.Service)
	if err != nil {
		return err
	}
	if svc != nil && slices.Contains(apiconv.StatusAddresses(svc), h.Address) && apiconv.IsServedBy(svc, r.Class) {
		return errStaleCache
	}
	claim := &v1beta1.IPAddressClaim{}
	err = r.Reader.Get(ctx, client.ObjectKey{Name: apiconv.ClaimName(h.Address)}, claim)
	if apierrors.IsNotFound(err) {
		r.Allocations.Release(h.Address, h.Service)
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the IPAddressClaim %s: %w", apiconv.ClaimName(h.Address), err)
	}
	at := slices.IndexFunc(claim.Spec.Holders, func(c v1beta1.ClaimHolder) bool { return apiconv.HolderKey(c) == h.Service })
	if at < 0 {
		r.Allocations.Release(h.Address, h.Service)
		return nil
	}
	next, kept, err := r.withoutHolder(ctx, claim, at, gone)
	if err != nil {
		return err
	}
	r.Allocations.GiveUp(h.Address, h.Service)
	r.claimWrites.Forget(holderWrite(h.Address, h.Service))
	if err := r.replaceClaim(ctx, h.Service, claim, next); err != nil {
		return err
	}
	if kept {
		r.Allocations.Reserve(h.Address, h.Service)
	} else {
		r.Allocations.Release(h.Address, h.Service)
	}
	log.FromContext(ctx).Info("released an address", "address", h.Address.String(), "reservedForService", kept)
	return nil
}

// withoutHolder returns a copy of a claim without one holder, for the caller to write; nil: the caller must
// delete the claim. kept means that the claim reserves the address for the removed holder.
func (r *Reconciler) withoutHolder(ctx context.Context, claim *v1beta1.IPAddressClaim, at int, gone bool) (next *v1beta1.IPAddressClaim, kept bool, err error) {
	next = claim.DeepCopy()
	spec := &next.Spec
	if len(spec.Holders) > 1 {
		spec.Holders = slices.Delete(spec.Holders, at, at+1)
		spec.Others = otherHoldersText(spec.Holders)
		return next, false, nil
	}
	spec.Holders = []v1beta1.ClaimHolder{{Namespace: spec.Holders[0].Namespace, Name: spec.Holders[0].Name}}
	spec.SharingKey, spec.RetainUntil = "", nil
	if claim.Labels[v1beta1.LabelManagedBy] != v1beta1.ManagedByController {
		spec.State = v1beta1.ClaimReserved
		return next, true, nil
	}
	reclaim, err := r.reclaimPolicy(ctx, string(spec.Pool))
	if err != nil {
		return nil, false, err
	}
	if !gone || reclaim == nil || reclaim.Policy != v1beta1.ReclaimRetain {
		return nil, false, nil
	}
	namespace, err := r.namespaceUID(ctx, spec.Holders[0].Namespace)
	if err != nil || namespace == "" {
		return nil, false, err // no address is retained for Services of a deleted namespace
	}
	spec.State, spec.Holders[0].NamespaceUID = v1beta1.ClaimRetained, namespace
	if reclaim.RetainSeconds > 0 {
		until := metav1.NewTime(r.now().Add(time.Duration(reclaim.RetainSeconds) * time.Second).Truncate(time.Second))
		spec.RetainUntil = &until
	}
	return next, true, nil
}

func (r *Reconciler) reclaimPolicy(ctx context.Context, pool string) (*v1beta1.PoolReclaim, error) {
	var object v1beta1.IPAddressPool
	err := r.Client.Get(ctx, client.ObjectKey{Name: pool}, &object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the IPAddressPool %s: %w", pool, err)
	}
	return object.Spec.Reclaim, nil
}

// replaceClaim replaces a claim by the claim next, in which the Service is not a holder any more. If next is
// nil, it deletes the claim. It fails if the claim has changed since it was read. It returns errUndone if
// another writer undoes this write each time.
func (r *Reconciler) replaceClaim(ctx context.Context, service lb.ServiceKey, have, next *v1beta1.IPAddressClaim) error {
	wanted := "gone"
	if next != nil {
		wanted = fmt.Sprint(next.Spec.State, next.Spec.Pool)
	}
	return r.writeClaim(claimWrite{claim: have.Name, service: service, what: kindLeaveClaim}, wanted, have, func() error {
		if next != nil {
			if err := r.Client.Update(ctx, next); err != nil {
				return fmt.Errorf("updating the IPAddressClaim %s: %w", have.Name, err)
			}
			return nil
		}
		asRead := client.Preconditions{UID: &have.UID, ResourceVersion: &have.ResourceVersion}
		if err := client.IgnoreNotFound(r.Client.Delete(ctx, have, asRead)); err != nil {
			return fmt.Errorf("deleting the IPAddressClaim %s: %w", have.Name, err)
		}
		return nil
	})
}

// expireRetained releases the addresses that are retained for a Service and whose retention has ended. It
// returns the time until the next retention ends; zero: none does. An address that an administrator reserves
// for the Service stays reserved: expireRetained only corrects the state of its claim.
func (r *Reconciler) expireRetained(ctx context.Context, key lb.ServiceKey) (next time.Duration, err error) {
	_, kept := r.Allocations.HeldBy(key)
	for _, h := range kept {
		claim := &v1beta1.IPAddressClaim{}
		err := r.Client.Get(ctx, client.ObjectKey{Name: apiconv.ClaimName(h.Address)}, claim)
		if client.IgnoreNotFound(err) != nil {
			return 0, fmt.Errorf("reading the IPAddressClaim %s: %w", apiconv.ClaimName(h.Address), err)
		}
		if err == nil && claim.Spec.State == v1beta1.ClaimInUse && len(claim.Spec.Holders) == 1 {
			// An administrator gave the address to a Service that does not exist or does not request it.
			reserved := claim.DeepCopy()
			reserved.Spec.State = v1beta1.ClaimReserved
			if err := r.replaceClaim(ctx, key, claim, reserved); err != nil {
				return 0, err
			}
		}
		if err != nil || claim.Spec.State != v1beta1.ClaimRetained {
			continue
		}
		inherited, err := r.isOfDeletedNamespace(ctx, claim)
		if err != nil {
			return 0, err
		}
		switch until := claim.Spec.RetainUntil; {
		case inherited:
		case until == nil:
			continue
		case until.Sub(r.now()) > 0:
			next = backoff.ShorterWait(next, until.Sub(r.now()))
			continue
		}
		if err := r.replaceClaim(ctx, key, claim, nil); err != nil {
			return 0, err
		}
		r.Allocations.Release(h.Address, key)
		log.FromContext(ctx).Info("released an address whose retention has ended", "address", h.Address.String())
	}
	return next, nil
}

// isOfDeletedNamespace reports whether a claim retains its address for a Service whose namespace was deleted.
// A new namespace of the same name makes no difference, since it has another UID.
func (r *Reconciler) isOfDeletedNamespace(ctx context.Context, claim *v1beta1.IPAddressClaim) (bool, error) {
	if len(claim.Spec.Holders) != 1 || claim.Spec.Holders[0].NamespaceUID == "" {
		return false, nil
	}
	holder := &claim.Spec.Holders[0]
	uid, err := r.namespaceUID(ctx, holder.Namespace)
	return uid != holder.NamespaceUID, err
}

// namespaceUID reads the UID of a namespace from the API server. It returns an empty UID if the namespace does
// not exist or is being deleted.
func (r *Reconciler) namespaceUID(ctx context.Context, name string) (types.UID, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.Reader.Get(ctx, client.ObjectKey{Name: name}, namespace)
	if apierrors.IsNotFound(err) || (err == nil && !namespace.DeletionTimestamp.IsZero()) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the namespace %s: %w", name, err)
	}
	return namespace.UID, nil
}

// leaveRefusedClaims removes a Service from the claims that name it but whose address it cannot have; see
// allocations.View.RefusedAddresses. It does not change claims that an administrator wrote: their condition
// reports the problem.
func (r *Reconciler) leaveRefusedClaims(ctx context.Context, key lb.ServiceKey) error {
	for _, address := range r.Allocations.RefusedAddresses(key) {
		claim := &v1beta1.IPAddressClaim{}
		err := r.Client.Get(ctx, client.ObjectKey{Name: apiconv.ClaimName(address)}, claim)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading the IPAddressClaim %s: %w", apiconv.ClaimName(address), err)
		}
		if err == nil && claim.Labels[v1beta1.LabelManagedBy] != v1beta1.ManagedByController {
			continue
		}
		if err := r.releaseClaim(ctx, ipam.Holding{Address: address, Service: key}, false); err != nil {
			return err
		}
	}
	return nil
}

// readService reads a Service from the API server; nil: it does not exist.
func (r *Reconciler) readService(ctx context.Context, key lb.ServiceKey) (*corev1.Service, error) {
	svc := &corev1.Service{}
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, svc)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Service %s: %w", key, err)
	}
	return svc, nil
}

func addressMatcher(holdings []ipam.Holding) func(netip.Addr) bool {
	return func(a netip.Addr) bool {
		return slices.ContainsFunc(holdings, func(h ipam.Holding) bool { return h.Address == a })
	}
}
