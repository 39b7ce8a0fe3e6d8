// Package config checks L2Advertisements, BGPAdvertisements, BFDProfiles and Communities with
// internal/validity, and writes into their condition Ready whether they are in effect. Controllers of other
// kinds use its functions for this condition and its events.
package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
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
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/validity"
)

// CheckedObject is an object from the cache, with the result of its check.
type CheckedObject[T client.Object] struct {
	Object T
	validity.Result
}

// pairResults pairs objects with their results.
func pairResults[O any, T interface {
	*O
	client.Object
}](objects []O, result func(T) validity.Result) []CheckedObject[T] {
	all := make([]CheckedObject[T], 0, len(objects))
	for i := range objects {
		all = append(all, CheckedObject[T]{Object: &objects[i], Result: result(&objects[i])})
	}
	return all
}

// StatusFields points to the fields of an object's status that the Reconciler writes.
type StatusFields struct {
	ObservedGeneration *int64
	Conditions         *[]metav1.Condition
}

// Reconciler writes the Ready conditions of all objects of a kind. It is the only
// writer of their status.
type Reconciler[T client.Object] struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Events records events on the objects.
	Events events.EventRecorder
	// Kind is the kind of the objects, for messages and for the controller's name.
	Kind string
	// Action is the action of the events.
	Action string
	// Check reads all objects of the kind and the objects that they depend on, and checks them.
	Check func(context.Context, client.Reader) ([]CheckedObject[T], error)
	// Status returns pointers to the status of an object.
	Status func(T) StatusFields
	// Watches are the other kinds of objects that the result depends on.
	Watches []WatchedKind

	// restoreLimiter delays the writes that restore a condition which another writer overwrites.
	restoreLimiter retry.RestoreLimiter[types.UID]
}

// WatchedKind is a kind of objects that a result depends on.
type WatchedKind struct {
	// Object is an empty object of the kind.
	Object client.Object
	// Changed passes the changes that can change the result.
	Changed predicate.Predicate
}

// addToManager adds the controller to the manager; object is an empty object of the kind.
func (r *Reconciler[T]) addToManager(mgr ctrl.Manager, object T) error {
	b := ctrl.NewControllerManagedBy(mgr).Named(strings.ToLower(r.Kind)).Watches(object, request.OnAnyChange(), builder.WithPredicates(r.specOrStatusChanged()))
	for _, w := range r.Watches {
		b = b.Watches(w.Object, request.OnAnyChange(), builder.WithPredicates(w.Changed))
	}
	if err := b.WithOptions(controller.Options{RateLimiter: &retry.Limiter{}}).Complete(r); err != nil {
		return fmt.Errorf("adding the controller of the kind %s: %w", r.Kind, err)
	}
	return nil
}

// specOrStatusChanged returns a predicate for changes of the spec and of the status. The status is included,
// since the controller restores it after a change by another writer.
func (r *Reconciler[T]) specOrStatusChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(T)
		now, also := e.ObjectNew.(T)
		return ok && also && (before.GetGeneration() != now.GetGeneration() || !equality.Semantic.DeepEqual(r.Status(before), r.Status(now)))
	}}
}

// Reconcile checks all objects of the kind together.
func (r *Reconciler[T]) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	list, err := r.Check(ctx, r.Client)
	if err != nil {
		return reconcile.Result{}, err
	}
	var failed []error
	var again reconcile.Result
	exist := map[types.UID]bool{}
	for _, checked := range list {
		exist[checked.Object.GetUID()] = true
		wait, err := r.writeStatus(ctx, checked)
		if err != nil {
			failed = append(failed, fmt.Errorf("writing the status of the %s %s: %w", r.Kind, checked.Object.GetName(), err))
		}
		again.RequeueAfter = backoff.ShorterWait(again.RequeueAfter, wait)
	}
	r.restoreLimiter.Retain(func(uid types.UID) bool { return exist[uid] })
	return again, errors.Join(failed...)
}

// writeStatus writes the status of an object if it has changed. If another writer undoes the write again and
// again, writeStatus does not write, and returns how long to wait before the next attempt.
func (r *Reconciler[T]) writeStatus(ctx context.Context, checked CheckedObject[T]) (wait time.Duration, err error) {
	before := checked.Object
	now := before.DeepCopyObject().(T)
	status := r.Status(now)
	*status.ObservedGeneration = now.GetGeneration()
	ready := ReadyCondition(checked.Result, now.GetGeneration())
	had := meta.FindStatusCondition(*r.Status(before).Conditions, ready.Type)
	meta.SetStatusCondition(status.Conditions, ready)
	same, wanted := equality.Semantic.DeepEqual(r.Status(before), status), fmt.Sprint(ready)
	if undone := r.restoreLimiter.Compare(now.GetUID(), wanted, same, time.Now()); same || undone.Wait > 0 {
		return undone.Wait, nil
	}
	if err := r.Client.Status().Patch(ctx, now, client.MergeFrom(before)); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	r.restoreLimiter.NoteWrite(now.GetUID(), wanted)
	if IsWorthEvent(had, ready) {
		r.Events.Eventf(before, nil, EventType(ready), ready.Reason, r.Action, "%s", bounded.Note(ready.Message))
	}
	return 0, nil
}

// ReadyCondition converts the result of a check into the condition Ready.
func ReadyCondition(v validity.Result, generation int64) metav1.Condition {
	c := metav1.Condition{
		Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: v.Reason, Message: bounded.Message(v.Message), ObservedGeneration: generation,
	}
	if v.Ready {
		c.Status = metav1.ConditionTrue
	}
	return c
}

// IsWorthEvent reports whether a condition Ready has changed in a way that requires an event: its reason or
// message is new.
func IsWorthEvent(before *metav1.Condition, now metav1.Condition) bool {
	return before == nil || before.Reason != now.Reason || before.Message != now.Message
}

// EventType returns the type of the event for a condition Ready.
func EventType(c metav1.Condition) string {
	if c.Status == metav1.ConditionTrue {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}
