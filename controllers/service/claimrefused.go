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

// errClaimRefused is an answer of the API server to the write of a claim that stays the same
// until a person changes something: an admission policy, the rights of the controller, or the
// Service.
type errClaimRefused struct {
	claim *v1beta1.IPAddressClaim // as it should be
	err   error
}

func (e *errClaimRefused) Error() string {
	return fmt.Sprintf("writing the IPAddressClaim %s: %v", e.claim.Name, e.err)
}

func (e *errClaimRefused) Unwrap() error { return e.err }

// writeError wraps what the API server answered to the write of a claim; nil for nil.
func writeError(claim *v1beta1.IPAddressClaim, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return &errClaimRefused{claim: claim, err: err}
	}
	return fmt.Errorf("writing the IPAddressClaim %s: %w", claim.Name, err)
}

// maxAnswer bounds the answer of the API server in a condition.
const maxAnswer = 1024

// sentence returns the refusal for the condition of the Service. The answer of the API server can
// name the other holders of a shared address: if one is of another namespace, sentence leaves the
// answer out.
func (e *errClaimRefused) sentence(svc *corev1.Service) string {
	answer := bounded.Cut(e.err.Error(), maxAnswer)
	if slices.ContainsFunc(e.claim.Spec.Holders, func(h v1beta1.ClaimHolder) bool { return h.Namespace != svc.Namespace }) {
		answer = "the controller's log has the answer"
	}
	return fmt.Sprintf("the IPAddressClaim %s: the API server refuses it: %s: the Service does not get what it asks for: "+
		"change the admission policy that refuses it, or the rights of the controller", e.claim.Name, answer)
}

// dropUnclaimed removes the addresses without a claim from a decision, since the API server
// refused one. The Service keeps the addresses that it has, and gets none. The view still holds
// the decided addresses, so that the next attempt makes the same decision.
func (r *Reconciler) dropUnclaimed(svc *corev1.Service, d serviceDecision, refused *errClaimRefused) serviceDecision {
	shows := apiconv.StatusAddresses(svc)
	has := func(h ipam.Holding) bool {
		return slices.Contains(shows, h.Address) ||
			(r.Allocations.Confirmed(h.Address, h.Service) && !slices.Contains(d.TakenUp, h.Address))
	}
	isLost := func(h ipam.Holding) bool {
		return slices.ContainsFunc(d.Lost, func(l ipam.OutsidePool) bool { return l.Holding == h })
	}
	var keep, drop []ipam.Holding
	for _, h := range d.Keep {
		if has(h) {
			keep = append(keep, h)
		}
	}
	for _, h := range d.Drop { // nothing replaces it
		if isLost(h) {
			drop = append(drop, h)
		} else {
			keep = append(keep, h)
		}
	}
	slices.SortFunc(keep, func(x, y ipam.Holding) int { return x.Address.Compare(y.Address) })
	d.Keep, d.Drop, d.Fled, d.TakenUp = keep, drop, nil, nil
	d.Missing, d.claimRefused = nil, refused
	d.Refusal = &ipam.Refusal{Reason: v1beta1.ReasonClaimRefused, Message: refused.sentence(svc)}
	return d
}

// asClaimRefused returns the errClaimRefused in an error; nil: there is none.
func asClaimRefused(err error) *errClaimRefused {
	var refused *errClaimRefused
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}
