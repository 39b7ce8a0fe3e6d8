package stack

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// Another writer edits or deletes an object each time that the operator has applied it: it is answered under a
// back-off, and a change of what is wanted is applied at once.
func TestApply_BacksOffAgainstAnotherWriter(t *testing.T) {
	const period = 200 * time.Millisecond
	for name, undo := range map[string]func(context.Context, client.Client, *corev1.ConfigMap) error{
		"edits": func(ctx context.Context, c client.Client, m *corev1.ConfigMap) error {
			m.Data = map[string]string{"foreign": "x"}
			return c.Update(ctx, m)
		},
		"deletes": func(ctx context.Context, c client.Client, m *corev1.ConfigMap) error {
			return client.IgnoreNotFound(c.Delete(ctx, m))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scheme := runtime.NewScheme()
				if err := corev1.AddToScheme(scheme); err != nil {
					t.Fatal(err)
				}
				writes := 0
				c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
					Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
						writes++
						return c.Apply(ctx, object, options...)
					},
				}).Build()
				r := &Reconciler{Client: c, Reader: c, Events: &events.FakeRecorder{}}
				stack := &v1beta1.LoadBalancerStack{}
				pass := func(value string) time.Duration {
					t.Helper()
					object := objectOf(ref("", "v1", "ConfigMap", "there", "it"))
					object.SetLabels(map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator})
					object.Object["data"] = map[string]any{"key": value}
					wanted := []*unstructured.Unstructured{object}
					f := &findings{}
					steps := planPass(wanted, r.lookUpWanted(t.Context(), wanted), nil)
					if failed := r.applyObjects(t.Context(), stack, steps, wanted, &clusterState{}, f, storedKeySecret{}); len(failed) > 0 {
						t.Fatal(failed)
					}
					r.applied.retainOnly(wanted)
					return f.restore
				}
				pass("one")
				if pass("one"); writes != 1 {
					t.Errorf("writes of an object that nobody changes: got %d, want 1", writes)
				}
				for range int(time.Minute / period) {
					m := &corev1.ConfigMap{}
					m.Namespace, m.Name = "there", "it"
					if err := client.IgnoreNotFound(c.Get(t.Context(), client.ObjectKeyFromObject(m), m)); err != nil {
						t.Fatal(err)
					}
					if m.Data["key"] != "" {
						if err := undo(t.Context(), c, m); err != nil {
							t.Fatal(err)
						}
					}
					if wait := pass("one"); wait > 10*time.Second {
						t.Errorf("next restore: got after %v, want within 10s", wait)
					}
					time.Sleep(period)
				}
				if writes < 6 || writes > 20 {
					t.Errorf("writes within a minute: got %d, want 6 to 20", writes)
				}
				before := writes
				if wait := pass("two"); writes != before+1 || wait != 0 {
					t.Errorf("writes of what is wanted newly: got %d and a wait of %v, want 1 at once", writes-before, wait)
				}
			})
		})
	}
}

// Another writer removes the finalizer each time that the operator has added it: it is added under a back-off, and
// the pass goes on meanwhile.
func TestHold_BacksOffAgainstAnotherWriter(t *testing.T) {
	const period = 200 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		scheme := runtime.NewScheme()
		if err := v1beta1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		stack := &v1beta1.LoadBalancerStack{}
		stack.Name, stack.UID = v1beta1.LoadBalancerStackName, "uid"
		c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(stack).Build()
		r := &Reconciler{Client: c}
		added := 0
		var f findings
		for range int(time.Minute / period) {
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(stack), stack); err != nil {
				t.Fatal(err)
			}
			stack.Finalizers = nil
			if err := c.Update(t.Context(), stack); err != nil {
				t.Fatal(err)
			}
			f = findings{}
			if err := r.addFinalizer(t.Context(), stack, &f); err != nil {
				t.Fatal(err)
			}
			if len(stack.Finalizers) > 0 {
				added++
			} else if f.restore <= 0 || f.restore > 10*time.Second {
				t.Errorf("next restore: got after %v, want within 10s", f.restore)
			}
			time.Sleep(period)
		}
		if added < 6 || added > 20 {
			t.Errorf("added within a minute: got %d times, want 6 to 20", added)
		}
	})
}
