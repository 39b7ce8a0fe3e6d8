package service

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestServicesOfAnotherClassStayUnchanged(t *testing.T) {
	const at = "10.0.0.1"
	heldBy := func(uid types.UID) *v1beta1.IPAddressClaim {
		c := taken(claim(at, at, web))
		c.Spec.Holders[0].UID = uid
		return c
	}
	tests := []struct {
		name   string
		claims []*v1beta1.IPAddressClaim
		edit   func(*corev1.Service)
		keeps  bool
	}{
		{name: "a Service that has taken its address up keeps it", claims: []*v1beta1.IPAddressClaim{heldBy("uid-web")}, keeps: true},
		{name: "a Service of the name of the one that had it gets nothing", claims: []*v1beta1.IPAddressClaim{heldBy("uid-before")}},
		{name: "an address that is only reserved for the Service is not its own", claims: []*v1beta1.IPAddressClaim{heldBy("")}},
		{name: "a Service without claim is another load balancer's"},
		{name: "a Service of another type keeps nothing", claims: []*v1beta1.IPAddressClaim{heldBy("uid-web")}, edit: func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeClusterIP }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := clusterOf(tt.claims...)
			api.svc = showing(service(), given(at))
			if tt.edit != nil {
				tt.edit(api.svc)
			}
			r := on(t, api)
			r.Reader, r.Class = api, "example.com/lb"
			if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(api.svc)}); err != nil {
				t.Fatal(err)
			}
			c := meta.FindStatusCondition(api.svc.Status.Conditions, v1beta1.ServiceAddressAllocated)
			if !tt.keeps {
				if c != nil {
					t.Errorf("condition: got %+v, want none", c)
				}
				return
			}
			if c == nil || c.Reason != v1beta1.ReasonAllocated || !strings.Contains(c.Message, "spec.loadBalancerClass is not set, but lbstack serves another class now") {
				t.Errorf("condition: got %+v, want Allocated, with the class", c)
			}
			if list := api.svc.Status.LoadBalancer.Ingress; len(list) != 1 || list[0].IP != at || api.claims[at] == nil {
				t.Errorf("got %v and the claim %v, want %s kept", list, api.claims[at], at)
			}
		})
	}
}
