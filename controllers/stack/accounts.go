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

// accounts returns the UIDs of the ServiceAccounts of the components. They are removed with the
// installation, and another installation makes others, whose tokens only new pods get: the kubelet
// renews the token of a pod after most of an hour. Without one no pod starts, so that an absent one
// changes nothing: it has the UID that it has in the templates that were wanted last.
func (r *Reconciler) accounts(ctx context.Context, last templates) (map[string]types.UID, error) {
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
			uid, _, _ := unstructured.NestedString(template, "metadata", "annotations", v1beta1.AnnotationServiceAccount)
			accounts[component] = types.UID(uid)
		default:
			return nil, fmt.Errorf("reading the ServiceAccount %s: %w", key, err)
		}
	}
	return accounts, nil
}
