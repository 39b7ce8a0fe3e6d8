package stack

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// accountUIDs returns the UIDs of the ServiceAccounts of the components, by component. The UIDs become part
// of the pod templates, so that the pods are replaced when an account is created again: otherwise the kubelet
// renews their tokens only after most of an hour. For an account that does not exist, accountUIDs returns the
// UID in the last templates: a change of the template would be useless then, since no pod starts without its
// account.
func (r *Reconciler) accountUIDs(ctx context.Context, last podTemplates) (map[string]types.UID, error) {
	accounts := map[string]types.UID{}
	for component, template := range map[string]map[string]any{"controller": last.Controller, "speaker": last.Speaker} {
		account := &metav1.PartialObjectMetadata{}
		account.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
		key := client.ObjectKey{Namespace: r.Namespace, Name: "lbstack-" + component}
		err := r.Reader.Get(ctx, key, account)
		switch {
		case err == nil:
			accounts[component] = account.UID
		case apierrors.IsNotFound(err):
			accounts[component] = types.UID(templateAccountUID(template))
		default:
			return nil, fmt.Errorf("reading the ServiceAccount %s: %w", key, err)
		}
	}
	return accounts, nil
}

// templateAccountUID returns the UID of the ServiceAccount in the annotation of a pod template; empty: the template
// does not have it.
func templateAccountUID(template map[string]any) string {
	uid, _, _ := unstructured.NestedString(template, "metadata", "annotations", v1beta1.AnnotationServiceAccount)
	return uid
}
