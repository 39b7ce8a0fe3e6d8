// Package servicecondition writes one condition of a Service. Several controllers each write a
// condition of their own on the same Service. A write changes one item of the list for any
// resourceVersion, so that the writes do not conflict. If another writer undoes a write, the next
// one waits for a back-off.
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

	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// Writer writes the conditions of one type. It is safe for concurrent use about different
// Services.
type Writer struct {
	// Client writes to the API server.
	Client client.Client
	// Type of the conditions.
	Type string

	restoreLimiter retry.RestoreLimiter[lb.ServiceKey]
}

// Result of a call of Writer.
type Result struct {
	// Written means that the condition had changed, and was written.
	Written bool
	// Wait is how long until the next attempt, if another writer undoes the writes; zero: none is
	// needed.
	Wait time.Duration
}

// Set writes the condition, or removes it if now is nil, unless the Service has it so already. If
// the status of the condition changes, the given time becomes its transition time.
func (w *Writer) Set(ctx context.Context, svc *corev1.Service, now *metav1.Condition, at time.Time) (Result, error) {
	key, was := apiconv.KeyOf(svc), meta.FindStatusCondition(svc.Status.Conditions, w.Type)
	var item any = map[string]string{"$patch": "delete", "type": w.Type}
	wanted, same := "none", was == nil
	if now != nil {
		next := *now
		next.Type = w.Type
		wanted = fmt.Sprintf("%s %s %d %s", next.Status, next.Reason, next.ObservedGeneration, next.Message)
		same = was != nil && was.Status == next.Status && was.Reason == next.Reason && was.Message == next.Message && was.ObservedGeneration == next.ObservedGeneration
		next.LastTransitionTime = metav1.NewTime(at)
		if was != nil && was.Status == next.Status {
			next.LastTransitionTime = was.LastTransitionTime
		}
		item = next
	}
	undone := w.restoreLimiter.Compare(key, wanted, same, at)
	if same || undone.Wait > 0 {
		return Result{Wait: undone.Wait}, nil
	}
	if err := w.patch(ctx, svc, item); err != nil {
		return Result{}, err
	}
	w.restoreLimiter.NoteWrite(key, wanted)
	return Result{Written: true}, nil
}

// Forget forgets a Service that is gone, or is to have no condition any more.
func (w *Writer) Forget(key lb.ServiceKey) { w.restoreLimiter.Forget(key) }

// patch changes one item of status.conditions: a strategic merge patch finds it by its type. A
// Service that is gone is no error.
func (w *Writer) patch(ctx context.Context, svc *corev1.Service, item any) error {
	body, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{item}}})
	if err != nil {
		return fmt.Errorf("encoding the condition %s of the Service %s: %w", w.Type, apiconv.KeyOf(svc), err)
	}
	err = w.Client.Status().Patch(ctx, svc.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, body))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the condition %s of the Service %s: %w", w.Type, apiconv.KeyOf(svc), err)
	}
	return nil
}
