package service

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// noBalancers reads from a cache that holds no Service, and writes to the cluster.
type noBalancers struct{ *cluster }

func (c noBalancers) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, is := o.(*corev1.Service); is {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, key.Name)
	}
	return c.cluster.Get(ctx, key, o, opts...)
}

func TestReconcile_ServiceThatLeftTheCache(t *testing.T) {
	const at = "10.0.0.1"
	of := func(kind corev1.ServiceType) *corev1.Service {
		svc := shows(service(v1beta1.AnnotationAllocatedFromPool, "auto"), at)
		svc.Spec.Type = kind
		svc.Status.Conditions = []metav1.Condition{{Type: v1beta1.ServiceAddressAllocated}, {Type: v1beta1.ServiceAnnounced}, {Type: "example.com/Other"}}
		return svc
	}
	for name, tt := range map[string]struct {
		svc        *corev1.Service
		claimed    bool
		conditions int // of svc
	}{
		"of another type loses address and conditions": {of(corev1.ServiceTypeClusterIP), false, 1},
		"deleted loses its address":                    {nil, false, 0},
		"cache that is behind takes nothing away":      {of(corev1.ServiceTypeLoadBalancer), true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			api := clusterOf(taken(claim(at, at, web)))
			api.svc = tt.svc
			r := on(t, api)
			r.Client = noBalancers{api}
			if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(service())}); err != nil {
				t.Fatal(err)
			}
			if _, claimed := api.claims[at]; claimed != tt.claimed {
				t.Errorf("claimed: got %v, want %v", claimed, tt.claimed)
			}
			if api.svc == nil {
				return
			}
			if got := len(api.svc.Status.Conditions); got != tt.conditions {
				t.Errorf("got %d conditions, want %d: %v", got, tt.conditions, api.svc.Status.Conditions)
			}
			var want []corev1.LoadBalancerIngress
			if tt.claimed {
				want = []corev1.LoadBalancerIngress{{IP: at}}
			}
			if diff := cmp.Diff(want, append([]corev1.LoadBalancerIngress(nil), api.svc.Status.LoadBalancer.Ingress...)); diff != "" {
				t.Errorf("addresses in the status (-want +got):\n%s", diff)
			}
		})
	}
}
