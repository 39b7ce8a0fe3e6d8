package service

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
)

func TestDesired(t *testing.T) {
	const note, pool, had = "example.com/note", v1beta1.AnnotationAllocatedFromPool, v1beta1.AnnotationKeptAddresses
	type list = []corev1.LoadBalancerIngress
	mine, six, twin := holding("10.0.0.2", "auto", web), holding("2001:db8::1", "six", web), holding("10.0.0.3", "auto", web)
	refusal := &ipam.Refusal{Reason: ipam.ReasonUnknownPool, Message: "no such pool"}
	foreign := metav1.Condition{Type: "example.com/Other", Status: metav1.ConditionTrue}
	host := corev1.LoadBalancerIngress{Hostname: "lb.example"}
	proxy := corev1.LoadBalancerIPModeProxy
	full := func(mode *corev1.LoadBalancerIPMode, address string) corev1.LoadBalancerIngress {
		return corev1.LoadBalancerIngress{IP: address, Hostname: "also.example", IPMode: mode, Ports: []corev1.PortStatus{{Port: 80, Protocol: "TCP"}}}
	}
	partly := kept(mine)
	partly.Missing = refusal
	stranger := kept()
	stranger.Refusal, stranger.leave = refusal, addrs("192.0.2.7")
	tests := []struct {
		name        string
		svc         *corev1.Service
		decision    serviceDecision
		ingress     list
		annotations map[string]string
	}{
		{name: "a Service without annotations shows address and pool", svc: service(), decision: kept(mine), ingress: list{given("10.0.0.2")}, annotations: map[string]string{pool: "auto"}},
		{name: "the new address and pool replace the old ones", svc: showing(service(pool, "manual", note, "x"), given("10.0.1.2")), decision: kept(mine),
			ingress: list{given("10.0.0.2")}, annotations: map[string]string{pool: "auto", note: "x"}},
		{name: "each pool is named once, in the order of the addresses", svc: service(), decision: kept(mine, twin, six),
			ingress: list{given("10.0.0.2"), given("10.0.0.3"), given("2001:db8::1")}, annotations: map[string]string{pool: "auto,six"}},
		{name: "an IPv6 address is written as it is named everywhere", svc: showing(service(), given("2001:DB8:0::1")), decision: kept(six), ingress: list{given("2001:db8::1")}, annotations: map[string]string{pool: "six"}},
		{name: "what is kept in spite of a refusal is shown", svc: showing(service(pool, "auto"), given("10.0.0.2")), decision: refused(refusal, mine), ingress: list{given("10.0.0.2")}, annotations: map[string]string{pool: "auto"}},
		{name: "a Service with all that it asks for has no addresses of before", svc: service(had, "10.0.0.2"), decision: kept(mine), ingress: list{given("10.0.0.2")}, annotations: map[string]string{pool: "auto"}},
		{name: "a Service that lacks a family has them still", svc: service(had, "10.0.0.2,2001:db8::1"), decision: partly, ingress: list{given("10.0.0.2")}, annotations: map[string]string{pool: "auto", had: "10.0.0.2,2001:db8::1"}},
		{name: "a Service that is refused has them still", svc: service(had, "10.0.0.3"), decision: refused(refusal, mine), ingress: list{given("10.0.0.2")}, annotations: map[string]string{pool: "auto", had: "10.0.0.3"}},
		{name: "a Service that has nothing has them still", svc: service(had, "10.0.0.3"), decision: refused(refusal), annotations: map[string]string{had: "10.0.0.3"}},
		{name: "a host name is somebody else's and stays", svc: showing(service(), host, given("10.0.1.2")), decision: kept(mine), ingress: list{given("10.0.0.2"), host}, annotations: map[string]string{pool: "auto"}},
		{name: "a host name stays if there is no address", svc: showing(service(), host), decision: refused(refusal), ingress: list{host}},
		{name: "what else stands in the entry of an address stays, and lbstack is no proxy", svc: showing(service(), full(&proxy, "10.0.0.2")), decision: kept(mine),
			ingress: list{full(given("").IPMode, "10.0.0.2")}, annotations: map[string]string{pool: "auto"}},
		{name: "what stands in the entry of another address does not come along", svc: showing(service(), full(&proxy, "10.0.0.3")), decision: kept(mine), ingress: list{given("10.0.0.2")}, annotations: map[string]string{pool: "auto"}},
		{name: "an address that stands there twice is shown once", svc: showing(service(), given("10.0.0.2"), given("10.0.0.2")), decision: kept(mine), ingress: list{given("10.0.0.2")}, annotations: map[string]string{pool: "auto"}},
		{name: "what is nobody's stays as it is", svc: shows(service(), "10.0.0.0", "192.0.2.7"), decision: stranger, ingress: list{{IP: "192.0.2.7"}}},
		{name: "a Service that has nothing shows no pool", svc: service(pool, "auto", note, "x"), decision: refused(refusal), annotations: map[string]string{note: "x"}},
		{name: "a Service that has nothing and no annotations gets none", svc: service(), decision: refused(refusal)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.svc.Status.Conditions = []metav1.Condition{foreign}
			before := tt.svc.DeepCopy()
			got := desiredService(tt.svc, tt.decision)
			want := before.DeepCopy()
			want.Annotations = tt.annotations
			want.Status.LoadBalancer.Ingress = tt.ingress
			want.Status.Conditions = append(want.Status.Conditions, allocatedCondition(before, tt.decision))
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime")); diff != "" {
				t.Errorf("Service (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.svc); diff != "" {
				t.Errorf("the Service that was passed has changed (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(got, desiredService(got, tt.decision)); diff != "" {
				t.Errorf("decided again, so that there is something to write (-before +after):\n%s", diff)
			}
		})
	}
}

func TestCondition(t *testing.T) {
	one, two, six := holding("10.0.0.1", "auto", web), holding("10.0.1.2", "manual", web), holding("2001:db8::1", "auto", web)
	refusal := &ipam.Refusal{Reason: ipam.ReasonUnknownPool, Message: "no such pool: name another"}
	dropping, partly := kept(one), kept(one)
	dropping.Drop = []ipam.Holding{two}
	partly.Missing = &ipam.Refusal{Reason: ipam.ReasonPoolExhausted, Message: "no pool gives the Service an IPv6 address"}
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	tests := []struct {
		name     string
		decision serviceDecision
		want     metav1.Condition
	}{
		{name: "a Service with an address names the address and its pool", decision: kept(one), want: metav1.Condition{Status: yes, Reason: v1beta1.ReasonAllocated, Message: `the Service has 10.0.0.1 from the pool "auto"`}},
		{name: "what it lets go is not its address any more", decision: dropping, want: metav1.Condition{Status: yes, Reason: v1beta1.ReasonAllocated, Message: `the Service has 10.0.0.1 from the pool "auto"`}},
		{name: "addresses stand with their pool", decision: kept(one, two, six), want: metav1.Condition{Status: yes, Reason: v1beta1.ReasonAllocated, Message: `the Service has 10.0.0.1 and 2001:db8::1 from the pool "auto" and 10.0.1.2 from the pool "manual"`}},
		{name: "a Service that prefers two families has the reason for one", decision: partly, want: metav1.Condition{Status: yes, Reason: v1beta1.ReasonPartlyAllocated,
			Message: `the Service has 10.0.0.1 from the pool "auto"; the Service prefers addresses of both families, but no pool gives the Service an IPv6 address`}},
		{name: "a refusal is reported unchanged", decision: refused(refusal), want: metav1.Condition{Status: no, Reason: v1beta1.ReasonUnknownPool, Message: "no such pool: name another"}},
		{name: "a refusal names the addresses that stay", decision: refused(refusal, one, two), want: metav1.Condition{Status: no, Reason: v1beta1.ReasonUnknownPool, Message: "no such pool: name another; meanwhile the Service keeps 10.0.0.1 and 10.0.1.2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Type, tt.want.ObservedGeneration = v1beta1.ServiceAddressAllocated, 5
			if diff := cmp.Diff(tt.want, allocatedCondition(service(), tt.decision)); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTextsAreBounded(t *testing.T) {
	long := strings.Repeat("long ", 10000)
	partly := kept(holding("10.0.0.1", "auto", web))
	partly.Missing = &ipam.Refusal{Message: long}
	tests := []struct {
		name string
		d    serviceDecision
	}{
		{"of a refusal", refused(&ipam.Refusal{Message: long})},
		{"of a refusal that leaves the Service what it has", refused(&ipam.Refusal{Message: long}, holding("10.0.0.1", "auto", web))},
		{"of one family that is missing", partly},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := allocatedCondition(service(), tt.d).Message
			if len(got) > 32768 || !strings.Contains(got, "...") {
				t.Errorf("message: got %d bytes, want what the API server takes, and that one sees that it was longer", len(got))
			}
			if tt.d.Refusal != nil && len(tt.d.Keep) > 0 && !strings.HasSuffix(got, "keeps 10.0.0.1") {
				t.Errorf("message: it ends with %q, want what the Service keeps", got[len(got)-40:])
			}
		})
	}
	t.Run("of a request that asks for a lot", func(t *testing.T) {
		d := decideService(filled(t), service(addressKey, strings.Repeat("not-an-address", 10000)), nil)
		if got := len(allocatedCondition(service(), d).Message); got > 32768 {
			t.Errorf("message: got %d bytes, want what the API server takes", got)
		}
	})
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
			if got := isMarked(tt.svc); got != tt.want {
				t.Errorf("marked: got %v, want %v", got, tt.want)
			}
		})
	}
}
