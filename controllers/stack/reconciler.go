// Package stack installs and maintains what the LoadBalancerStack requests. Each pass gathers the
// state of the cluster, decides what to do, does it, and reports the result in the status.
package stack

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/preflight"
)

const (
	// eventsInterval is the time until the events of a component that is not settled are read again. It is
	// needed since events are not watched.
	eventsInterval = 10 * time.Second
	// foreignRetryInterval is the time until the operator tries again to write an object that belongs to
	// somebody else, or that the API server refuses. No watch shows when such a write can succeed.
	foreignRetryInterval = 10 * time.Second
)

// Reconciler writes everything that a LoadBalancerStack requests, and the stack's status.
type Reconciler struct {
	// Client reads the stack from the cache and writes to the API server.
	Client client.Client
	// Reader reads from the API server itself: the cache lacks objects without
	// the operator's label, and has only parts of objects with this label.
	Reader client.Reader
	// Events records events on the stack, and on objects that were made for it.
	Events events.EventRecorder
	// Image is the image with the programs of the components.
	Image string
	// Namespace is the namespace of the operator, where the components run.
	Namespace string
	// Version is the version of the components in the image.
	Version string
	// OperatorCondition is the name of the OperatorCondition that the Operator Lifecycle Manager (OLM) made
	// for the operator, in the operator's namespace; empty: OLM did not install the operator.
	OperatorCondition string
	// Drift counts the objects that are restored; nil counts nothing.
	Drift *Drift
	// Kubernetes returns the version of the API server.
	Kubernetes func() (*apiversion.Info, error)
	// Schemas reads the schemas of lbstack's kinds from the API server, by kind.
	Schemas func(context.Context) (map[string]*preflight.Schema, error)
	// Kinds returns the kinds that the API server has in a version of a group; nil: the operator never
	// creates a ServiceMonitor.
	Kinds func(groupVersion string) (*metav1.APIResourceList, error)

	applied    applyRecords
	observed   rolloutObservations
	conflicts  retry.Limiter
	finalizers retry.RestoreLimiter[types.UID]
	passwords  client.Reader                // the cache that has the Secret with the passwords
	needed     map[string]*preflight.Schema // the fields that this version uses, by kind
	reported   metav1.Condition             // the condition that this process last wrote to the OperatorCondition
	fits       bool                         // all checks of checkPreflight have passed
}

// Reconcile installs, maintains or removes what the only stack in the cluster requests.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	stack := &v1beta1.LoadBalancerStack{}
	if err := r.Client.Get(ctx, request.NamespacedName, stack); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, r.reportUpgradeable(ctx, nil) // there is no status to report an error in
		}
		return reconcile.Result{}, fmt.Errorf("reading the LoadBalancerStack %s: %w", request.Name, err)
	}
	var result reconcile.Result
	var err error
	removes := !stack.DeletionTimestamp.IsZero() || stack.Spec.ManagementState == v1beta1.StackRemoved
	if removes && observeReasonOf(stack) == nil {
		result, err = r.remove(ctx, stack)
	} else {
		result, err = r.runAndReport(ctx, stack)
	}
	if apierrors.IsConflict(err) {
		// The cache lacks a write of another writer, or of the last pass.
		return reconcile.Result{RequeueAfter: r.conflicts.When(request)}, nil
	}
	r.conflicts.Forget(request)
	return result, err
}

// runAndReport runs a pass, and reports the result in the status. It reports nothing if the pass ended
// early because the stack had changed.
func (r *Reconciler) runAndReport(ctx context.Context, stack *v1beta1.LoadBalancerStack) (reconcile.Result, error) {
	f := findings{generation: stack.Generation, spec: stack.Spec, version: r.Version, inventory: stack.Status.Inventory, restraint: observeReasonOf(stack),
		monitored: r.Kinds != nil && stack.Spec.Monitoring != v1beta1.MonitoringDisabled}
	if f.handled = reconcileRequest(stack); f.handled != "" && f.restraint == nil {
		r.applied, r.fits = applyRecords{}, false
	}
	failed := r.runPass(ctx, stack, &f)
	if f.endedEarly() && apierrors.IsConflict(failed) {
		return reconcile.Result{}, failed // the next pass reads the changed stack
	}
	if failed = errors.Join(failed, r.writeReport(ctx, stack, &f)); failed != nil {
		return reconcile.Result{}, failed // tried again with backoff
	}
	return reconcile.Result{RequeueAfter: untilNextPass(f)}, nil
}

// runPass writes the wanted objects, deletes those that are no longer wanted, and records in f what it
// found.
func (r *Reconciler) runPass(ctx context.Context, stack *v1beta1.LoadBalancerStack, f *findings) error {
	// The time in which an object cannot be read does not count towards the time limits of a rollout.
	blind := func(err error) error {
		f.ended = true
		r.observed.noteAnswer(err, time.Now())
		return f.addFailure(earlyEndReason(err), err)
	}
	revisions, err := r.storedRevisions(ctx)
	if err != nil {
		return blind(err)
	}
	if f.unfit, err = r.checkPreflight(ctx, stack, revisions); err != nil {
		return blind(err)
	}
	if f.unfit != nil {
		ctrllog.FromContext(ctx).Info("the operator changes nothing in this cluster", "why", f.unfit.message)
		r.observed.since = time.Time{} // this time does not count towards the time limits of a rollout
		return nil
	}
	serviceMonitors, err := r.hasServiceMonitorKind(stack.Status.Inventory)
	failed := []error{f.addFailure(v1beta1.ReasonApplyFailed, err)}
	r.loadRolloutState(stack)
	accounts, err := r.accountUIDs(ctx, revisions[r.observed.stored.Revision])
	if err != nil {
		return blind(err)
	}
	wanted, err := r.renderObjects(stack.Spec, serviceMonitors, accounts, f)
	if err != nil {
		f.renderFailed = err.Error()
		return nil
	}
	around, err := r.observe(ctx, wanted)
	if err != nil {
		return blind(err)
	}
	if f.writesNothing() {
		if err := r.observeOnly(ctx, wanted, around, f); err != nil {
			return blind(err)
		}
		return errors.Join(append(failed, r.examineProblems(ctx, stack, around, f))...)
	}
	if err := r.addFinalizer(ctx, stack, f); err != nil {
		return blind(err)
	}
	stored, err := r.decideMeshKeys(ctx, stack, wanted, around, f)
	if err != nil {
		return blind(err)
	}
	r.observed.noteAnswer(nil, time.Now())
	change, wanted, err := r.rollOut(ctx, stack, wanted, revisions, around, f)
	if err != nil {
		return blind(err)
	}
	steps := planPass(wanted, r.lookUpWanted(ctx, wanted), stack.Status.Inventory)
	f.foreign = steps.foreign
	if err := r.recordInventory(ctx, stack, steps.inventory); err != nil {
		return blind(err)
	}
	failed = append(failed, r.applyObjects(ctx, stack, steps, wanted, around, f, stored)...)
	r.applied.retainOnly(wanted)
	failed = append(failed, f.addFailure(v1beta1.ReasonApplyFailed, r.deleteReplacedPods(ctx, &change, steps, f)))
	gone, err := r.deleteUnwanted(ctx, steps.prune)
	failed = append(failed, f.addFailure(v1beta1.ReasonApplyFailed, err))
	f.inventory = withoutObjects(steps.inventory, gone)
	if !f.unapplied && err == nil && f.restore == 0 {
		r.observed.applied = stack.Generation
	}
	failed = append(failed, f.addFailure(v1beta1.ReasonApplyFailed, r.deleteVacatedReports(ctx, around, f)))
	return errors.Join(append(failed, r.examineProblems(ctx, stack, around, f))...)
}

// stackWriteError is a failed write of the stack itself. The pass must not go on after it.
type stackWriteError struct{ error }

// Unwrap returns the error of the request.
func (e stackWriteError) Unwrap() error { return e.error }

// earlyEndReason returns the reason for a pass that ends with an error before it applies anything.
func earlyEndReason(err error) string {
	if errors.As(err, &stackWriteError{}) {
		return v1beta1.ReasonApplyFailed
	}
	return v1beta1.ReasonReadFailed
}

// untilNextPass returns how long until the next pass if no watch requests one before; 0: none is needed.
func untilNextPass(f findings) time.Duration {
	var soonest time.Duration
	for _, look := range []struct {
		needed bool
		after  time.Duration
	}{
		{f.unfit != nil, preflightInterval}, {f.unfit != nil && f.unfit.reason == v1beta1.ReasonCRDsOutdated, foreignRetryInterval}, {!f.endedEarly() && !allSettled(f.components), eventsInterval}, {len(f.foreign) > 0, foreignRetryInterval},
		{f.hasRefusal(), foreignRetryInterval}, {f.services.again > 0, f.services.again}, {f.keys.Again > 0, f.keys.Again},
		{f.restore > 0, f.restore}, {f.leftBehind > 0, f.leftBehind}, {f.monitored, monitoringInterval}, {f.rollout.untilNextDecision() > 0, f.rollout.untilNextDecision()},
	} {
		if look.needed {
			soonest = shorterWait(soonest, look.after)
		}
	}
	return soonest
}

// shorterWait returns the shorter of two waits; a wait of 0 does not count.
func shorterWait(x, y time.Duration) time.Duration {
	if x == 0 || y > 0 && y < x {
		return y
	}
	return x
}

// addFinalizer adds the finalizer, which keeps the stack from being deleted before the objects that were made
// for it. If another writer removes the finalizer again and again, the pass goes on without it, and
// addFinalizer records in f how long to wait before the next attempt.
func (r *Reconciler) addFinalizer(ctx context.Context, stack *v1beta1.LoadBalancerStack, f *findings) error {
	const wanted = "finalizer"
	has := controllerutil.ContainsFinalizer(stack, v1beta1.StackFinalizer)
	undone := r.finalizers.Compare(stack.UID, wanted, has, time.Now())
	if has || undone.Wait > 0 {
		f.restore = shorterWait(f.restore, undone.Wait)
		return nil
	}
	before := stack.DeepCopy()
	controllerutil.AddFinalizer(stack, v1beta1.StackFinalizer)
	if err := r.Client.Patch(ctx, stack, optimisticPatch(before)); err != nil {
		return stackWriteError{fmt.Errorf("adding the finalizer to the LoadBalancerStack %s: %w", stack.Name, err)}
	}
	r.finalizers.NoteWrite(stack.UID, wanted)
	return nil
}

// lookUpWanted looks up the wanted objects in the cluster. If an object cannot be read, the others are looked
// up nevertheless.
func (r *Reconciler) lookUpWanted(ctx context.Context, wanted []*unstructured.Unstructured) map[v1beta1.ObjectReference]lookUpResult {
	live := map[v1beta1.ObjectReference]lookUpResult{}
	for _, object := range wanted {
		at, err := r.findCachedFirst(ctx, object)
		if err != nil {
			at = lookUpResult{unread: err}
		}
		live[refOf(object)] = at
	}
	return live
}

// findCachedFirst looks an object up in the cache and, unless it is unchanged there, in the API server.
func (r *Reconciler) findCachedFirst(ctx context.Context, object *unstructured.Unstructured) (lookUpResult, error) {
	cached, err := r.cachedObject(ctx, refOf(object))
	if err != nil {
		return lookUpResult{}, err
	}
	if cached != nil && r.applied.isUnchanged(object, cached) {
		return lookUpResult{exists: true, ours: true, unchanged: cached}, nil
	}
	at, err := r.readMetadata(ctx, refOf(object))
	if err != nil {
		return lookUpResult{}, err
	}
	return lookUpResult{exists: at != nil, ours: at != nil && isOurs(at), read: at}, nil
}

// readMetadata reads an object's metadata from the API server; nil: the object does not exist.
func (r *Reconciler) readMetadata(ctx context.Context, ref v1beta1.ObjectReference) (*metav1.PartialObjectMetadata, error) {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(gvkOf(ref))
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, object)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", describeObject(ref), err)
	}
	return object, nil
}

// optimisticPatch returns a merge patch that fails if the object has changed since it was
// read.
func optimisticPatch(before client.Object) client.Patch {
	return client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
}
