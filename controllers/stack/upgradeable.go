package stack

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
)

// operatorConditionKind is the kind with which an operator reports to the Operator Lifecycle Manager.
var operatorConditionKind = schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v2", Kind: "OperatorCondition"}

// conditionUpgradeable is the condition of an OperatorCondition that is False while OLM may not update the
// operator.
const conditionUpgradeable = "Upgradeable"

// upgradeableCondition returns the condition for OLM. OLM may not update the operator while an installation,
// a change or the removal is under way. If one of these fails, OLM may update the operator, since an update
// can end the failure. A report that could not be written does not count as such a failure.
func upgradeableCondition(conditions []metav1.Condition) metav1.Condition {
	progressing := meta.FindStatusCondition(conditions, v1beta1.ConditionProgressing)
	degraded := meta.FindStatusCondition(conditions, v1beta1.ConditionDegraded)
	fails := degraded != nil && degraded.Status == metav1.ConditionTrue && degraded.Reason != v1beta1.ReasonReportFailed
	if progressing == nil || progressing.Status != metav1.ConditionTrue || fails {
		return metav1.Condition{Type: conditionUpgradeable, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonAsExpected, Message: "the operator can be updated"}
	}
	message := "an installation, a change or the removal of lbstack is under way"
	if ready := meta.FindStatusCondition(conditions, v1beta1.ConditionReady); ready != nil {
		message += ": " + ready.Message
	}
	return metav1.Condition{Type: conditionUpgradeable, Status: metav1.ConditionFalse, Reason: progressing.Reason, Message: bounded.Cut(message, maxNoteBytes)}
}

// reportUpgradeable writes the condition for OLM if OLM has installed the operator, and if the status or the
// reason differs from what this process wrote last. The right to write this one object comes from OLM.
func (r *Reconciler) reportUpgradeable(ctx context.Context, conditions []metav1.Condition) error {
	now := upgradeableCondition(conditions)
	if r.OperatorCondition == "" || r.reported.Status == now.Status && r.reported.Reason == now.Reason {
		return nil
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(operatorConditionKind)
	if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.OperatorCondition}, object); apierrors.IsNotFound(err) {
		return nil // OLM creates it again, and may update the operator until then
	} else if err != nil {
		return fmt.Errorf("reading the OperatorCondition %s: %w", r.OperatorCondition, err)
	}
	before := object.DeepCopy()
	if err := setUpgradeable(object, now); err != nil {
		return fmt.Errorf("reading the OperatorCondition %s: %w", r.OperatorCondition, err)
	}
	if !equality.Semantic.DeepEqual(before, object) {
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, object, patch, client.FieldOwner(fieldOwner)); err != nil {
			return fmt.Errorf("writing the OperatorCondition %s: %w", r.OperatorCondition, err)
		}
	}
	r.reported = now
	return nil
}

// setUpgradeable sets the condition in spec.conditions of an OperatorCondition. Operators write their
// conditions there, and not into the status.
func setUpgradeable(object *unstructured.Unstructured, now metav1.Condition) error {
	var spec struct {
		Conditions []metav1.Condition `json:"conditions"`
	}
	content, _, err := unstructured.NestedMap(object.Object, "spec")
	if err != nil {
		return err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &spec); err != nil {
		return err
	}
	meta.SetStatusCondition(&spec.Conditions, now)
	written, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	if err != nil {
		return err
	}
	return unstructured.SetNestedField(object.Object, written["conditions"], "spec", "conditions")
}
