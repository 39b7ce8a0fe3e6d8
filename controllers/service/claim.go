package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// errTaken says that the cluster has another holder for an address than the
// ledger thought; the ledger has been corrected and the decision must be made
// again.
var errTaken = errors.New("the address is claimed by another Service")

// errStale says that the cache is behind the API server: to act on it would take
// an address from a Service that still has it.
var errStale = errors.New("the cache is behind the API server")

// claimFor is the claim that a holding needs.
func claimFor(h ipam.Holding, svc *corev1.Service) *v1beta1.IPAddressClaim {
	return &v1beta1.IPAddressClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name:   apiconv.ClaimName(h.Address),
			Labels: map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByController},
		},
		Spec: v1beta1.IPAddressClaimSpec{
			Address: h.Address.String(),
			Pool:    v1beta1.ObjectName(h.Pool),
			Holders: []v1beta1.ClaimHolder{{Namespace: svc.Namespace, Name: svc.Name, UID: svc.UID}},
		},
	}
}

// ensureClaim makes sure that the claim for a holding exists and names the
// Service. The API server refuses a second claim for one address: that is what
// keeps two controllers from giving it twice. The cache is believed only about a
// claim that this process knows to exist.
func (r *Reconciler) ensureClaim(ctx context.Context, h ipam.Holding, svc *corev1.Service) error {
	want := claimFor(h, svc)
	var have v1beta1.IPAddressClaim
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), &have)
	if err == nil && equality.Semantic.DeepEqual(have.Spec, want.Spec) && r.Ledger.Confirmed(h.Address) {
		return nil
	}
	if apierrors.IsNotFound(err) {
		err = r.Client.Create(ctx, want)
		if err == nil {
			r.Ledger.Confirm(h.Address)
			return nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating the IPAddressClaim %s: %w", want.Name, err)
		}
	}
	// The cache is behind, or the claim differs: ask the API server.
	err = r.Reader.Get(ctx, client.ObjectKeyFromObject(want), &have)
	if apierrors.IsNotFound(err) {
		return errStale // it was deleted just now: write it, when the cache knows
	}
	if err != nil {
		return fmt.Errorf("reading the IPAddressClaim %s: %w", want.Name, err)
	}
	return r.correctClaim(ctx, h, &have, want)
}

func (r *Reconciler) correctClaim(ctx context.Context, h ipam.Holding, have, want *v1beta1.IPAddressClaim) error {
	holder := lb.ServiceKey{}
	if len(have.Spec.Holders) > 0 {
		holder = apiconv.HolderKey(have.Spec.Holders[0])
	}
	if holder != h.Service {
		r.Ledger.Replace(h, ipam.Holding{Address: h.Address, Pool: lb.PoolName(have.Spec.Pool), Service: holder})
		return errTaken
	}
	r.Ledger.Confirm(h.Address)
	if equality.Semantic.DeepEqual(have.Spec, want.Spec) {
		return nil
	}
	updated := have.DeepCopy()
	updated.Spec = want.Spec
	if err := r.Client.Update(ctx, updated); err != nil {
		return fmt.Errorf("updating the IPAddressClaim %s: %w", want.Name, err)
	}
	return nil
}

// releaseClaim lets an address go: the claim first, then the ledger, so that
// nobody is given what still stands in the cluster. It refuses with errStale if
// the Service itself, read past the cache, still shows the address.
func (r *Reconciler) releaseClaim(ctx context.Context, h ipam.Holding) error {
	svc, err := r.fresh(ctx, h.Service)
	if err != nil {
		return err
	}
	if svc != nil && slices.Contains(apiconv.StatusAddresses(svc), h.Address) && apiconv.ServedBy(svc, r.Class) {
		return errStale
	}
	var claim v1beta1.IPAddressClaim
	name := apiconv.ClaimName(h.Address)
	err = r.Reader.Get(ctx, client.ObjectKey{Name: name}, &claim)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading the IPAddressClaim %s: %w", name, err)
	}
	ours := slices.ContainsFunc(claim.Spec.Holders, func(c v1beta1.ClaimHolder) bool { return apiconv.HolderKey(c) == h.Service })
	if err == nil && ours {
		precondition := client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion}
		if err := client.IgnoreNotFound(r.Client.Delete(ctx, &claim, precondition)); err != nil {
			return fmt.Errorf("deleting the IPAddressClaim %s: %w", name, err)
		}
	}
	r.Ledger.Release(h.Address, h.Service)
	return nil
}

// fresh reads a Service from the API server, nil if there is none.
func (r *Reconciler) fresh(ctx context.Context, key lb.ServiceKey) (*corev1.Service, error) {
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
