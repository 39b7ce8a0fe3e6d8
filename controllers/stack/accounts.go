package stack

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// accounts returns the UIDs of the ServiceAccounts of the components. They are removed with the
// installation, and another installation makes others, whose tokens only new pods get: the kubelet
// renews the token of a pod after most of an hour. An absent one has the UID that the component
// has: without it no pod starts.
func (r *Reconciler) accounts(ctx context.Context) (map[string]types.UID, error) {
	deployment, daemonSet, err := r.liveWorkloads(ctx)
	if err != nil {
		return nil, err
	}
	accounts := map[string]types.UID{}
	for component, template := range map[string]*corev1.PodTemplateSpec{"controller": &deployment.Spec.Template, "speaker": &daemonSet.Spec.Template} {
		account := &metav1.PartialObjectMetadata{}
		account.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
		key := client.ObjectKey{Namespace: r.Namespace, Name: "lbstack-" + component}
		err := r.Reader.Get(ctx, key, account)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("reading the ServiceAccount %s: %w", key, err)
		}
		accounts[component] = account.UID
		if err != nil {
			accounts[component] = types.UID(template.Annotations[v1beta1.AnnotationServiceAccount])
		}
	}
	return accounts, nil
}
