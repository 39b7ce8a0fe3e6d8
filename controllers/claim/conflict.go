package claim

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
)

// isInConflict reports whether a foreign host uses the address of a claim, or the claim still has the condition
// Conflict.
func (r *Reconciler) isInConflict(object client.Object) bool {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return false
	}
	_, foreign := r.foreignHost(claim)
	return foreign || meta.FindStatusCondition(claim.Status.Conditions, v1beta1.ConditionConflict) != nil
}

func (r *Reconciler) foreignHost(claim *v1beta1.IPAddressClaim) (ipam.ForeignHost, bool) {
	address, err := apiconv.ClaimAddress(claim)
	if err != nil {
		return ipam.ForeignHost{}, false
	}
	f, _, ok := r.Allocations.ForeignHost(address)
	return f, ok
}

// conflictCondition returns the condition of a claim whose address a foreign host uses.
func conflictCondition(claim *v1beta1.IPAddressClaim, f ipam.ForeignHost) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionConflict, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonForeignHost, ObservedGeneration: claim.Generation}
	if f.InUse {
		c.Message = fmt.Sprintf("%s also uses %s. The address stays announced, since a Service used it before; traffic can reach that host or the Service: %s", f.By, claim.Spec.Address, f.Remedy)
	} else {
		c.Message = fmt.Sprintf("%s uses %s. The address is not announced: %s", f.By, claim.Spec.Address, f.Remedy)
	}
	c.Message = bounded.Message(c.Message)
	return c
}

// setConflict sets the condition, or removes it while there is no conflict.
func setConflict(claim *v1beta1.IPAddressClaim, f ipam.ForeignHost, foreign bool) {
	if foreign {
		meta.SetStatusCondition(&claim.Status.Conditions, conflictCondition(claim, f))
		return
	}
	meta.RemoveStatusCondition(&claim.Status.Conditions, v1beta1.ConditionConflict)
}

// onForeignStatus compares status.foreign of a pool before and after a change. It returns the requests for
// the claims of all addresses whose entries have changed. The view of allocations is updated before that
// status is written.
func onForeignStatus(_ context.Context, objects ...client.Object) []reconcile.Request {
	before, now := foreignAddresses(objects[0]), map[string]v1beta1.ForeignAddress{}
	if len(objects) > 1 {
		now = foreignAddresses(objects[1])
	}
	return append(differingRequests(before, now), differingRequests(now, before)...)
}

func foreignAddresses(object client.Object) map[string]v1beta1.ForeignAddress {
	list := map[string]v1beta1.ForeignAddress{}
	if pool, ok := object.(*v1beta1.IPAddressPool); ok {
		for _, f := range pool.Status.Foreign {
			list[f.Address] = f
		}
	}
	return list
}

// differingRequests returns a request for the claim of each address in list whose entry in others is missing
// or different.
func differingRequests(list, others map[string]v1beta1.ForeignAddress) (requests []reconcile.Request) {
	for text, f := range list {
		address, err := apiconv.ParseAddress(text)
		if other, ok := others[text]; err != nil || (ok && equality.Semantic.DeepEqual(f, other)) {
			continue
		}
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Name: apiconv.ClaimName(address)}})
	}
	return requests
}
