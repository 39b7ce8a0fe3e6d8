package service

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
)

// errClaimRefused means that the API server refuses to write a claim, and does so until a person changes
// something: an admission policy, the rights of the controller, or the Service.
type errClaimRefused struct {
	claim *v1beta1.IPAddressClaim // the claim that the controller tried to write
	err   error                   // the answer of the API server
}

func (e *errClaimRefused) Error() string {
	return fmt.Sprintf("writing the IPAddressClaim %s: %v", e.claim.Name, e.err)
}

func (e *errClaimRefused) Unwrap() error { return e.err }

// wrapWriteError wraps the error with which the API server answered the write of a claim. It returns nil for nil.
func wrapWriteError(claim *v1beta1.IPAddressClaim, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return &errClaimRefused{claim: claim, err: err}
	}
	return fmt.Errorf("writing the IPAddressClaim %s: %w", claim.Name, err)
}

// maxAnswerBytes is the maximum length of the API server's answer in a condition, in bytes.
const maxAnswerBytes = 1024

// refusalMessage returns the message about the refusal for the condition of the Service. The answer of the API
// server can name the other holders of a shared address. If a holder is in another namespace, the message
// does not have the answer.
func (e *errClaimRefused) refusalMessage(svc *corev1.Service) string {
	answer := bounded.Cut(e.err.Error(), maxAnswerBytes)
	if slices.ContainsFunc(e.claim.Spec.Holders, func(h v1beta1.ClaimHolder) bool { return h.Namespace != svc.Namespace }) {
		answer = "see the log of the controller"
	}
	return fmt.Sprintf("the API server refuses the IPAddressClaim %s, so that the Service does not get the addresses that it requests; "+
		"change the admission policy that refuses the claim, or the rights of the controller; the answer of the API server: %s", e.claim.Name, answer)
}

// dropUnclaimed removes all new addresses from a decision, since the API server refused to write the claim of
// one of them. The Service keeps the addresses that it has. The view still has the new addresses, so that the
// next attempt makes the same decision.
func (r *Reconciler) dropUnclaimed(svc *corev1.Service, d serviceDecision, refused *errClaimRefused) serviceDecision {
	shows := apiconv.StatusAddresses(svc)
	has := func(h ipam.Holding) bool {
		return slices.Contains(shows, h.Address) ||
			(r.Allocations.IsConfirmed(h.Address, h.Service) && !slices.Contains(d.TakenUp, h.Address))
	}
	isLost := func(h ipam.Holding) bool {
		return slices.ContainsFunc(d.Lost, func(l ipam.OutsideHolding) bool { return l.Holding == h })
	}
	var keep, drop []ipam.Holding
	for _, h := range d.Keep {
		if has(h) {
			keep = append(keep, h)
		}
	}
	for _, h := range d.Drop { // only lost addresses are dropped, since no new addresses replace the others
		if isLost(h) {
			drop = append(drop, h)
		} else {
			keep = append(keep, h)
		}
	}
	slices.SortFunc(keep, func(x, y ipam.Holding) int { return x.Address.Compare(y.Address) })
	d.Keep, d.Drop, d.Fled, d.TakenUp = keep, drop, nil, nil
	d.Missing, d.claimRefused = nil, refused
	d.Refusal = &ipam.Refusal{Reason: v1beta1.ReasonClaimRefused, Message: refused.refusalMessage(svc)}
	return d
}

// asClaimRefused returns the errClaimRefused that an error wraps; nil: it wraps none.
func asClaimRefused(err error) *errClaimRefused {
	var refused *errClaimRefused
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}
