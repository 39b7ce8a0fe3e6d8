package externalips

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestDecide(t *testing.T) {
	a1, a2 := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2")
	web, old, elsewhere := lb.ServiceKey{Namespace: "shop", Name: "web"}, lb.ServiceKey{Namespace: "shop", Name: "old"}, lb.ServiceKey{Namespace: "private", Name: "secret"}
	many := make([]listedAddress, 5)
	for i := range many {
		many[i] = listedAddress{address: a1, pool: "first"}
	}
	const either = "kube-proxy sends connections for this address to the Pods of either Service"
	for name, tt := range map[string]struct {
		facts  serviceFacts
		status metav1.ConditionStatus // empty: no condition
		reason string
		parts  []string
	}{
		"nothing listed": {serviceFacts{}, "", "", nil},
		"free address of a pool": {
			serviceFacts{listed: []listedAddress{{a1, "first", nil}}}, metav1.ConditionTrue, v1beta1.ReasonAddressOfPool,
			[]string{`spec.externalIPs: 10.9.0.1 is an address of the pool "first": if a Service of type LoadBalancer gets the address, kube-proxy sends connections`, "remove the address from spec.externalIPs"},
		},
		"address of a Service of the same namespace": {
			serviceFacts{listed: []listedAddress{{a1, "first", []lb.ServiceKey{web}}}}, metav1.ConditionTrue, v1beta1.ReasonAddressOfPool,
			[]string{`spec.externalIPs: 10.9.0.1 is an address of the pool "first" and in use by the Service shop/web: ` + either + ": remove the address from spec.externalIPs"},
		},
		"address of a Service of another namespace": {
			serviceFacts{listed: []listedAddress{{a1, "first", []lb.ServiceKey{elsewhere}}}}, metav1.ConditionTrue, v1beta1.ReasonAddressOfPool,
			[]string{"in use by a Service of another namespace: "},
		},
		"own address listed by others": {
			serviceFacts{shared: []sharedAddress{{a1, []lb.ServiceKey{elsewhere, old}}}}, metav1.ConditionTrue, v1beta1.ReasonAddressInExternalIPs,
			[]string{"10.9.0.1 is also in spec.externalIPs of the Service shop/old and a Service of another namespace: " + either + ": remove the address from that field"},
		},
		"own address listed by several of other namespaces": {
			serviceFacts{shared: []sharedAddress{{a1, []lb.ServiceKey{elsewhere, {Namespace: "other", Name: "x"}}}}}, metav1.ConditionTrue, v1beta1.ReasonAddressInExternalIPs,
			[]string{"in spec.externalIPs of 2 other Services: "},
		},
		"lists one, and another is listed: the own fault is the reason": {
			serviceFacts{listed: []listedAddress{{a2, "first", nil}}, shared: []sharedAddress{{a1, []lb.ServiceKey{old}}}}, metav1.ConditionTrue, v1beta1.ReasonAddressOfPool,
			[]string{"10.9.0.2 is an address of the pool", "; 10.9.0.1 is also in"},
		},
		"many": {
			serviceFacts{listed: many}, metav1.ConditionTrue, v1beta1.ReasonAddressOfPool, []string{"further addresses with such a conflict: 2"},
		},
		"more items than are read": {
			serviceFacts{more: true}, metav1.ConditionUnknown, v1beta1.ReasonTooManyExternalIPs, []string{"spec.externalIPs has more than 64 items", "remove some"},
		},
		"left out since the namespace lists most": {
			serviceFacts{over: true}, metav1.ConditionUnknown, v1beta1.ReasonTooManyExternalIPs, []string{"spec.externalIPs is not compared with the pools: at most 32768 addresses of all Services are compared, and the Services of this namespace list the most: remove some of these addresses"},
		},
		"left out, and listed by others": {
			serviceFacts{over: true, shared: []sharedAddress{{a1, []lb.ServiceKey{old}}}}, metav1.ConditionTrue, v1beta1.ReasonAddressInExternalIPs, []string{"10.9.0.1 is also in", "is not compared"},
		},
		"more items than are read, and a conflict": {
			serviceFacts{more: true, listed: many[:1]}, metav1.ConditionTrue, v1beta1.ReasonAddressOfPool, []string{"10.9.0.1 is an address", "more than 64 items"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.facts.namespace = "shop"
			got := conflictCondition(tt.facts)
			if got == nil {
				if tt.status != "" {
					t.Fatalf("got no condition, want %s %s", tt.status, tt.reason)
				}
				return
			}
			if diff := cmp.Diff([]string{string(tt.status), tt.reason}, []string{string(got.Status), got.Reason}); diff != "" {
				t.Errorf("status and reason (-want +got):\n%s", diff)
			}
			for _, part := range tt.parts {
				if !strings.Contains(got.Message, part) {
					t.Errorf("message: got %q, want it to contain %q", got.Message, part)
				}
			}
			if strings.Contains(got.Message, "secret") {
				t.Errorf("message: got %q, want no name of another namespace", got.Message)
			}
		})
	}
}
