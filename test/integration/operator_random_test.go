package integration

import (
	"crypto/sha256"
	"encoding/json"
	"testing"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/manifests"
	"github.com/lbstack/lbstack/test/randomspec"
)

// TestStack_RandomSpecsAreAccepted has the API server accept the spec of each seed, and all that is made of
// them, without storing anything. An object that several seeds have is applied once: the answer is the same.
func TestStack_RandomSpecsAreAccepted(t *testing.T) {
	b := newOperatorBed(t)
	var requests errgroup.Group
	requests.SetLimit(8)
	applied, total := map[[sha256.Size]byte]bool{}, 0
	for seed := uint64(1); seed <= randomspec.Seeds; seed++ {
		stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}, Spec: randomspec.Of(seed)}
		objects, err := manifests.Render(manifests.Options{Spec: *stack.Spec.DeepCopy(), Image: operatorImage, Namespace: systemNamespace})
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		requests.Go(func() error {
			if err := b.Create(t.Context(), stack, client.DryRunAll); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			return nil
		})
		total += len(objects)
		for _, object := range objects {
			key := digestOf(t, object)
			if applied[key] {
				continue
			}
			applied[key] = true
			requests.Go(func() error {
				if err := b.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("test"), client.ForceOwnership, client.DryRunAll); err != nil {
					t.Errorf("seed %d, %s: %v", seed, name(object), err)
				}
				return nil
			})
		}
	}
	if err := requests.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d seeds have %d objects, %d of them different", randomspec.Seeds, total, len(applied))
}

func digestOf(t *testing.T, object *unstructured.Unstructured) [sha256.Size]byte {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(text)
}
