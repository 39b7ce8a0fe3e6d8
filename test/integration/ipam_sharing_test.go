package integration

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestServicesWithOneKeyShareAnAddress(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("alone")
	b.has("alone", "10.9.0.1")
	b.service("tcp", sharing("key"), on("80/TCP"))
	b.has("tcp", "10.9.0.2")
	b.service("udp", sharing("key"), on("80/UDP"))
	b.share("10.9.0.2", "tcp", "udp")
	claim := b.claimIs("10.9.0.2", v1beta1.ClaimInUse, "tcp", "udp")
	if claim.Spec.SharingKey != "key" {
		t.Errorf("sharing key of the claim: got %q, want key", claim.Spec.SharingKey)
	}
	b.service("same-port", sharing("key"), on("80/TCP", "443/TCP"))
	b.has("same-port", "10.9.0.3")
	b.service("joins-that", sharing("key"), on("80/UDP"))
	b.share("10.9.0.3", "same-port", "joins-that")
	b.service("other-key", sharing("other"), on("81/TCP"))
	b.has("other-key", "10.9.0.4")
	b.service("no-key", on("82/TCP"))
	b.has("no-key", "10.9.0.5")
	b.poolCounts("pool", "9/5/4", "")

	b.service("wants", sharing("key"), on("80/TCP"), asking("10.9.0.2"))
	refused := b.refused("wants", v1beta1.ReasonSharingConflict)
	if m := allocated(refused).Message; !strings.Contains(m, "80/TCP") || !strings.Contains(m, "/tcp") {
		t.Errorf("message: got %q, want the port and the Service named", m)
	}
	b.edit(refused, on("8080/TCP"))
	b.share("10.9.0.2", "tcp", "udp", "wants")
}

func TestTrafficPolicyDecidesWhoSharesAnAddress(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("cluster", sharing("key"), on("80/TCP"))
	b.has("cluster", "10.9.0.1")
	b.service("local", sharing("key"), on("81/TCP"), local("web"))
	b.has("local", "10.9.0.2")
	b.service("same-pods", sharing("key"), on("82/TCP"), local("web"))
	b.share("10.9.0.2", "local", "same-pods")
	b.service("other-pods", sharing("key"), on("83/TCP"), local("api"))
	b.has("other-pods", "10.9.0.3")
	// MetalLB lets these two share.
	noPods := func(svc *corev1.Service) { local("")(svc); svc.Spec.Selector = nil }
	b.service("no-pods", sharing("key"), on("84/TCP"), noPods)
	b.has("no-pods", "10.9.0.4")
}

// In MetalLB whoever knows a key joins.
func TestSharingKeyIsOfItsNamespaceUnlessThePoolAllowsOthers(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	other := b.elsewhere(nil)
	b.controller()
	b.service("web", sharing("key"), on("80/TCP"))
	b.has("web", "10.9.0.1")
	other.service("thief", sharing("key"), on("81/TCP"))
	other.has("thief", "10.9.0.2")
	other.service("wants", sharing("key"), on("82/TCP"), asking("10.9.0.1"))
	refused := other.refused("wants", v1beta1.ReasonSharingConflict)
	if m := allocated(refused).Message; !strings.Contains(m, "namespace") {
		t.Errorf("message: got %q, want it to speak of the namespace", m)
	}
	b.editPool("pool", func(spec *v1beta1.IPAddressPoolSpec) { spec.SharingScope = v1beta1.SharingInCluster })
	b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "web", "wants")
	other.shows("wants", "10.9.0.1", v1beta1.ReasonAllocated)
	other.keeps("thief", "10.9.0.2") // it has what it asks for
	b.service("joins", sharing("key"), on("83/TCP"))
	b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "web", "wants", "joins")

}

// As MetalLB's e2e A04; there it loses the address and waits.
func TestSharerThatCanNoLongerShareMovesAndTheOtherStays(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	for _, tt := range []struct {
		name   string
		change func(*corev1.Service)
	}{
		{"traffic policy", local("web")},
		{"key", sharing("other")},
		{"ports", on("80/TCP", "81/TCP")},
		{"no key", func(svc *corev1.Service) { delete(svc.Annotations, v1beta1.AnnotationAllowSharedIP) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := *b
			b.T = t
			b.service("first", sharing("key"), on("80/TCP"))
			second := b.service("second", sharing("key"), on("81/TCP"))
			b.share("10.9.0.1", "first", "second")
			before := second.DeepCopy()
			b.edit(second, tt.change)
			b.has("second", "10.9.0.2")
			b.event("second", v1beta1.ReasonAddressLost)
			b.has("first", "10.9.0.1")
			// Put back it goes on with what it has: it does not flap.
			b.edit(second, func(svc *corev1.Service) { svc.Spec, svc.Annotations = before.Spec, before.Annotations })
			b.keeps("second", "10.9.0.2")
			b.remove("first")
			b.remove("second")
			b.free("10.9.0.1")
			b.free("10.9.0.2")
		})
	}
}

// As MetalLB's e2e A04, with one address for both.
func TestSharersThatPartWaitAndMeetAgain(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1")
	b.controller()
	first := b.service("first", sharing("key"), on("80/TCP"), func(svc *corev1.Service) { svc.Spec.Selector = map[string]string{"app": "web"} })
	second := b.service("second", sharing("key"), on("81/TCP"), func(svc *corev1.Service) { svc.Spec.Selector = map[string]string{"app": "web"} })
	b.share("10.9.0.1", "first", "second")
	b.edit(second, local("web"))
	b.shows("second", "", v1beta1.ReasonPoolExhausted)
	b.has("first", "10.9.0.1")
	b.edit(first, local("web"))
	b.share("10.9.0.1", "first", "second")
	b.edit(first, local("api"))
	b.shows("first", "", v1beta1.ReasonPoolExhausted)
	b.has("second", "10.9.0.1")
	b.edit(second, local("api"))
	b.share("10.9.0.1", "first", "second")
}

func TestSoleOwnerMayChangeItsTerms(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	svc := b.service("web", sharing("key"), on("80/TCP"))
	b.has("web", "10.9.0.1")
	b.edit(svc, sharing("other"))
	b.edit(svc, on("81/TCP"))
	b.edit(svc, local("web"))
	b.has("web", "10.9.0.1")
	b.service("old-key", sharing("key"), on("82/TCP"), local("web"))
	b.has("old-key", "10.9.0.2")
	b.service("new-key", sharing("other"), on("80/TCP"), local("web"))
	b.share("10.9.0.1", "web", "new-key")
	b.keeps("old-key", "10.9.0.2")
}

func TestAddressStaysWithTheOtherSharerWhenOneGoes(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("first", sharing("key"), on("80/TCP"))
	b.has("first", "10.9.0.1")
	b.service("second", sharing("key"), on("81/TCP"))
	third := b.service("third", sharing("key"), on("82/TCP"))
	b.share("10.9.0.1", "first", "second", "third")
	b.remove("first")
	b.share("10.9.0.1", "second", "third")
	b.service("plain")
	b.has("plain", "10.9.0.2")
	// Who comes with the port of the one that went may join again.
	b.service("again", sharing("key"), on("80/TCP"))
	b.share("10.9.0.1", "again", "second", "third")
	b.edit(third, func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeClusterIP })
	b.share("10.9.0.1", "again", "second")
	b.remove("again")
	b.remove("second")
	b.free("10.9.0.1")
}

func TestDualStackSharersShareBothAddresses(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9 2001:db8::1-2001:db8::9")
	b.controller()
	dual := stacked(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol)
	b.service("first", sharing("key"), on("80/TCP"), dual)
	b.shows("first", "10.9.0.1,2001:db8::1", v1beta1.ReasonAllocated)
	b.service("second", sharing("key"), on("81/TCP"), dual)
	b.shows("second", "10.9.0.1,2001:db8::1", v1beta1.ReasonAllocated)
	b.claimIs("10.9.0.1", v1beta1.ClaimInUse, "first", "second")
	b.claimIs("2001:db8::1", v1beta1.ClaimInUse, "first", "second")
	b.service("third", sharing("key"), on("80/TCP"), dual)
	b.shows("third", "10.9.0.2,2001:db8::2", v1beta1.ReasonAllocated)
}
