// Package servicecondition writes one condition of a Service. Several controllers have a
// condition of their own on the same Service: a write touches one item of the list and needs
// no lock, so that they do not make each other try again.
package servicecondition

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// Set brings the condition to what it should be at a time, if it differs from what the Service
// has, and reports whether it wrote. The time of the transition is set here.
func Set(ctx context.Context, c client.Client, svc *corev1.Service, now metav1.Condition, at time.Time) (changed bool, err error) {
	was := meta.FindStatusCondition(svc.Status.Conditions, now.Type)
	if was != nil && was.Status == now.Status && was.Reason == now.Reason && was.Message == now.Message && was.ObservedGeneration == now.ObservedGeneration {
		return false, nil
	}
	now.LastTransitionTime = metav1.NewTime(at)
	if was != nil && was.Status == now.Status {
		now.LastTransitionTime = was.LastTransitionTime
	}
	return true, patch(ctx, c, svc, now.Type, now)
}

// Remove removes the condition of the type, if the Service has it.
func Remove(ctx context.Context, c client.Client, svc *corev1.Service, conditionType string) error {
	if meta.FindStatusCondition(svc.Status.Conditions, conditionType) == nil {
		return nil
	}
	return patch(ctx, c, svc, conditionType, map[string]string{"$patch": "delete", "type": conditionType})
}

// patch changes one item of status.conditions: a strategic merge patch finds it by its type. A
// Service that is gone is no error.
func patch(ctx context.Context, c client.Client, svc *corev1.Service, conditionType string, item any) error {
	body, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{item}}})
	if err != nil {
		return fmt.Errorf("encoding the condition %s of the Service %s: %w", conditionType, apiconv.KeyOf(svc), err)
	}
	err = c.Status().Patch(ctx, svc.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, body))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the condition %s of the Service %s: %w", conditionType, apiconv.KeyOf(svc), err)
	}
	return nil
}
