// Package pool reads the IPAddressPools into the view of allocations, and writes the status of each pool:
// whether the pool gives its addresses, how many are in use, and which problems there are. It is the only
// writer of this status.
package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/controllers/metrics"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/validity"
)

const (
	// usageDelay delays a reconcile after a change of a claim, so that several changes cause one reconcile.
	usageDelay = time.Second
	// recheckDelay is the longest time until the next reconcile. It is needed since this controller does not
	// watch the labels of Services and namespaces, which decide whether Services may keep their addresses.
	recheckDelay = 30 * time.Second
)

// Reconciler writes the status of the IPAddressPools, and sets the pools of the view of allocations.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Events sends events about pools.
	Events events.EventRecorder
	// Allocations is the view that gets the pools.
	Allocations *allocations.View
	// Load fills the view, on its first call. Each reconcile calls it before it reads the view.
	Load func(context.Context) error
	// Metrics counts conflicts; nil: none are counted.
	Metrics *metrics.Metrics
	// Now is the clock; nil: time.Now.
	Now func() time.Time

	// hosts are the foreign hosts that use addresses of the pools; nil before the first reconcile. They are
	// not read again from the status of the pools, since the cache may lack the last write of this status.
	hosts map[netip.Addr]foreignHost
	// losses has the times at which pools lost addresses to foreign hosts; nil before the first reconcile.
	losses ipam.Losses
	// restoreLimiter delays the writes that restore a status which another writer overwrites.
	restoreLimiter retry.RestoreLimiter[types.UID]
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// SetupWithManager starts the controller with the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	onAny := request.OnAnyChange()
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	b := ctrl.NewControllerManagedBy(mgr).
		Named("pool").
		Watches(&v1beta1.IPAddressPool{}, onAny, builder.WithPredicates(predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, statusChanged))).
		Watches(&corev1.Node{}, onAny, builder.WithPredicates(nodeChanged)).
		Watches(&v1beta1.L2Advertisement{}, onAny, builder.WithPredicates(predicate.GenerationChangedPredicate{})). // see readTrustRules, readAnnouncementObjects
		Watches(&v1beta1.BGPAdvertisement{}, onAny, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1beta1.BGPPeer{}, onAny, changed).                                                          // without peers nothing is announced by BGP
		Watches(&v1beta1.Community{}, onAny, builder.WithPredicates(predicate.GenerationChangedPredicate{})). // they decide whether BGPAdvertisements are valid
		Watches(&v1beta1.SpeakerState{}, onAny, builder.WithPredicates(reportChanged)).
		Watches(&v1beta1.IPAddressClaim{}, request.OnAnyChangeLater(usageDelay))
	kind := networkingv1.SchemeGroupVersion.WithKind("ServiceCIDR")
	switch _, err := mgr.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version); {
	case err == nil:
		b = b.Watches(&networkingv1.ServiceCIDR{}, onAny, changed)
	case !meta.IsNoMatchError(err):
		return fmt.Errorf("finding out whether the API server has the kind ServiceCIDR: %w", err)
	}
	return b.WithOptions(controller.Options{RateLimiter: &retry.Limiter{}}).Complete(r)
}

// statusChanged is a predicate for changes of the status, since the controller restores the status after a
// change by another writer.
var statusChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1beta1.IPAddressPool)
	now, also := e.ObjectNew.(*v1beta1.IPAddressPool)
	return ok && also && !equality.Semantic.DeepEqual(before.Status, now.Status)
}}

// reportChanged is a predicate for changes of a speaker's conflicts with foreign hosts, or of its interfaces.
var reportChanged = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return hasReport(e.Object) },
	DeleteFunc: func(e event.DeleteEvent) bool { return hasReport(e.Object) },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1beta1.SpeakerState)
		now, also := e.ObjectNew.(*v1beta1.SpeakerState)
		return ok && also && (!equality.Semantic.DeepEqual(before.Status.Conflicts, now.Status.Conflicts) ||
			!equality.Semantic.DeepEqual(before.Status.Interfaces, now.Status.Interfaces))
	},
}

func hasReport(object client.Object) bool {
	state, ok := object.(*v1beta1.SpeakerState)
	return ok && len(state.Status.Conflicts)+len(state.Status.Interfaces) > 0
}

// nodeChanged is a predicate for changes of the addresses or the podCIDRs of a node.
var nodeChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Node)
	now, also := e.ObjectNew.(*corev1.Node)
	return !ok || !also || !slices.Equal(apiconv.NodeAddresses(before), apiconv.NodeAddresses(now)) || !slices.Equal(before.Spec.PodCIDRs, now.Spec.PodCIDRs)
}}

// Reconcile sets the pools of the view, and writes the status of all pools together.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	if err := r.Load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	var list v1beta1.IPAddressPoolList
	if err := r.Client.List(ctx, &list); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the IPAddressPools: %w", err)
	}
	taken, err := ReadTakenRanges(ctx, r.Client)
	if err != nil {
		return reconcile.Result{}, err
	}
	at := r.now()
	known := r.hosts
	if known == nil {
		known, r.losses = storedHosts(list.Items), storedLosses(list.Items, at)
	}
	now, err := readForeignReports(ctx, r.Client, list.Items, known, at)
	if err != nil {
		return reconcile.Result{}, err
	}
	hosts := rememberHosts(known, now, at)
	limitLosses(hosts, known, list.Items, r.losses, at)
	pools, results := validity.Pools(list.Items, append(taken, takenHostRanges(hosts)...))
	r.hosts = hostsInPools(hosts, pools)
	around, err := readAnnouncementObjects(ctx, r.Client)
	if err != nil {
		return reconcile.Result{}, err
	}
	for i := range list.Items {
		p := apiconv.AdvertisedPool(&list.Items[i])
		results[p.Name] = results[p.Name].WithSubnetWarning(around.UnreachedFamilies(&p))
	}
	for _, p := range pools {
		v := results[p.Name]
		v.Foreign, v.Losses = foreignStatus(p, hosts), r.losses.Recent(p.Name, at)
		results[p.Name] = v
	}
	again := reconcile.Result{RequeueAfter: r.untilNextReconcile()}
	if r.Allocations.SetPools(pools) {
		again.RequeueAfter = usageDelay // by then, most of the Services that SetPools woke are reconciled
	}
	states := r.Allocations.PoolStates()
	conflicts := map[lb.PoolName]int{}
	var failed []error
	exist := map[types.UID]bool{}
	for i := range list.Items {
		object := &list.Items[i]
		exist[object.UID] = true
		name := lb.PoolName(object.Name)
		for _, c := range results[name].Conflicts {
			if c.As == "" {
				conflicts[name]++
			}
		}
		wait, err := r.writeStatus(ctx, object, results[name], states[name])
		if err != nil {
			failed = append(failed, fmt.Errorf("writing the status of the IPAddressPool %s: %w", object.Name, err))
		}
		if wait > 0 {
			again.RequeueAfter = min(again.RequeueAfter, wait)
		}
	}
	r.restoreLimiter.Retain(func(uid types.UID) bool { return exist[uid] })
	r.Metrics.SetPoolConflicts(conflicts)
	return again, errors.Join(failed...)
}

// untilNextReconcile returns how long until the next reconcile if no watched object changes.
func (r *Reconciler) untilNextReconcile() time.Duration {
	if end := nextReturnTime(r.hosts); !end.IsZero() {
		return max(time.Millisecond, min(recheckDelay, end.Sub(r.now())))
	}
	return recheckDelay
}

// writeStatus writes the status of a pool if it has changed. If another writer undoes the write again and
// again, writeStatus does not write, and returns how long to wait before the next attempt.
func (r *Reconciler) writeStatus(ctx context.Context, object *v1beta1.IPAddressPool, result validity.PoolResult, state ipam.PoolState) (wait time.Duration, err error) {
	next := desiredStatus(object, result, state)
	wanted, err := statusFingerprint(object, result, state)
	if err != nil {
		return 0, err
	}
	same := equality.Semantic.DeepEqual(object.Status, next)
	if undone := r.restoreLimiter.Compare(object.UID, wanted, same, r.now()); same || undone.Wait > 0 {
		return undone.Wait, nil
	}
	updated := object.DeepCopy()
	updated.Status = next
	if err := r.Client.Status().Patch(ctx, updated, client.MergeFrom(object)); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	r.restoreLimiter.NoteWrite(object.UID, wanted)
	for _, now := range next.Conditions {
		before := meta.FindStatusCondition(object.Status.Conditions, now.Type)
		if isWorthEvent(before, now) {
			r.Events.Eventf(object, nil, eventType(now), now.Reason, "CheckPool", "%s", bounded.Note(now.Message))
		}
	}
	return 0, nil
}

// statusFingerprint returns everything that the controller writes to the status of a pool, as text. The text
// depends neither on the present status nor on the time.
func statusFingerprint(object *v1beta1.IPAddressPool, result validity.PoolResult, state ipam.PoolState) (string, error) {
	own := desiredStatus(&v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Generation: object.Generation}}, result, state)
	for i := range own.Conditions {
		own.Conditions[i].LastTransitionTime = metav1.Time{}
	}
	text, err := json.Marshal(own)
	return string(text), err
}

// isWorthEvent reports whether a condition has changed in a way that requires an event. A new condition
// requires one if its type is Ready, or if it reports a problem.
func isWorthEvent(before *metav1.Condition, now metav1.Condition) bool {
	if before == nil {
		return now.Type == v1beta1.ConditionReady || isBad(now)
	}
	if now.Type == v1beta1.ConditionReady {
		return before.Reason != now.Reason || before.Message != now.Message
	}
	return before.Status != now.Status || (now.Type == v1beta1.ConditionConflict && before.Reason != now.Reason)
}

func isBad(c metav1.Condition) bool {
	return (c.Type == v1beta1.ConditionReady) != (c.Status == metav1.ConditionTrue)
}

func eventType(c metav1.Condition) string {
	if isBad(c) {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}
