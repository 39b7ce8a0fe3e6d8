package integration

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

const (
	v4, v6  = corev1.IPv4Protocol, corev1.IPv6Protocol
	single  = corev1.IPFamilyPolicySingleStack
	prefer  = corev1.IPFamilyPolicyPreferDualStack
	require = corev1.IPFamilyPolicyRequireDualStack
)

// As MetalLB's e2e A13.
func TestDualStackServicesPreferAPoolOfBothFamilies(t *testing.T) {
	b := newBed(t)
	b.poolWith("a-four", "10.9.0.1-10.9.0.9")
	b.poolWith("b-six", "2001:db8::1-2001:db8::9")
	b.poolWith("c-both", "10.9.1.1-10.9.1.9 2001:db8:1::1-2001:db8:1::9")
	b.controller()
	b.service("dual", stacked(prefer, v4, v6))
	svc := b.shows("dual", "10.9.1.1,2001:db8:1::1", v1beta1.ReasonAllocated)
	if got := svc.Annotations[v1beta1.AnnotationAllocatedFromPool]; got != "c-both" {
		t.Errorf("pool: got %q, want c-both", got)
	}
	b.service("six-first", stacked(require, v6, v4))
	b.shows("six-first", "10.9.1.2,2001:db8:1::2", v1beta1.ReasonAllocated)
	b.service("four", stacked(single, v4))
	b.has("four", "10.9.0.1")
	b.service("six", stacked(single, v6))
	b.has("six", "2001:db8::1")
}

// In MetalLB both addresses must come from one pool.
func TestDualStackAddressesCanComeFromTwoPools(t *testing.T) {
	b := newBed(t)
	b.poolWith("four", "10.9.0.1-10.9.0.9")
	b.poolWith("six", "2001:db8::1-2001:db8::9")
	b.controller()
	b.service("prefers", stacked(prefer, v4, v6))
	svc := b.shows("prefers", "10.9.0.1,2001:db8::1", v1beta1.ReasonAllocated)
	if got := svc.Annotations[v1beta1.AnnotationAllocatedFromPool]; got != "four,six" {
		t.Errorf("pools: got %q, want four,six", got)
	}
	b.service("requires", stacked(require, v4, v6))
	b.shows("requires", "10.9.0.2,2001:db8::2", v1beta1.ReasonAllocated)
	// MetalLB refuses a request for one address of two.
	b.service("names-one", stacked(require, v4, v6), asking("10.9.0.7"))
	b.shows("names-one", "10.9.0.7,2001:db8::3", v1beta1.ReasonAllocated)
	b.service("names-both", stacked(require, v4, v6), asking("2001:db8::7,10.9.0.8"))
	b.shows("names-both", "10.9.0.8,2001:db8::7", v1beta1.ReasonAllocated)
}

// As MetalLB's e2e A16; the second address can come from another pool too.
func TestPreferredSecondFamilyIsAddedWhenItCanBeHad(t *testing.T) {
	b := newBed(t)
	b.poolWith("four", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web", stacked(prefer, v4, v6))
	svc := b.shows("web", "10.9.0.1", v1beta1.ReasonPartlyAllocated)
	b.event("web", v1beta1.ReasonPartlyAllocated)
	if m := allocated(svc).Message; !strings.Contains(m, "10.9.0.1") || !strings.Contains(m, "IPv6") {
		t.Errorf("message: got %q, want what it has and what is missing", m)
	}
	b.service("other", stacked(prefer, v4, v6))
	b.shows("other", "10.9.0.2", v1beta1.ReasonPartlyAllocated)
	b.poolWith("six", "2001:db8::1")
	b.shows("web", "10.9.0.1,2001:db8::1", v1beta1.ReasonAllocated)
	b.shows("other", "10.9.0.2", v1beta1.ReasonPartlyAllocated)
	b.editPool("four", func(spec *v1beta1.IPAddressPoolSpec) { spec.Addresses = append(spec.Addresses, "2001:db8:1::1") })
	b.shows("other", "10.9.0.2,2001:db8:1::1", v1beta1.ReasonAllocated)
}

// As MetalLB's e2e A14 and A15.
func TestPreferDualStackTakesTheFamilyThatThereIs(t *testing.T) {
	b := newBed(t)
	b.poolWith("six", "2001:db8::1-2001:db8::9")
	b.controller()
	b.service("four-first", stacked(prefer, v4, v6))
	b.shows("four-first", "2001:db8::1", v1beta1.ReasonPartlyAllocated)
	b.service("six-first", stacked(prefer, v6, v4))
	b.shows("six-first", "2001:db8::2", v1beta1.ReasonPartlyAllocated)
	b.service("four", stacked(single, v4))
	b.refused("four", v1beta1.ReasonNoPool)
}

// As MetalLB's e2e A17; there the address is lost on Require.
func TestFamilyPolicyCanChangeBackAndForth(t *testing.T) {
	b := newBed(t)
	b.poolWith("four", "10.9.0.1-10.9.0.9")
	b.controller()
	svc := b.service("web", stacked(prefer, v4, v6))
	b.shows("web", "10.9.0.1", v1beta1.ReasonPartlyAllocated)
	b.edit(svc, stacked(require, v4, v6))
	if got := ingress(b.refused("web", v1beta1.ReasonNoPool)); got != "10.9.0.1" {
		t.Errorf("address while both are required: got %q, want 10.9.0.1 kept", got)
	}
	b.edit(svc, stacked(prefer, v4, v6))
	b.shows("web", "10.9.0.1", v1beta1.ReasonPartlyAllocated)
}

func TestRequiredFamiliesAreMetLaterAndGivenBack(t *testing.T) {
	b := newBed(t)
	b.poolWith("four", "10.9.0.1-10.9.0.9")
	b.controller()
	svc := b.service("web", stacked(require, v4, v6))
	if got := ingress(b.refused("web", v1beta1.ReasonNoPool)); got != "" {
		t.Errorf("address of a new Service that requires two: got %q, want none", got)
	}
	b.free("10.9.0.1")
	b.poolWith("six", "2001:db8::1-2001:db8::9")
	b.shows("web", "10.9.0.1,2001:db8::1", v1beta1.ReasonAllocated)
	b.edit(svc, stacked(prefer, v4, v6))
	b.shows("web", "10.9.0.1,2001:db8::1", v1beta1.ReasonAllocated)
	b.edit(svc, func(svc *corev1.Service) {
		stacked(single, v4)(svc)
		svc.Spec.ClusterIPs = svc.Spec.ClusterIPs[:1]
	})
	b.has("web", "10.9.0.1")
	b.free("2001:db8::1")
	b.edit(svc, stacked(require, v4, v6))
	b.shows("web", "10.9.0.1,2001:db8::1", v1beta1.ReasonAllocated)
}

// As MetalLB's e2e A18.
func TestServiceDoesNotMoveToABetterPoolThatComesLater(t *testing.T) {
	b := newBed(t)
	b.poolWith("b-four", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.poolWith("a-both", "10.9.1.1-10.9.1.9 2001:db8::1-2001:db8::9")
	b.service("next")
	b.has("next", "10.9.1.1")
	b.keeps("web", "10.9.0.1")
}

// As MetalLB's e2e A19, where the Service moves to another pool and loses the
// address of the family that is still there.
func TestPoolThatLosesAFamilyCostsNoAddressOfTheOther(t *testing.T) {
	b := newBed(t)
	b.poolWith("both", "10.9.0.1-10.9.0.9 2001:db8::1-2001:db8::9")
	b.controller()
	b.service("web", stacked(prefer, v4, v6))
	b.shows("web", "10.9.0.1,2001:db8::1", v1beta1.ReasonAllocated)
	b.editPool("both", func(spec *v1beta1.IPAddressPoolSpec) { spec.Addresses = []v1beta1.AddressRange{"10.9.0.1-10.9.0.9"} })
	b.impact("both", "web=2001:db8::1")
	b.shows("web", "10.9.0.1,2001:db8::1", v1beta1.ReasonAllocated)
	b.editPool("both", func(spec *v1beta1.IPAddressPoolSpec) { spec.OutsidePoolPolicy = v1beta1.EvictOutsidePool })
	b.shows("web", "10.9.0.1", v1beta1.ReasonPartlyAllocated)
	b.event("web", v1beta1.ReasonAddressLost)
	b.free("2001:db8::1")
	b.impact("both")
	b.poolWith("six", "2001:db8:1::1")
	b.shows("web", "10.9.0.1,2001:db8:1::1", v1beta1.ReasonAllocated)
}
