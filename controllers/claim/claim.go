// Package claim writes the status of IPAddressClaims, as its only writer. The condition Conflict reports, on
// any claim, that a foreign host uses the address. The condition Ready reports whether a claim of an
// administrator is in effect. A claim that the controller made for a Service has this condition only while no
// pool gives the address. If an administrator removes all holders from a claim of the controller, the package
// turns it into a claim of the administrator.
package claim

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// The status of a claim depends on the view of allocations, which receives changes of the claim
// at about the same time as this controller. A claim is therefore checked again soon after its
// status was written, and from then on periodically.
const (
	checkDelay   = 2 * time.Second
	recheckDelay = 30 * time.Second
)

// Reconciler writes the status of one claim.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Events records what is wrong with a claim.
	Events events.EventRecorder
	// Allocations is the view of the Services that hold addresses.
	Allocations *allocations.View
	// Load fills the view, on its first call. Each reconcile calls it before it reads the view.
	Load func(context.Context) error

	// statusLimiter delays the writes that restore a status which another writer has changed. Its keys are
	// the names of the claims. handOverLimiter does the same for the writes of handOver.
	statusLimiter, handOverLimiter retry.RestoreLimiter[string]
}

// SetupWithManager starts the controller with the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("claim").
		For(&v1beta1.IPAddressClaim{}, builder.WithPredicates(predicate.NewPredicateFuncs(r.needsStatus))).
		Watches(&v1beta1.IPAddressPool{}, request.EnqueueLater(0, onForeignStatus)).
		Watches(&v1beta1.IPAddressPool{}, request.EnqueueLater(checkDelay, r.requestAll), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{RateLimiter: &retry.Limiter{}}).
		Complete(r)
}

// needsStatus reports whether a claim should have a status, or has one that may be outdated.
func (r *Reconciler) needsStatus(object client.Object) bool {
	return isAdministratorClaim(object) || r.isInConflict(object) || r.needsReadyCheck(object)
}

// needsReadyCheck reports whether the condition Ready of a claim may need a change. It returns true if the
// claim has this condition, or has holders and an address that no pool gives. It returns false if no pool
// gives the address because a foreign host uses it: the condition Conflict reports that.
func (r *Reconciler) needsReadyCheck(object client.Object) bool {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	if !ok {
		return false
	}
	if meta.FindStatusCondition(claim.Status.Conditions, v1beta1.ConditionReady) != nil {
		return true
	}
	address, err := apiconv.ClaimAddress(claim)
	if err != nil || len(claim.Spec.Holders) == 0 {
		return false
	}
	_, gives := r.Allocations.PoolOf(address)
	_, _, foreign := r.Allocations.ForeignHost(address)
	return !gives && !foreign
}

// isAdministratorClaim reports whether a claim belongs to an administrator, who created it or removed all of its
// holders.
func isAdministratorClaim(object client.Object) bool {
	claim, ok := object.(*v1beta1.IPAddressClaim)
	return ok && (object.GetLabels()[v1beta1.LabelManagedBy] != v1beta1.ManagedByController || len(claim.Spec.Holders) == 0)
}

// handOver turns a claim of the controller into a claim of the administrator who removed its holders. The
// claim then reserves its address for no Service. If another writer undoes the change again and again,
// handOver does not write it, and returns how long to wait before the next attempt.
func (r *Reconciler) handOver(ctx context.Context, claim *v1beta1.IPAddressClaim) (wait time.Duration, err error) {
	const wanted = "reserved"
	if undone := r.handOverLimiter.Compare(claim.Name, wanted, false, time.Now()); undone.Wait > 0 {
		return undone.Wait, nil
	}
	next := claim.DeepCopy()
	delete(next.Labels, v1beta1.LabelManagedBy)
	next.Spec.State, next.Spec.SharingKey, next.Spec.RetainUntil, next.Spec.TakeOver = v1beta1.ClaimReserved, "", nil, false
	err = r.Client.Update(ctx, next)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return 0, nil // the claim has changed, and a watch event follows
	}
	if err != nil {
		return 0, fmt.Errorf("updating the IPAddressClaim %s: %w", claim.Name, err)
	}
	r.handOverLimiter.NoteWrite(claim.Name, wanted)
	return 0, nil
}

// requestAll returns the requests for all claims, after a change of a pool: the pool may have stopped giving
// their addresses. The delay of the requests, checkDelay, lets the view receive the change first.
func (r *Reconciler) requestAll(ctx context.Context, _ ...client.Object) []reconcile.Request {
	var list v1beta1.IPAddressClaimList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil // reading the cache fails only when the program ends
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// Reconcile checks one claim, and writes its status.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if err := r.Load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	object := &v1beta1.IPAddressClaim{}
	if err := r.Client.Get(ctx, req.NamespacedName, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !r.needsStatus(object) {
		return reconcile.Result{}, nil
	}
	if isAdministratorClaim(object) && object.Labels[v1beta1.LabelManagedBy] == v1beta1.ManagedByController {
		wait, err := r.handOver(ctx, object)
		return reconcile.Result{RequeueAfter: wait}, err
	}
	next := r.desiredClaim(object)
	same, wanted := equality.Semantic.DeepEqual(object.Status, next.Status), statusFingerprint(next)
	undone := r.statusLimiter.Compare(object.Name, wanted, same, time.Now())
	if same {
		return reconcile.Result{RequeueAfter: recheckDelay}, nil
	}
	if undone.Wait > 0 {
		return reconcile.Result{RequeueAfter: undone.Wait}, nil
	}
	if err := r.Client.Status().Patch(ctx, next, client.MergeFrom(object)); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	r.statusLimiter.NoteWrite(object.Name, wanted)
	r.sendEvents(object, next)
	return reconcile.Result{RequeueAfter: checkDelay}, nil
}

// statusFingerprint returns the status of a claim without its times, as text.
func statusFingerprint(claim *v1beta1.IPAddressClaim) string {
	status := claim.Status.DeepCopy()
	for i := range status.Conditions {
		status.Conditions[i].LastTransitionTime = metav1.Time{}
	}
	return fmt.Sprint(*status)
}

// desiredClaim returns the claim with the status that it should have.
func (r *Reconciler) desiredClaim(object *v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim {
	next := object.DeepCopy()
	next.Status.ObservedGeneration = object.Generation
	if f := r.gatherFacts(object); isAdministratorClaim(object) || f.pool == "" {
		meta.SetStatusCondition(&next.Status.Conditions, readyCondition(object, f))
	} else {
		meta.RemoveStatusCondition(&next.Status.Conditions, v1beta1.ConditionReady)
	}
	host, foreign := r.foreignHost(object)
	setConflict(next, host, foreign)
	if len(next.Status.Conditions) == 0 {
		next.Status = v1beta1.IPAddressClaimStatus{}
	}
	return next
}

// sendEvents sends an event for each condition that has begun to report a problem.
func (r *Reconciler) sendEvents(object, next *v1beta1.IPAddressClaim) {
	for _, c := range next.Status.Conditions {
		bad := (c.Type == v1beta1.ConditionConflict) == (c.Status == metav1.ConditionTrue)
		before := meta.FindStatusCondition(object.Status.Conditions, c.Type)
		if bad && (before == nil || before.Reason != c.Reason) {
			r.Events.Eventf(object, nil, corev1.EventTypeWarning, c.Reason, "CheckClaim", "%s", bounded.Note(c.Message))
		}
	}
}

// claimFacts are what the view has about the address of a claim.
type claimFacts struct {
	pool     lb.PoolName // empty: no pool gives the address
	holders  []lb.ServiceKey
	reserved []lb.ServiceKey // the holders that do not use the address yet
	refused  []lb.ServiceKey // Services in spec.holders that cannot share the address with the holders in the view
}

func (r *Reconciler) gatherFacts(claim *v1beta1.IPAddressClaim) claimFacts {
	address, err := apiconv.ClaimAddress(claim)
	if err != nil {
		return claimFacts{} // the API server accepts no such claim
	}
	var f claimFacts
	f.pool, _ = r.Allocations.PoolOf(address)
	if _, pool, foreign := r.Allocations.ForeignHost(address); foreign {
		f.pool = pool // the pool that would give the address; the condition Conflict has the details
	}
	holders, _ := r.Allocations.Holders(address)
	for _, h := range holders {
		f.holders = append(f.holders, h.Service)
	}
	for _, holder := range claim.Spec.Holders {
		key := apiconv.HolderKey(holder)
		if _, kept := r.Allocations.HeldBy(key); slices.ContainsFunc(kept, func(h ipam.Holding) bool { return h.Address == address }) {
			f.reserved = append(f.reserved, key)
		}
		if slices.ContainsFunc(r.Allocations.RefusedAddresses(key), func(a netip.Addr) bool { return a == address }) {
			f.refused = append(f.refused, key)
		}
	}
	return f
}

// readyCondition returns the condition Ready of a claim.
func readyCondition(claim *v1beta1.IPAddressClaim, f claimFacts) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: claim.Generation}
	switch {
	case len(f.refused) > 0:
		c.Status, c.Reason = metav1.ConditionFalse, v1beta1.ReasonClaimHolderRefused
		c.Message = fmt.Sprintf("%s cannot have the address together with %s: remove one of these Services from spec.holders, or let the Services share the address (annotation lbstack.io/allow-shared-ip)", serviceNames(f.refused), serviceNames(f.holders))
	case f.pool == "" && len(f.holders) > len(f.reserved):
		c.Status, c.Reason = metav1.ConditionFalse, v1beta1.ReasonClaimOutsidePools
		c.Message = fmt.Sprintf("no pool gives %s any more, and the address is still in use by %s: add the address to a pool, or let the Service request another address", claim.Spec.Address, serviceNames(f.holders))
	case f.pool != "" && f.pool != lb.PoolName(claim.Spec.Pool) && len(f.holders) == len(f.reserved):
		c.Status, c.Reason = metav1.ConditionFalse, v1beta1.ReasonClaimWrongPool
		c.Message = fmt.Sprintf("%s is an address of the pool %q, but spec.pool is %q: the address stays reserved: correct spec.pool", claim.Spec.Address, f.pool, claim.Spec.Pool)
	case len(f.holders) > len(f.reserved):
		c.Reason, c.Message = v1beta1.ReasonClaimInUse, "the address is in use by "+serviceNames(f.holders)
	case f.pool == "":
		c.Status, c.Reason = metav1.ConditionFalse, v1beta1.ReasonClaimOutsidePools
		c.Message = fmt.Sprintf("no pool gives %s, so the claim reserves nothing: add the address to a pool, or delete the claim", claim.Spec.Address)
	case len(f.reserved) > 0:
		c.Reason, c.Message = v1beta1.ReasonClaimReserves, fmt.Sprintf("the address is reserved for %s, which does not use it yet", serviceNames(f.reserved))
	default:
		c.Reason, c.Message = v1beta1.ReasonClaimReserves, "the address is reserved, and no Service may have it: to give it to a Service, name the Service in spec.holders"
	}
	c.Message = bounded.Message(c.Message)
	return c
}

func serviceNames(keys []lb.ServiceKey) string {
	words := make([]string, 0, len(keys))
	for _, k := range keys {
		words = append(words, "the Service "+k.String())
	}
	return strings.Join(words, " and ")
}
