package claim

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// Another writer undoes each write to a claim, five times a second. The controller restores under a
// back-off, and writes new values at once.
func TestReconcile_BacksOffAgainstAnotherWriter(t *testing.T) {
	const period = 200 * time.Millisecond
	tests := []struct {
		name string
		// undo undoes what is there, and reports whether there was anything.
		undo func(context.Context, client.Client, *v1beta1.IPAddressClaim) (bool, error)
	}{
		{"removes the conditions", func(ctx context.Context, c client.Client, claim *v1beta1.IPAddressClaim) (bool, error) {
			if len(claim.Status.Conditions) == 0 {
				return false, nil
			}
			claim.Status.Conditions = nil
			return true, c.Status().Update(ctx, claim)
		}},
		{"marks the claim as the controller's without a holder", func(ctx context.Context, c client.Client, claim *v1beta1.IPAddressClaim) (bool, error) {
			if claim.Labels[v1beta1.LabelManagedBy] != "" {
				return false, nil
			}
			claim.Labels = map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByController}
			return true, c.Update(ctx, claim)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scheme := runtime.NewScheme()
				if err := v1beta1.AddToScheme(scheme); err != nil {
					t.Fatal(err)
				}
				object := claim(at)
				c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(object).WithObjects(object).Build()
				r := &Reconciler{Client: c, Events: &events.FakeRecorder{}, Allocations: viewWith(nil), Load: func(context.Context) error { return nil }}
				look := func() (wait time.Duration) {
					t.Helper()
					result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)})
					if err != nil {
						t.Fatal(err)
					}
					return result.RequeueAfter
				}
				read := func() *v1beta1.IPAddressClaim {
					t.Helper()
					now := &v1beta1.IPAddressClaim{}
					if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), now); err != nil {
						t.Fatal(err)
					}
					return now
				}
				look()
				undone := 0
				for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(period) {
					did, err := tt.undo(t.Context(), c, read())
					if err != nil {
						t.Fatal(err)
					}
					if did {
						undone++
					}
					if wait := look(); wait > recheckDelay {
						t.Errorf("next look: got after %v, want within %v", wait, recheckDelay)
					}
				}
				if undone < 6 || undone > 20 {
					t.Errorf("restored within a minute: got %d times, want 6 to 20", undone)
				}
				time.Sleep(10 * time.Second)
				look()
				look()
				if now := read(); now.Labels[v1beta1.LabelManagedBy] != "" || conditions(now) != "Ready=Reserves" {
					t.Errorf("after the other writer stopped: got labels %v, conditions %q, want Ready=Reserves alone", now.Labels, conditions(now))
				}
				now := read()
				now.Spec.Pool = "wrong"
				if err := c.Update(t.Context(), now); err != nil {
					t.Fatal(err)
				}
				if look(); conditions(read()) != "Ready=WrongPool" {
					t.Errorf("when something else is wanted: got conditions %q, want Ready=WrongPool at once", conditions(read()))
				}
			})
		})
	}
}
