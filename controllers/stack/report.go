package stack

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
)

// eventAction is the action of the events.
const eventAction = "ReconcileStack"

// maxNoteBytes is the maximum length of an event's note, in bytes.
const maxNoteBytes = 1024

// writeReport writes the condition for the Operator Lifecycle Manager (OLM), and then the status if it has
// changed. It sends an event if the condition Ready has changed.
func (r *Reconciler) writeReport(ctx context.Context, stack *v1beta1.LoadBalancerStack, f *findings) error {
	next := buildStatus(stack.Status, *f)
	unreported := r.reportUpgradeable(ctx, next.Conditions)
	if unreported != nil && !apierrors.IsConflict(unreported) {
		if f.removed { // everything is deleted, but the removal ends only when the condition for OLM is written
			f.removed, f.removing = false, new("")
		}
		unreported = f.addFailure(v1beta1.ReasonReportFailed, unreported)
		next = buildStatus(stack.Status, *f)
	}
	if equality.Semantic.DeepEqual(stack.Status, next) {
		return unreported
	}
	before := stack.DeepCopy()
	stack.Status = next
	if err := r.Client.Status().Patch(ctx, stack, optimisticPatch(before)); err != nil {
		return errors.Join(unreported, fmt.Errorf("writing the status of the LoadBalancerStack %s: %w", stack.Name, err))
	}
	for _, e := range readyEvents(before.Status.Conditions, next.Conditions) {
		r.Events.Eventf(stack, nil, e.kind, e.reason, eventAction, "%s", e.note)
	}
	return unreported
}

// readyEvent is an event to send.
type readyEvent struct {
	kind, reason, note string
}

// readyEvents returns an event if the status or the reason of the condition Ready has changed. One event is
// enough, since the message of Ready has the sentences of all other conditions.
func readyEvents(before, now []metav1.Condition) []readyEvent {
	was, is := meta.FindStatusCondition(before, v1beta1.ConditionReady), meta.FindStatusCondition(now, v1beta1.ConditionReady)
	if is == nil || (was != nil && was.Status == is.Status && was.Reason == is.Reason) {
		return nil
	}
	e := readyEvent{kind: corev1.EventTypeWarning, reason: is.Reason, note: bounded.Cut(is.Message, maxNoteBytes)}
	switch is.Reason {
	case v1beta1.ReasonReady, v1beta1.ReasonComponentsNotReady, v1beta1.ReasonRollingOut, v1beta1.ReasonRemoving, v1beta1.ReasonRemoved, v1beta1.ReasonPaused, v1beta1.ReasonUnmanaged:
		e.kind = corev1.EventTypeNormal
	}
	return []readyEvent{e}
}
