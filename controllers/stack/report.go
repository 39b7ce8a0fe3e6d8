package stack

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
)

// action is the word for what the operator was doing, in events.
const action = "ReconcileStack"

// maxNote is the bound of an event's note.
const maxNote = 1024

// report writes the status, if it says something new, and tells what changed.
func (r *Reconciler) report(ctx context.Context, stack *v1beta1.LoadBalancerStack, f findings) error {
	next := assess(stack.Status, f)
	if equality.Semantic.DeepEqual(stack.Status, next) {
		return nil
	}
	before := stack.DeepCopy()
	stack.Status = next
	if err := r.Client.Status().Patch(ctx, stack, optimistic(before)); err != nil {
		return fmt.Errorf("writing the status of the LoadBalancerStack %s: %w", stack.Name, err)
	}
	for _, e := range changes(before.Status.Conditions, next.Conditions) {
		r.Events.Eventf(stack, nil, e.kind, e.reason, action, "%s", e.note)
	}
	return nil
}

// change is an event to send.
type change struct {
	kind, reason, note string
}

// changes says which conditions turned: one event for each that has another
// status or another reason than before, told by the one that carries it.
func changes(before, now []metav1.Condition) []change {
	var list []change
	for _, watched := range []struct{ condition, good string }{
		{v1beta1.ConditionReady, "True"}, {v1beta1.ConditionDegraded, "False"},
	} {
		was, is := meta.FindStatusCondition(before, watched.condition), meta.FindStatusCondition(now, watched.condition)
		if is == nil || (was != nil && was.Status == is.Status && was.Reason == is.Reason) {
			continue
		}
		good := string(is.Status) == watched.good
		if watched.condition == v1beta1.ConditionDegraded && (good || toldByReady(is, now)) {
			continue
		}
		e := change{kind: corev1.EventTypeNormal, reason: is.Reason, note: bounded.Cut(is.Message, maxNote)}
		if !good && is.Reason != v1beta1.ReasonComponentsNotReady && is.Reason != v1beta1.ReasonRemoving {
			e.kind = corev1.EventTypeWarning
		}
		list = append(list, e)
	}
	return list
}

// toldByReady says whether the Ready condition tells the same as another one.
func toldByReady(condition *metav1.Condition, all []metav1.Condition) bool {
	ready := meta.FindStatusCondition(all, v1beta1.ConditionReady)
	return ready != nil && ready.Reason == condition.Reason
}
