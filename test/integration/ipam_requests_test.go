package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestEveryNameOfARequestIsUnderstood(t *testing.T) {
	b := newBed(t)
	b.poolWith("a-pool", "10.9.0.1-10.9.0.9")
	b.poolWith("b-pool", "10.9.1.1-10.9.1.9 2001:db8::1-2001:db8::9")
	b.controller()
	for i, key := range []string{"lbstack.io/address-pool", "metallb.io/address-pool", "metallb.universe.tf/address-pool"} {
		name := fmt.Sprint("pool-", i)
		b.service(name, annotated(key, "b-pool"))
		b.has(name, fmt.Sprintf("10.9.1.%d", i+1))
	}
	for i, key := range []string{"lbstack.io/load-balancer-ips", "metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"} {
		name := fmt.Sprint("address-", i)
		b.service(name, annotated(key, fmt.Sprintf(" 10.9.0.%d ", i+5)))
		b.has(name, fmt.Sprintf("10.9.0.%d", i+5))
	}
	b.service("field", func(svc *corev1.Service) { svc.Spec.LoadBalancerIP = "10.9.0.9" })
	b.has("field", "10.9.0.9")
	for i, key := range []string{"lbstack.io/allow-shared-ip", "metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"} {
		b.service(fmt.Sprint("shared-", i), annotated(key, "key"), on(fmt.Sprintf("%d/TCP", 80+i)))
	}
	b.share("10.9.0.1", "shared-0", "shared-1", "shared-2")

	b.service("newer-wins", annotated("lbstack.io/address-pool", "b-pool"), annotated("metallb.io/address-pool", "a-pool"))
	b.has("newer-wins", "10.9.1.4")
	b.service("twice", asking("10.9.0.4"), func(svc *corev1.Service) { svc.Spec.LoadBalancerIP = "10.9.0.4" })
	refused := b.refused("twice", v1beta1.ReasonInvalidRequest)
	if m := allocated(refused).Message; !strings.Contains(m, "spec.loadBalancerIP") || !strings.Contains(m, "lbstack.io/load-balancer-ips") {
		t.Errorf("message: got %q, want both fields named", m)
	}
}

// MetalLB takes one address of a family.
func TestServiceCanAskForSeveralAddressesOfAFamily(t *testing.T) {
	b := newBed(t)
	b.poolWith("a-pool", "10.9.0.1-10.9.0.9", several)
	b.poolWith("b-pool", "10.9.1.1-10.9.1.9", several)
	b.poolWith("c-pool", "10.9.2.1-10.9.2.9")
	b.controller()
	b.service("greedy", asking("10.9.2.1,10.9.0.9"))
	if m := allocated(b.refused("greedy", v1beta1.ReasonTooManyAddresses)).Message; !strings.Contains(m, "spec.maxAddressesPerService") || !strings.Contains(m, `"c-pool"`) {
		t.Errorf("message: got %q, want the field and the pool named", m)
	}
	svc := b.service("web", asking("10.9.0.7, 10.9.1.2,10.9.0.3"))
	shown := b.shows("web", "10.9.0.3,10.9.0.7,10.9.1.2", v1beta1.ReasonAllocated)
	if got := shown.Annotations[v1beta1.AnnotationAllocatedFromPool]; got != "a-pool,b-pool" {
		t.Errorf("pools: got %q, want both", got)
	}
	for _, address := range []string{"10.9.0.3", "10.9.0.7", "10.9.1.2"} {
		b.claimIs(address, v1beta1.ClaimInUse, "web")
	}
	b.edit(svc, asking("10.9.0.7,10.9.0.8"))
	b.shows("web", "10.9.0.7,10.9.0.8", v1beta1.ReasonAllocated)
	b.free("10.9.0.3")
	b.free("10.9.1.2")
	// All of it or nothing: one that is taken refuses the request.
	b.service("other", asking("10.9.0.1,10.9.0.8"))
	if got := ingress(b.refused("other", v1beta1.ReasonAddressInUse)); got != "" {
		t.Errorf("address of the refused Service: got %q, want none", got)
	}
	b.free("10.9.0.1")
}

func TestPoolAndAddressTogetherMustAgree(t *testing.T) {
	b := newBed(t)
	b.poolWith("a-pool", "10.9.0.1-10.9.0.9")
	b.poolWith("b-pool", "10.9.1.1-10.9.1.9")
	b.controller()
	b.service("agree", from("b-pool"), asking("10.9.1.5"))
	b.has("agree", "10.9.1.5")
	b.service("differ", from("b-pool"), asking("10.9.0.5"))
	refused := b.refused("differ", v1beta1.ReasonAddressNotInPool)
	if m := allocated(refused).Message; !strings.Contains(m, "a-pool") || !strings.Contains(m, "b-pool") {
		t.Errorf("message: got %q, want both pools named", m)
	}
	b.edit(refused, from("a-pool"))
	b.has("differ", "10.9.0.5")
}

// MetalLB drops the address first and fails then.
func TestRequestsThatCannotBeMetLeaveTheAddress(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.poolWith("full", "10.9.1.1")
	b.poolWith("z-drains", "10.9.2.1", draining)
	b.controller()
	b.service("blocker", from("full"))
	b.has("blocker", "10.9.1.1")
	web := b.service("web")
	b.has("web", "10.9.0.1")
	none := func(svc *corev1.Service) {
		delete(svc.Annotations, v1beta1.AnnotationAddressPool)
		delete(svc.Annotations, v1beta1.AnnotationLoadBalancerIPs)
	}
	for _, tt := range []struct {
		name, reason string
		edit         func(*corev1.Service)
	}{
		{"a full pool", v1beta1.ReasonPoolExhausted, from("full")},
		{"a draining pool", v1beta1.ReasonPoolDraining, from("z-drains")},
		{"an address of another", v1beta1.ReasonAddressInUse, asking("10.9.1.1")},
		{"an address of no pool", v1beta1.ReasonAddressNotInPool, asking("10.77.0.1")},
		{"no address", v1beta1.ReasonInvalidRequest, asking("web.example")},
		{"an address of the other family", v1beta1.ReasonInvalidRequest, asking("2001:db8::1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := *b
			b.T = t
			b.edit(web, tt.edit)
			refused := b.refused("web", tt.reason)
			if m := allocated(refused).Message; ingress(refused) != "10.9.0.1" || !strings.Contains(m, "keeps 10.9.0.1") {
				t.Errorf("got %q, message %q, want 10.9.0.1 retained and reported", ingress(refused), m)
			}
			b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "web")
			b.edit(web, none)
			b.has("web", "10.9.0.1")
		})
	}
}

// MetalLB overwrites both.
func TestStatusFieldsOfOtherWritersStay(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	svc := b.service("web")
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "web.example"}}
	theirs := metav1.Condition{Type: "example.com/Checked", Status: metav1.ConditionTrue, Reason: "Checked", LastTransitionTime: metav1.Now()}
	svc.Status.Conditions = []metav1.Condition{theirs}
	if err := b.Status().Update(context.Background(), svc); err != nil {
		t.Fatal(err)
	}
	b.controller()
	both := func(svc *corev1.Service) error {
		list := svc.Status.LoadBalancer.Ingress
		host := slices.ContainsFunc(list, func(in corev1.LoadBalancerIngress) bool { return in.Hostname == "web.example" && in.IP == "" })
		condition := slices.ContainsFunc(svc.Status.Conditions, func(c metav1.Condition) bool { return c.Type == theirs.Type && c.Reason == theirs.Reason })
		if !host || !condition {
			return fmt.Errorf("status %+v", svc.Status)
		}
		return nil
	}
	hasBoth := func(address string) {
		t.Helper()
		eventually.Succeed(t, within, "the Service has "+address+" and what others wrote", func(ctx context.Context) error {
			svc, err := b.get(ctx, "web")
			if err != nil {
				return err
			}
			has := slices.ContainsFunc(svc.Status.LoadBalancer.Ingress, func(in corev1.LoadBalancerIngress) bool {
				return in.IP == address && in.IPMode != nil && *in.IPMode == corev1.LoadBalancerIPModeVIP
			})
			if !has || allocated(svc) == nil || allocated(svc).Reason != v1beta1.ReasonAllocated {
				return fmt.Errorf("status %+v", svc.Status)
			}
			return both(svc)
		})
	}
	hasBoth("10.9.0.1")
	b.edit(svc, asking("10.9.0.5"))
	hasBoth("10.9.0.5")
	b.edit(svc, from("nope"))
	b.refused("web", v1beta1.ReasonUnknownPool)
	b.edit(svc, from("pool"))
	hasBoth("10.9.0.5")
}

func TestHandEditedStatusOfAServiceIsPutRight(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web")
	b.service("other", asking("10.9.0.5"))
	b.has("web", "10.9.0.1")
	b.has("other", "10.9.0.5")
	for _, wrong := range [][]corev1.LoadBalancerIngress{nil, {{IP: "10.9.0.7"}}, {{IP: "10.9.0.5"}}, {{IP: "10.9.0.1"}, {IP: "10.77.0.1"}}} {
		svc, err := b.get(context.Background(), "web")
		if err != nil {
			t.Fatal(err)
		}
		svc.Status.LoadBalancer.Ingress, svc.Status.Conditions = wrong, nil
		if err := b.Status().Update(context.Background(), svc); err != nil {
			t.Fatal(err)
		}
		eventually.Succeed(t, within, "the status is restored", func(ctx context.Context) error {
			svc, err := b.get(ctx, "web")
			if err != nil {
				return err
			}
			if got := ingress(svc); got != "10.9.0.1" || allocated(svc) == nil {
				return fmt.Errorf("status has %q, condition %s", got, allocatedText(svc))
			}
			return b.claimed(ctx, "10.9.0.1", svc)
		})
		b.has("other", "10.9.0.5")
	}
	b.free("10.9.0.7")
}

func TestOnlyServicesOfTheFlagsClassAreServed(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller("--load-balancer-class=lbstack.io/own")
	classed := func(class string) func(*corev1.Service) {
		return func(svc *corev1.Service) { svc.Spec.LoadBalancerClass = &class }
	}
	plain := b.service("plain")
	b.service("theirs", classed("example.com/other"))
	b.service("ours", classed("lbstack.io/own"))
	b.has("ours", "10.9.0.1")
	for _, name := range []string{"plain", "theirs"} {
		svc, err := b.get(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		if len(svc.Status.LoadBalancer.Ingress)+len(svc.Status.Conditions) > 0 {
			t.Errorf("%s: got status %+v, want it left alone", name, svc.Status)
		}
	}
	// The class of a Service can change together with its type alone.
	b.edit(plain, func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeClusterIP })
	b.edit(plain, func(svc *corev1.Service) {
		svc.Spec.Type = corev1.ServiceTypeLoadBalancer
		classed("lbstack.io/own")(svc)
	})
	b.has("plain", "10.9.0.2")
}

// As MetalLB's e2e A01.
func TestServiceThatIsNoLoadBalancerForAWhileComesBack(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1")
	b.controller()
	first := b.service("first")
	b.has("first", "10.9.0.1")
	b.service("second")
	b.refused("second", v1beta1.ReasonPoolExhausted)
	b.edit(first, func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeClusterIP })
	b.has("second", "10.9.0.1")
	b.event("first", v1beta1.ReasonReleased)
	b.edit(first, func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeLoadBalancer })
	b.refused("first", v1beta1.ReasonPoolExhausted)
	b.remove("second")
	b.has("first", "10.9.0.1")
}
