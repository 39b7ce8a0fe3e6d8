package service

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

var (
	web    = lb.ServiceKey{Namespace: "default", Name: "web"}
	other  = lb.ServiceKey{Namespace: "default", Name: "other"}
	byAddr = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func holding(address string, pool lb.PoolName, service lb.ServiceKey) ipam.Holding {
	return ipam.Holding{Address: addr(address), Pool: pool, Service: service}
}

// filled returns a ledger with the pools auto (10.0.0.0/30), which gives to
// everybody, and manual (10.0.1.0/30), which has to be named.
func filled(t *testing.T, held ...ipam.Holding) *ledger.Ledger {
	t.Helper()
	t.Helper()
	l := ledger.New()
	l.Load([]ipam.Pool{
		{Name: "auto", AutoAssign: true, Ranges: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.0/30"))}},
		{Name: "manual", Ranges: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.1.0/30"))}},
	}, held)
	for _, h := range held {
		if got, _ := l.Holder(h.Address); got != h {
			t.Fatalf("holding %v: %v has it", h, got)
		}
	}
	return l
}

// service returns the Service default/web with annotations, given as key, value.
func service(annotations ...string) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: web.Namespace, Name: web.Name, UID: "uid-web", Generation: 5},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}},
	}
	for i := 0; i < len(annotations); i += 2 {
		metav1.SetMetaDataAnnotation(&svc.ObjectMeta, annotations[i], annotations[i+1])
	}
	return svc
}

func dualStack(policy corev1.IPFamilyPolicy) *corev1.Service {
	svc := service()
	svc.Spec.IPFamilyPolicy = &policy
	svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	return svc
}

func TestDecide(t *testing.T) {
	const poolKey, addressKey = v1beta1.AnnotationAddressPool, v1beta1.AnnotationLoadBalancerIPs
	type list = []ipam.Holding
	has := holding("10.0.0.2", "auto", web)
	second := holding("10.0.0.3", "auto", web)
	taken := holding("10.0.0.0", "auto", other)
	tests := []struct {
		name       string
		svc        *corev1.Service
		held       list
		keep, drop list
		refusal    ipam.Reason
	}{
		{name: "a new Service gets the lowest free address", svc: service(), held: list{taken}, keep: list{holding("10.0.0.1", "auto", web)}},
		{name: "a Service that asks for nothing special keeps what it has", svc: service(), held: list{has}, keep: list{has}},
		{name: "a Service keeps what it has from a pool that is gone", svc: service(), held: list{holding("10.9.9.9", "gone", web)}, keep: list{holding("10.9.9.9", "gone", web)}},
		{name: "a Service that asks for another address drops the one it has", svc: service(addressKey, "10.0.0.1"), held: list{has},
			keep: list{holding("10.0.0.1", "auto", web)}, drop: list{has}},
		{name: "a Service that asks for another pool drops the address that it has", svc: service(poolKey, "manual"), held: list{has},
			keep: list{holding("10.0.1.0", "manual", web)}, drop: list{has}},
		{name: "a Service has one address and drops the rest", svc: service(), held: list{has, second}, keep: list{has}, drop: list{second}},
		{name: "of two that it has a Service keeps the one that it asks for", svc: service(addressKey, "10.0.0.3"), held: list{has, second}, keep: list{second}, drop: list{has}},

		{name: "what a Service has stays when the pool that it names does not exist", svc: service(poolKey, "nope"), held: list{has}, keep: list{has}, refusal: v1beta1.ReasonUnknownPool},
		{name: "what a Service has stays when the address that it wants is taken", svc: service(addressKey, "10.0.0.0"), held: list{taken, has, second}, keep: list{has, second}, refusal: v1beta1.ReasonAddressInUse},
		{name: "what a Service has stays when its request means nothing", svc: service(addressKey, "web.example"), held: list{has}, keep: list{has}, refusal: v1beta1.ReasonInvalidRequest},
		{name: "what a Service has stays when it asks for two addresses", svc: service(addressKey, "10.0.0.1,10.0.0.2"), held: list{has}, keep: list{has}, refusal: v1beta1.ReasonUnsupported},
		{name: "what a Service has stays when it requires both families", svc: dualStack(corev1.IPFamilyPolicyRequireDualStack), held: list{has}, keep: list{has}, refusal: v1beta1.ReasonUnsupported},
		{name: "a new Service that cannot be served has nothing", svc: service(poolKey, "nope"), held: list{taken}, refusal: v1beta1.ReasonUnknownPool},
		{name: "a new Service whose request means nothing has nothing", svc: service(addressKey, "web.example"), held: list{taken}, refusal: v1beta1.ReasonInvalidRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := filled(t, tt.held...)
			got := decide(l, tt.svc)
			if diff := cmp.Diff(tt.keep, got.keep, byAddr); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.drop, got.drop, byAddr); diff != "" {
				t.Errorf("dropped (-want +got):\n%s", diff)
			}
			var refusal ipam.Reason
			if got.refusal != nil {
				refusal = got.refusal.Reason
			}
			if refusal != tt.refusal {
				t.Errorf("refusal: got %+v, want %q", got.refusal, tt.refusal)
			}
			// What is dropped is free only when its claim is gone.
			if held, want := len(l.HeldBy(web)), len(tt.keep)+len(tt.drop); held != want {
				t.Errorf("in the ledger: got %v, want %d addresses", l.HeldBy(web), want)
			}
		})
	}
}

func TestWhatAServiceShowsWithoutHoldingIt(t *testing.T) {
	const poolKey = v1beta1.AnnotationAddressPool
	shows := func(svc *corev1.Service, addresses ...string) *corev1.Service {
		for _, a := range addresses {
			svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
		}
		return svc
	}
	tests := []struct {
		name string
		svc  *corev1.Service
		keep []ipam.Holding
		want []string // addresses in the status afterwards
	}{
		{name: "what a pool has, and nobody holds, becomes its own", svc: shows(service(), "10.0.0.3"), keep: []ipam.Holding{holding("10.0.0.3", "auto", web)}, want: []string{"10.0.0.3"}},
		{name: "even if its request cannot be met", svc: shows(service(poolKey, "nope"), "10.0.0.3"), keep: []ipam.Holding{holding("10.0.0.3", "auto", web)}, want: []string{"10.0.0.3"}},
		{name: "an address in no pool stays while there is nothing to put in its place", svc: shows(service(poolKey, "nope"), "192.0.2.7"), want: []string{"192.0.2.7"}},
		{name: "and is replaced when there is", svc: shows(service(), "192.0.2.7"), keep: []ipam.Holding{holding("10.0.0.1", "auto", web)}, want: []string{"10.0.0.1"}},
		{name: "an address that is another Service's does not stay", svc: shows(service(poolKey, "nope"), "10.0.0.0", "192.0.2.7"), want: []string{"192.0.2.7"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decide(filled(t, holding("10.0.0.0", "auto", other)), tt.svc)
			if diff := cmp.Diff(tt.keep, d.keep, byAddr); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			var got []string
			for _, in := range desired(tt.svc, d).Status.LoadBalancer.Ingress {
				got = append(got, in.IP)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	field := func(svc *corev1.Service, address string) *corev1.Service {
		svc.Spec.LoadBalancerIP = address
		return svc
	}
	v4, v64 := []lb.Family{lb.IPv4}, []lb.Family{lb.IPv6, lb.IPv4}
	tests := []struct {
		name    string
		svc     *corev1.Service
		want    ipam.Request
		refusal ipam.Reason
		words   string
	}{
		{name: "a plain Service takes any address of its family", svc: service(), want: ipam.Request{Service: web, Families: v4}},
		{name: "a pool and an address are both heeded", svc: service(v1beta1.AnnotationAddressPool, "manual", v1beta1.AnnotationLoadBalancerIPs, "10.0.1.2"),
			want: ipam.Request{Service: web, Pool: "manual", Address: addr("10.0.1.2"), Families: v4}},
		{name: "manifests for MetalLB work as they are", svc: service(v1beta1.AnnotationAddressPoolMetalLB, "manual", v1beta1.AnnotationLoadBalancerIPsUniverse, "10.0.1.2"),
			want: ipam.Request{Service: web, Pool: "manual", Address: addr("10.0.1.2"), Families: v4}},
		{name: "the field of the spec asks for an address too", svc: field(service(), "10.0.0.1"), want: ipam.Request{Service: web, Address: addr("10.0.0.1"), Families: v4}},
		{name: "a Service that prefers both families takes one of either", svc: dualStack(corev1.IPFamilyPolicyPreferDualStack), want: ipam.Request{Service: web, Families: v64}},

		{name: "the requirement of both families is told", svc: dualStack(corev1.IPFamilyPolicyRequireDualStack), refusal: v1beta1.ReasonUnsupported, words: "RequireDualStack"},
		{name: "the number of addresses that is too many is told", svc: service(v1beta1.AnnotationLoadBalancerIPs, "10.0.0.1,10.0.0.2,10.0.0.3"), refusal: v1beta1.ReasonUnsupported, words: "3 addresses"},
		{name: "what is no address is told", svc: service(v1beta1.AnnotationLoadBalancerIPs, "web.example"), refusal: v1beta1.ReasonInvalidRequest, words: `"web.example"`},
		{name: "two ways of asking contradict each other", svc: field(service(v1beta1.AnnotationLoadBalancerIPs, "10.0.0.1"), "10.0.0.1"), refusal: v1beta1.ReasonInvalidRequest, words: "spec.loadBalancerIP"},
		{name: "nonsense is told before what is not supported", svc: field(dualStack(corev1.IPFamilyPolicyRequireDualStack), "web.example"), refusal: v1beta1.ReasonInvalidRequest, words: `"web.example"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, refusal := request(tt.svc)
			if tt.refusal != "" {
				if refusal == nil || refusal.Reason != tt.refusal || !strings.Contains(refusal.Message, tt.words) {
					t.Fatalf("refusal: got %+v, want %s with %q in its message", refusal, tt.refusal, tt.words)
				}
				return
			}
			if refusal != nil {
				t.Fatalf("refused: %s: %s", refusal.Reason, refusal.Message)
			}
			if diff := cmp.Diff(tt.want, got, byAddr); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}
