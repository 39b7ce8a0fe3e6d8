package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
)

func given(address string) corev1.LoadBalancerIngress {
	mode := corev1.LoadBalancerIPModeVIP
	return corev1.LoadBalancerIngress{IP: address, IPMode: &mode}
}

func showing(svc *corev1.Service, ingress ...corev1.LoadBalancerIngress) *corev1.Service {
	svc.Status.LoadBalancer.Ingress = ingress
	return svc
}

func TestDesired(t *testing.T) {
	const note, pool = "example.com/note", v1beta1.AnnotationAllocatedFromPool
	has := holding("10.0.0.2", "auto", web)
	refusal := &ipam.Refusal{Reason: ipam.ReasonUnknownPool, Message: "no such pool"}
	foreign := metav1.Condition{Type: "example.com/Other", Status: metav1.ConditionTrue}
	tests := []struct {
		name        string
		svc         *corev1.Service
		decision    decision
		ingress     []corev1.LoadBalancerIngress
		annotations map[string]string
	}{
		{name: "a Service without annotations shows address and pool", svc: service(), decision: decision{keep: []ipam.Holding{has}},
			ingress: []corev1.LoadBalancerIngress{given("10.0.0.2")}, annotations: map[string]string{pool: "auto"}},
		{name: "the new address and pool replace the old ones", svc: showing(service(pool, "manual", note, "x"), given("10.0.1.2")),
			decision: decision{keep: []ipam.Holding{has}, drop: []ipam.Holding{holding("10.0.1.2", "manual", web)}},
			ingress:  []corev1.LoadBalancerIngress{given("10.0.0.2")}, annotations: map[string]string{pool: "auto", note: "x"}},
		{name: "an IPv6 address is written as it is named everywhere", svc: service(), decision: decision{keep: []ipam.Holding{holding("2001:db8:0:0::1", "six", web)}},
			ingress: []corev1.LoadBalancerIngress{given("2001:db8::1")}, annotations: map[string]string{pool: "six"}},
		{name: "what is kept in spite of a refusal is shown", svc: showing(service(pool, "auto"), given("10.0.0.2")), decision: decision{keep: []ipam.Holding{has}, refusal: refusal},
			ingress: []corev1.LoadBalancerIngress{given("10.0.0.2")}, annotations: map[string]string{pool: "auto"}},
		{name: "a Service that has nothing shows no pool", svc: service(pool, "auto", note, "x"), decision: decision{refusal: refusal}, annotations: map[string]string{note: "x"}},
		{name: "a Service that has nothing and no annotations gets none", svc: service(), decision: decision{refusal: refusal}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.svc.Status.Conditions = []metav1.Condition{foreign}
			before := tt.svc.DeepCopy()
			got := desired(tt.svc, tt.decision)
			want := before.DeepCopy()
			want.Annotations = tt.annotations
			want.Status.LoadBalancer.Ingress = tt.ingress
			want.Status.Conditions = append(want.Status.Conditions, condition(before, tt.decision))
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime")); diff != "" {
				t.Errorf("Service (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.svc); diff != "" {
				t.Errorf("the Service that was passed has changed (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(got, desired(got, tt.decision)); diff != "" {
				t.Errorf("decided again, so that there is something to write (-before +after):\n%s", diff)
			}
		})
	}
}

func TestCondition(t *testing.T) {
	one, two := holding("10.0.0.1", "auto", web), holding("10.0.1.2", "manual", web)
	refusal := &ipam.Refusal{Reason: ipam.ReasonUnknownPool, Message: "no such pool: name another"}
	tests := []struct {
		name     string
		decision decision
		want     metav1.Condition
	}{
		{name: "a Service that has its address says which, and where it is from", decision: decision{keep: []ipam.Holding{one}},
			want: metav1.Condition{Status: metav1.ConditionTrue, Reason: v1beta1.ReasonAllocated, Message: `the Service has 10.0.0.1 from the pool "auto"`}},
		{name: "what it lets go is not its address any more", decision: decision{keep: []ipam.Holding{one}, drop: []ipam.Holding{two}},
			want: metav1.Condition{Status: metav1.ConditionTrue, Reason: v1beta1.ReasonAllocated, Message: `the Service has 10.0.0.1 from the pool "auto"`}},
		{name: "a refusal is told as it is", decision: decision{refusal: refusal},
			want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1beta1.ReasonUnknownPool, Message: "no such pool: name another"}},
		{name: "a refusal says what the Service keeps", decision: decision{keep: []ipam.Holding{one, two}, refusal: refusal},
			want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1beta1.ReasonUnknownPool, Message: "no such pool: name another; until then the Service keeps 10.0.0.1, 10.0.1.2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Type, tt.want.ObservedGeneration = v1beta1.ServiceAddressAllocated, 5
			if diff := cmp.Diff(tt.want, condition(service(), tt.decision)); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReleased(t *testing.T) {
	const note, pool = "example.com/note", v1beta1.AnnotationAllocatedFromPool
	host := corev1.LoadBalancerIngress{Hostname: "lb.example"}
	foreign := metav1.Condition{Type: "example.com/Other", Status: metav1.ConditionTrue}
	allocated := metav1.Condition{Type: v1beta1.ServiceAddressAllocated, Status: metav1.ConditionTrue}
	conditions := func(svc *corev1.Service, list ...metav1.Condition) *corev1.Service {
		svc.Status.Conditions = list
		return svc
	}
	tests := []struct {
		name      string
		svc, want *corev1.Service
		held      []ipam.Holding
	}{
		{name: "all that lbstack wrote goes", held: []ipam.Holding{holding("10.0.0.1", "auto", web)},
			svc: conditions(showing(service(pool, "auto"), given("10.0.0.1")), allocated), want: service()},
		{name: "what others wrote stays, in its order", held: []ipam.Holding{holding("10.0.0.1", "auto", web)},
			svc:  conditions(showing(service(pool, "auto", note, "x"), host, given("10.0.0.1"), given("10.7.7.7")), foreign, allocated),
			want: conditions(showing(service(note, "x"), host, given("10.7.7.7")), foreign)},
		{name: "every address that the Service held goes", held: []ipam.Holding{holding("10.0.0.1", "auto", web), holding("2001:db8::1", "auto", web)},
			svc: showing(service(), given("2001:db8::1"), given("10.0.0.1")), want: service()},
		{name: "an address goes however it is written", held: []ipam.Holding{holding("2001:db8::1", "auto", web)},
			svc: showing(service(), given("2001:DB8:0:0::1")), want: service()},
		{name: "what the Service asks for stays", svc: service(v1beta1.AnnotationAddressPool, "auto"), want: service(v1beta1.AnnotationAddressPool, "auto")},
		{name: "a Service that held nothing keeps the addresses in its status", svc: showing(service(), given("10.0.0.1"), host), want: showing(service(), given("10.0.0.1"), host)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.svc.DeepCopy()
			if diff := cmp.Diff(tt.want, released(tt.svc, tt.held), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Service (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.svc); diff != "" {
				t.Errorf("the Service that was passed has changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestMarked(t *testing.T) {
	conditions := func(kind string) *corev1.Service {
		svc := service()
		svc.Status.Conditions = []metav1.Condition{{Type: "example.com/Other"}, {Type: kind}}
		return svc
	}
	tests := []struct {
		name string
		svc  *corev1.Service
		want bool
	}{
		{name: "a condition is a mark", svc: conditions(v1beta1.ServiceAddressAllocated), want: true},
		{name: "the name of a pool is a mark", svc: service(v1beta1.AnnotationAllocatedFromPool, "auto"), want: true},
		{name: "conditions of others are none", svc: conditions("example.com/AddressAllocated")},
		{name: "what the Service asks for is none", svc: showing(service(v1beta1.AnnotationAddressPool, "auto"), given("10.0.0.1"))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := marked(tt.svc); got != tt.want {
				t.Errorf("marked: got %v, want %v", got, tt.want)
			}
		})
	}
}
