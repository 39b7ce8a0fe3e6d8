package stack

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/manifests"
)

// monitoringInterval is how long until a pass checks again whether the API server has the kind
// ServiceMonitor, and whether somebody changed the ServiceMonitor. Neither is watched: the kind can
// come and go, and a watch on a kind that does not exist fails repeatedly.
const monitoringInterval = 30 * time.Second

// hasServiceMonitorKind reports whether the API server has the kind ServiceMonitor. If that cannot be read,
// it returns an error, and reports instead whether the inventory has a ServiceMonitor. The ServiceMonitor
// then stays, and the pass can go on.
func (r *Reconciler) hasServiceMonitorKind(inventory []v1beta1.ObjectReference) (bool, error) {
	if r.Kinds == nil {
		return false, nil
	}
	kind := manifests.ServiceMonitor()
	list, err := r.Kinds(kind.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		made := slices.ContainsFunc(inventory, func(ref v1beta1.ObjectReference) bool { return gvkOf(ref) == kind.GroupVersionKind })
		return made, fmt.Errorf("reading which kinds of %s the API server has: %w", kind.GroupVersion(), err)
	}
	return slices.ContainsFunc(list.APIResources, func(resource metav1.APIResource) bool { return resource.Kind == kind.Kind }), nil
}

// readUncached returns an object of a kind that is not watched; nil: it does not exist.
func (r *Reconciler) readUncached(ctx context.Context, ref v1beta1.ObjectReference) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
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

// isAbsent reports whether an error means that an object, or its kind, does not exist.
func isAbsent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }
