package apiconv

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestReleased(t *testing.T) {
	const note, pool = "example.com/note", "lbstack.io/ip-allocated-from-pool"
	type list = []corev1.LoadBalancerIngress
	given := func(address string) corev1.LoadBalancerIngress { return corev1.LoadBalancerIngress{IP: address} }
	host := corev1.LoadBalancerIngress{Hostname: "lb.example"}
	foreign := metav1.Condition{Type: "example.com/Other", Status: metav1.ConditionTrue}
	allocated := metav1.Condition{Type: "lbstack.io/AddressAllocated", Status: metav1.ConditionTrue}
	with := func(svc *corev1.Service, ingress list, conditions ...metav1.Condition) *corev1.Service {
		svc.Status.LoadBalancer.Ingress, svc.Status.Conditions = ingress, conditions
		return svc
	}
	tests := []struct {
		name      string
		own       []netip.Addr
		svc, want *corev1.Service
	}{
		{name: "all that lbstack wrote goes", own: addrs("10.0.0.1"), svc: with(annotated(pool, "p"), list{given("10.0.0.1")}, allocated), want: annotated()},
		{name: "what others wrote stays, in its order", own: addrs("10.0.0.1"),
			svc:  with(annotated(pool, "p", note, "x"), list{host, given("10.0.0.1"), given("10.7.7.7")}, foreign, allocated),
			want: with(annotated(note, "x"), list{host, given("10.7.7.7")}, foreign)},
		{name: "every address that the Service held goes", own: addrs("10.0.0.1", "2001:db8::1"), svc: with(annotated(), list{given("2001:db8::1"), given("10.0.0.1")}), want: annotated()},
		{name: "an address goes however it is written", own: addrs("2001:db8::1"), svc: with(annotated(), list{given("2001:DB8:0:0::1")}), want: annotated()},
		{name: "what the Service asks for stays", svc: annotated("lbstack.io/address-pool", "p"), want: annotated("lbstack.io/address-pool", "p")},
		{name: "a Service that held nothing keeps the addresses in its status", svc: with(annotated(), list{given("10.0.0.1"), host}), want: with(annotated(), list{given("10.0.0.1"), host})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.svc.DeepCopy()
			got := WithoutOwnData(tt.svc, func(a netip.Addr) bool { return slices.Contains(tt.own, a) })
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Service (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.svc); diff != "" {
				t.Errorf("the Service that was passed has changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestStatusAddressesAreThoseThatAreOnes(t *testing.T) {
	svc := annotated()
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb.example"}, {IP: "2001:DB8::1"}, {IP: "nonsense"}, {IP: "10.0.0.1", Hostname: "also.example"}}
	if diff := cmp.Diff(addrs("2001:db8::1", "10.0.0.1"), StatusAddresses(svc), byValue); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestServedBy(t *testing.T) {
	ours, theirs, empty := "lbstack.io/lbstack", "example.com/other", ""
	tests := []struct {
		name  string
		kind  corev1.ServiceType
		of    *string
		class string
		want  bool
	}{
		{name: "a load balancer without class, where that is served", kind: corev1.ServiceTypeLoadBalancer, want: true},
		{name: "a load balancer without class, where a class is served", kind: corev1.ServiceTypeLoadBalancer, class: ours},
		{name: "one of the class", kind: corev1.ServiceTypeLoadBalancer, of: &ours, class: ours, want: true},
		{name: "one of another class", kind: corev1.ServiceTypeLoadBalancer, of: &theirs, class: ours},
		{name: "one with a class, where those without are served", kind: corev1.ServiceTypeLoadBalancer, of: &theirs},
		{name: "one whose class is empty", kind: corev1.ServiceTypeLoadBalancer, of: &empty, want: true},
		{name: "what is no load balancer", kind: corev1.ServiceTypeClusterIP},
		{name: "what is no load balancer, of the class", kind: corev1.ServiceTypeNodePort, of: &ours, class: ours},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			svc := &corev1.Service{Spec: corev1.ServiceSpec{Type: tt.kind, LoadBalancerClass: tt.of}}
			if got := IsServedBy(svc, tt.class); got != tt.want {
				t.Errorf("served: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestKeyOf(t *testing.T) {
	if got, want := KeyOf(annotated()), (lb.ServiceKey{Namespace: "n", Name: "s"}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
