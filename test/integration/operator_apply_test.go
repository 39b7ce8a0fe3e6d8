package integration

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestAListThatTwoManagersSetCanBeTakenAway(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(v1beta1.LoadBalancerStackSpec{})
	apply := func(spec map[string]any) {
		t.Helper()
		stack := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		stack.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("LoadBalancerStack"))
		stack.SetName(v1beta1.LoadBalancerStackName)
		if err := b.Apply(context.Background(), client.ApplyConfigurationFromUnstructured(stack), client.FieldOwner("gitops"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
	}
	peers := []any{map[string]any{"name": "router", "myASN": int64(64512), "peerASN": int64(64513), "peerAddress": "192.0.2.1"}}
	apply(map[string]any{"bgpPeers": peers})
	router := &v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "router"}}
	b.exists(router)
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.BGPPeers[0].HoldTimeSeconds = new(int32(9)) })
	b.becomes(router, func(client.Object) bool {
		return router.Spec.HoldTimeSeconds != nil && *router.Spec.HoldTimeSeconds == 9
	})
	apply(map[string]any{})
	b.isGone(router)
}
