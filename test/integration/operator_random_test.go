package integration

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/manifests"
	"github.com/lbstack/lbstack/test/randomspec"
)

// TestStack_RandomSpecsAreAccepted has the API server accept specs, and all that is made of
// them, without storing anything.
func TestStack_RandomSpecsAreAccepted(t *testing.T) {
	b := newOperatorBed(t)
	const sample = randomspec.Seeds / 20
	for seed := uint64(1); seed <= sample; seed++ {
		stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}, Spec: randomspec.Of(seed)}
		if err := b.Create(t.Context(), stack, client.DryRunAll); err != nil {
			t.Errorf("seed %d: %v", seed, err)
			continue
		}
		objects, err := manifests.Render(manifests.Options{Spec: stack.Spec, Image: operatorImage, Namespace: systemNamespace})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, object := range objects {
			if err := b.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("test"), client.ForceOwnership, client.DryRunAll); err != nil {
				t.Errorf("seed %d, %s: %v", seed, name(object), err)
			}
		}
	}
}
