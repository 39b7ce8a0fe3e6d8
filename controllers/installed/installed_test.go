package installed

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestCheck(t *testing.T) {
	deployment := func(generation int64, updated, available int32) *appsv1.Deployment {
		return &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: operatorName, Generation: generation}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))},
			Status: appsv1.DeploymentStatus{ObservedGeneration: 3, UpdatedReplicas: updated, AvailableReplicas: available},
		}
	}
	stack := func(observed int64, ready metav1.ConditionStatus) *v1beta1.LoadBalancerStack {
		return &v1beta1.LoadBalancerStack{
			ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName, Generation: 4},
			Status: v1beta1.LoadBalancerStackStatus{ObservedGeneration: observed,
				Conditions: []metav1.Condition{{Type: v1beta1.ConditionReady, Status: ready, Reason: "Some", Message: "pod x is not ready"}}},
		}
	}
	tests := []struct {
		name    string
		objects []client.Object
		want    string // part of the error
	}{
		{"no operator", nil, "reading the Deployment"},
		{"an edit of the Deployment that is not rolled out", []client.Object{deployment(4, 2, 2)}, "but 2 are wanted"},
		{"a pod of the former template", []client.Object{deployment(3, 1, 2)}, "1 updated"},
		{"a pod that is not available", []client.Object{deployment(3, 2, 1)}, "1 available"},
		{"the operator alone", []client.Object{deployment(3, 2, 2)}, ""},
		{"a stack that the operator has not seen", []client.Object{deployment(3, 2, 2), stack(3, metav1.ConditionTrue)}, "has not yet reported the state of the LoadBalancerStack default for its current spec"},
		{"a stack that is not Ready", []client.Object{deployment(3, 2, 2), stack(4, metav1.ConditionFalse)}, "Some: pod x is not ready"},
		{"a stack that is Ready", []client.Object{deployment(3, 2, 2), stack(4, metav1.ConditionTrue)}, ""},
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(t.Context(), fake.NewClientBuilder().WithScheme(scheme).WithObjects(tt.objects...).Build(), "system")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
