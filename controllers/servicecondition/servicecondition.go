// Package servicecondition writes one condition of a Service. Several controllers use it, each for a
// different condition of the same Service. Their writes do not conflict, since a write changes only one item
// of the list and does not depend on the resourceVersion. If another writer undoes a write, the next write
// waits for a back-off.
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

// Writer writes the conditions of one type. It is safe for concurrent use for different Services.
type Writer struct {
	// Client writes to the API server.
	Client client.Client
	// Type is the type of the conditions.
	Type string

	restoreLimiter retry.RestoreLimiter[lb.ServiceKey]
}

// Result is the result of Writer.Set.
type Result struct {
	// Written means that the condition had changed, and was written.
	Written bool
	// Wait is how long to wait before the next attempt, since another writer undoes the writes; zero: no
	// further attempt is needed.
	Wait time.Duration
}

// Set writes the condition that the parameter now has, or removes the condition of this type if the parameter
// is nil. It writes nothing if the Service is already in that state. If the status of the condition changes,
// its transition time is the parameter at.
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

// Forget removes the record of a Service that was deleted, or that should no longer have the condition.
func (w *Writer) Forget(key lb.ServiceKey) { w.restoreLimiter.Forget(key) }

// patch changes one item of status.conditions, which a strategic merge patch finds by its type. It returns no
// error if the Service does not exist any more.
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
