package stack

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestAccounts(t *testing.T) {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "system", Name: name}
	}
	account := func(name string, uid types.UID) client.Object {
		a := &corev1.ServiceAccount{ObjectMeta: meta(name)}
		a.UID = uid
		return a
	}
	// The DaemonSet has the templates of the revision before: a rollout is under way.
	speakers := &appsv1.DaemonSet{ObjectMeta: meta("lbstack-speaker")}
	speakers.Spec.Template.Annotations = map[string]string{v1beta1.AnnotationServiceAccount: "former"}
	last := podTemplates{Speaker: map[string]any{"metadata": map[string]any{"annotations": map[string]any{v1beta1.AnnotationServiceAccount: "last"}}}}
	refused := errors.New("refused")
	for _, tc := range []struct {
		name    string
		objects []client.Object
		fails   error
		want    map[string]types.UID
	}{
		{"first installation", []client.Object{account("lbstack-controller", "c"), account("lbstack-speaker", "s")}, nil, map[string]types.UID{"controller": "c", "speaker": "s"}},
		{"made again", []client.Object{speakers, account("lbstack-controller", "c"), account("lbstack-speaker", "s")}, nil, map[string]types.UID{"controller": "c", "speaker": "s"}},
		{"absent one is that of the revision that was wanted last", []client.Object{speakers, account("lbstack-controller", "c")}, nil, map[string]types.UID{"controller": "c", "speaker": "last"}},
		{"absent one that no revision had is none", nil, nil, map[string]types.UID{"controller": "", "speaker": "last"}},
		{"cannot be read", nil, refused, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := errors.Join(corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme)); err != nil {
				t.Fatal(err)
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(tc.objects...).WithInterceptorFuncs(interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
					if _, is := object.(*metav1.PartialObjectMetadata); is && tc.fails != nil {
						return tc.fails
					}
					return c.Get(ctx, key, object, options...)
				},
			}).Build()
			r := &Reconciler{Client: c, Reader: c, Namespace: "system"}
			got, err := r.accountUIDs(t.Context(), last)
			if diff := cmp.Diff(tc.want, got); diff != "" || !errors.Is(err, tc.fails) {
				t.Errorf("error %v, want %v; UIDs (-want +got):\n%s", err, tc.fails, diff)
			}
		})
	}
}
