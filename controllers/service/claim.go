package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// errAddressTaken means that the holders of a claim do not let the Service share the address. The view no
// longer gives the address to the Service, so that the caller can decide again.
var errAddressTaken = errors.New("the address is claimed by another Service")

// errStaleCache means that the cache is behind the API server: an action based on it could
// take an address from a Service that still has it.
var errStaleCache = errors.New("the cache is behind the API server")

// errNotHandedOver means that this Service waits for an address, since the status of another Service still
// has it.
var errNotHandedOver = errors.New("the address is still in the status of another Service")

// newClaim returns the claim to create when an address has no claim yet.
func newClaim(h ipam.Holding, holder v1beta1.ClaimHolder, terms lb.Sharing) *v1beta1.IPAddressClaim {
	return claimWithHolder(&v1beta1.IPAddressClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name:   apiconv.ClaimName(h.Address),
			Labels: map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByController},
		},
		Spec: v1beta1.IPAddressClaimSpec{Address: h.Address.String()},
	}, h, holder, terms)
}

// claimWithHolder returns a copy of a claim to which the holder was added, or in which it was updated. The other
// holders stay.
func claimWithHolder(have *v1beta1.IPAddressClaim, h ipam.Holding, holder v1beta1.ClaimHolder, terms lb.Sharing) *v1beta1.IPAddressClaim {
	want := have.DeepCopy()
	want.Spec.Pool = v1beta1.ObjectName(h.Pool)
	want.Spec.State = v1beta1.ClaimInUse
	want.Spec.SharingKey = terms.Key
	want.Spec.RetainUntil, want.Spec.TakeOver = nil, false
	i := slices.IndexFunc(want.Spec.Holders, func(x v1beta1.ClaimHolder) bool { return apiconv.HolderKey(x) == h.Service })
	if i < 0 {
		want.Spec.Holders = append(want.Spec.Holders, holder)
	} else {
		want.Spec.Holders[i] = holder
	}
	want.Spec.Others = otherHoldersText(want.Spec.Holders)
	return want
}

// maxOthersBytes is the maximum length of spec.others, in bytes.
const maxOthersBytes = 1024

// otherHoldersText returns the content of spec.others: the keys of all holders but the first.
func otherHoldersText(holders []v1beta1.ClaimHolder) string {
	var names []string
	for _, h := range holders[min(1, len(holders)):] {
		names = append(names, apiconv.HolderKey(h).String())
	}
	return bounded.Cut(strings.Join(names, ","), maxOthersBytes)
}

// ensureClaim makes sure that the claim for a holding exists and names the Service. The API server refuses a
// second claim for the same address, so that two controllers cannot give an address twice. ensureClaim relies
// on a claim in the cache only if allocations.View.IsConfirmed returns true for it.
func (r *Reconciler) ensureClaim(ctx context.Context, h ipam.Holding, svc *corev1.Service, terms lb.Sharing) error {
	holder := apiconv.ClaimHolderOf(svc, terms)
	want := newClaim(h, holder, terms)
	var have v1beta1.IPAddressClaim
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), &have)
	if err == nil && r.Allocations.IsConfirmed(h.Address, h.Service) && equality.Semantic.DeepEqual(have.Spec, claimWithHolder(&have, h, holder, terms).Spec) {
		return nil
	}
	if apierrors.IsNotFound(err) {
		err = r.createClaim(ctx, h, want, holder)
		if err == nil || !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	// The cache is behind, or the claim differs: read it from the API server.
	err = r.Reader.Get(ctx, client.ObjectKeyFromObject(want), &have)
	if apierrors.IsNotFound(err) {
		return errStaleCache // the claim was deleted meanwhile: a later attempt creates it, once the cache has the deletion
	}
	if err != nil {
		return fmt.Errorf("reading the IPAddressClaim %s: %w", want.Name, err)
	}
	if refused, err := r.refuseTakeOver(ctx, h, &have); err != nil || refused {
		return err
	}
	return r.correctClaim(ctx, h, &have, holder, terms)
}

// createClaim creates a claim that the cache does not have. If the view has the claim as confirmed, the claim
// may exist after all, and the cache may be behind. createClaim then does not use writeClaim, which would
// count this write as the restoration of a deleted claim.
func (r *Reconciler) createClaim(ctx context.Context, h ipam.Holding, want *v1beta1.IPAddressClaim, holder v1beta1.ClaimHolder) error {
	create := func() error { return wrapWriteError(want, r.Client.Create(ctx, want)) }
	var err error
	if r.Allocations.IsConfirmed(h.Address, h.Service) {
		err = create()
	} else {
		err = r.writeHolder(h, want, holder, nil, create)
	}
	if err == nil {
		r.Allocations.Confirm(h.Address, h.Service)
	}
	return err
}

// writeHolder calls the function write, which adds the Service to the holders of a claim or updates it there;
// see writeClaim.
func (r *Reconciler) writeHolder(h ipam.Holding, want *v1beta1.IPAddressClaim, holder v1beta1.ClaimHolder, found *v1beta1.IPAddressClaim, write func() error) error {
	r.claimWrites.Forget(claimWrite{claim: want.Name, service: h.Service, what: kindLeaveClaim})
	return r.writeClaim(holderWrite(h.Address, h.Service), fmt.Sprint(h.Pool, want.Spec.SharingKey, holder), found, write)
}

// verifyClaim reads the claim of a reserved address from the API server, and returns errAddressTaken if the
// claim does not name the Service any more. It does not set the state of the claim to InUse: serve does so
// after it has written the status of the Service. If the namespace of the Service was deleted after the claim
// was retained, verifyClaim deletes the claim.
func (r *Reconciler) verifyClaim(ctx context.Context, h ipam.Holding) error {
	var have v1beta1.IPAddressClaim
	name := apiconv.ClaimName(h.Address)
	err := r.Reader.Get(ctx, client.ObjectKey{Name: name}, &have)
	if apierrors.IsNotFound(err) {
		r.Allocations.Release(h.Address, h.Service)
		return errAddressTaken
	}
	if err != nil {
		return fmt.Errorf("reading the IPAddressClaim %s: %w", name, err)
	}
	claimed, err := parseClaim(&have)
	if err != nil {
		return fmt.Errorf("the IPAddressClaim %s: %w", name, err)
	}
	inherited, err := r.isOfDeletedNamespace(ctx, &have)
	if err != nil {
		return err
	}
	if inherited {
		if err := r.replaceClaim(ctx, h.Service, &have, nil); err != nil {
			return err
		}
	}
	if inherited || !claimed.Names(h.Service) || !r.Allocations.AcceptClaim(claimed, h.Service) {
		r.Allocations.Release(h.Address, h.Service)
		return errAddressTaken
	}
	return nil
}

// correctClaim makes an existing claim name the Service. It returns errAddressTaken if the holders of the claim do
// not let the Service share the address.
func (r *Reconciler) correctClaim(ctx context.Context, h ipam.Holding, have *v1beta1.IPAddressClaim, holder v1beta1.ClaimHolder, terms lb.Sharing) error {
	claimed, err := parseClaim(have)
	if err != nil {
		return fmt.Errorf("the IPAddressClaim %s: %w", have.Name, err)
	}
	if !r.Allocations.AcceptClaim(claimed, h.Service) {
		r.Metrics.CountConflict()
		return errAddressTaken
	}
	want := claimWithHolder(have, h, holder, terms)
	if !equality.Semantic.DeepEqual(have.Spec, want.Spec) {
		err := r.writeHolder(h, want, holder, have, func() error { return wrapWriteError(want, r.Client.Update(ctx, want)) })
		if err != nil {
			return err
		}
	}
	r.Allocations.Confirm(h.Address, h.Service)
	return nil
}

// parseClaim returns the content of a claim, or an error if the name of the claim does not match its address.
// A holder whose ports are invalid gets terms that let no other Service share the address.
func parseClaim(claim *v1beta1.IPAddressClaim) (allocations.ClaimContent, error) {
	address, err := apiconv.ClaimAddress(claim)
	if err != nil {
		return allocations.ClaimContent{}, err
	}
	c := allocations.ClaimContent{Address: address, Pool: lb.PoolName(claim.Spec.Pool)}
	for _, h := range claim.Spec.Holders {
		terms, err := apiconv.HolderTerms(claim, h)
		if err != nil {
			terms = lb.Sharing{}
		}
		c.Holders = append(c.Holders, allocations.Holder{Service: apiconv.HolderKey(h), Terms: terms, Reserved: h.UID == ""})
	}
	return c, nil
}
