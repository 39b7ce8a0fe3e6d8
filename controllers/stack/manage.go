package stack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/manifests"
)

// observeReason is why the operator only observes, and writes only the status of the stack.
type observeReason struct{ reason, message string }

// observeReasonOf returns why the operator only observes; nil: it also writes. The annotation takes
// precedence over the spec, since a person sets it by hand and for a limited time.
func observeReasonOf(stack *v1beta1.LoadBalancerStack) *observeReason {
	var r observeReason
	switch {
	case apiconv.IsPaused(stack):
		r = observeReason{v1beta1.ReasonPaused, "the annotation " + v1beta1.AnnotationPause + " is set: the operator only observes, and neither changes nor restores objects: remove the annotation to resume"}
	case stack.Spec.ManagementState == v1beta1.StackUnmanaged:
		r = observeReason{v1beta1.ReasonUnmanaged, "spec.managementState is Unmanaged: the operator only observes, and neither changes nor restores objects: set the field to Managed to resume"}
	default:
		return nil
	}
	if !stack.DeletionTimestamp.IsZero() {
		r.message += "; until then, the LoadBalancerStack is not deleted"
	}
	return &r
}

// maxHandledBytes is the maximum length of status.lastHandledReconcile, in bytes.
const maxHandledBytes = 128

// reconcileRequest returns the value of the annotation that requests a pass over all objects; empty if
// the last such pass was for the same value.
func reconcileRequest(stack *v1beta1.LoadBalancerStack) string {
	value := bounded.Cut(stack.Annotations[v1beta1.AnnotationReconcile], maxHandledBytes)
	if value == stack.Status.LastHandledReconcile {
		return ""
	}
	return value
}

// renderObjects returns the objects that the spec requests. It records invalid fields of the spec
// in f; if there is one, the objects must not be written.
func (r *Reconciler) renderObjects(spec v1beta1.LoadBalancerStackSpec, serviceMonitors bool, accounts map[string]types.UID, f *findings) ([]*unstructured.Unstructured, error) {
	wanted, err := manifests.Render(manifests.Options{Spec: spec, Image: r.Image, Namespace: r.Namespace, ServiceMonitors: serviceMonitors, Accounts: accounts})
	var invalid *manifests.InvalidError
	if !errors.As(err, &invalid) {
		return wanted, err
	}
	for _, field := range invalid.Fields {
		f.invalid = append(f.invalid, field.Error())
		f.addInvalidField(field.Path)
	}
	return wanted, nil
}

// observeOnly records the state of the wanted objects in f, and writes nothing. Meanwhile a rollout pauses:
// this time does not count towards the time limits of the rollout.
func (r *Reconciler) observeOnly(ctx context.Context, wanted []*unstructured.Unstructured, around *clusterState, f *findings) error {
	r.observed.since = time.Time{}
	var absent []string
	for _, object := range wanted {
		live, err := r.cachedObject(ctx, refOf(object))
		if err != nil {
			return err
		}
		if live == nil || !isLabelled(live) {
			absent = append(absent, describeObject(refOf(object)))
			if isWorkload(object) {
				f.components = append(f.components, unknownState(object, "it does not exist"))
			}
			continue
		}
		if err := f.addStatus(live, around); err != nil {
			return err
		}
	}
	if len(absent) > 0 {
		f.absent = fmt.Sprintf("%d objects of the stack do not exist: %s", len(absent), listNames(absent))
	}
	return nil
}
