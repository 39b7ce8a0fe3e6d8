package integration

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// A story is a sequence of changes that users make to Services, pools and claims, and
// the state that must follow each step: the model. The model does not depend on
// crashes of the controller.
type story struct {
	name  string
	steps []step
}

type step struct {
	do func(b *bed)
	// want maps Services to the addresses that they show, and addresses to the
	// state and holders of their claims.
	services, claims map[string]string
}

func stories() []story {
	web := func(b *bed) { b.service("web") }
	return []story{
		{"a Service comes, wants another address, and goes", []step{
			{do: web, services: m("web", "10.9.0.1"), claims: m("10.9.0.1", "InUse web")},
			{do: func(b *bed) { b.edit(named("web"), asking("10.9.0.7")) }, services: m("web", "10.9.0.7"), claims: m("10.9.0.7", "InUse web")},
			{do: func(b *bed) { b.remove("web") }, services: m(), claims: m()},
		}},
		{"one waits for the address of another", []step{
			{do: web, services: m("web", "10.9.0.1"), claims: m("10.9.0.1", "InUse web")},
			{do: func(b *bed) {
				b.service("next", asking("10.9.0.1"))
			}, services: m("next", "", "web", "10.9.0.1"), claims: m("10.9.0.1", "InUse web")},
			{do: func(b *bed) { b.remove("web") }, services: m("next", "10.9.0.1"), claims: m("10.9.0.1", "InUse next")},
		}},
		{"two share an address, and part", []step{
			{do: func(b *bed) { b.service("tcp", sharing("key")) }, services: m("tcp", "10.9.0.1"), claims: m("10.9.0.1", "InUse tcp")},
			{do: func(b *bed) { b.service("tls", sharing("key"), on("443/TCP")) }, services: m("tcp", "10.9.0.1", "tls", "10.9.0.1"), claims: m("10.9.0.1", "InUse tcp tls")},
			{do: func(b *bed) { b.edit(named("tls"), sharing("")) }, services: m("tcp", "10.9.0.1", "tls", "10.9.0.2"), claims: m("10.9.0.1", "InUse tcp", "10.9.0.2", "InUse tls")},
			{do: func(b *bed) { b.remove("tcp") }, services: m("tls", "10.9.0.2"), claims: m("10.9.0.2", "InUse tls")},
		}},
		{"a Service of two families loses one and gets it back", []step{
			{do: func(b *bed) { b.service("both", dual) }, services: m("both", "10.9.0.1,2001:db8::1"), claims: m("10.9.0.1", "InUse both", "2001:db8::1", "InUse both")},
			{do: func(b *bed) { b.edit(named("both"), singleStack) }, services: m("both", "10.9.0.1"), claims: m("10.9.0.1", "InUse both")},
			{do: func(b *bed) { b.edit(named("both"), dual) }, services: m("both", "10.9.0.1,2001:db8::1"), claims: m("10.9.0.1", "InUse both", "2001:db8::1", "InUse both")},
		}},
		{"an address is handed from one to the other", []step{
			{do: func(b *bed) { b.service("web", asking("10.9.0.7")) }, services: m("web", "10.9.0.7"), claims: m("10.9.0.7", "InUse web")},
			{do: func(b *bed) { b.service("next") }, services: m("next", "10.9.0.1", "web", "10.9.0.7"), claims: m("10.9.0.7", "InUse web", "10.9.0.1", "InUse next")},
			{do: func(b *bed) {
				b.handTo(claimOf("10.9.0.7", nil), "next")
			}, services: m("next", "10.9.0.7", "web", ""), claims: m("10.9.0.7", "InUse next")},
		}},
		{"two swap their addresses", []step{
			{do: web, services: m("web", "10.9.0.1"), claims: m("10.9.0.1", "InUse web")},
			{do: func(b *bed) { b.service("next") }, services: m("next", "10.9.0.2", "web", "10.9.0.1"), claims: m("10.9.0.1", "InUse web", "10.9.0.2", "InUse next")},
			{do: func(b *bed) {
				b.handTo(claimOf("10.9.0.1", nil), "next")
				b.handTo(claimOf("10.9.0.2", nil), "web")
			}, services: m("next", "10.9.0.1", "web", "10.9.0.2"), claims: m("10.9.0.1", "InUse next", "10.9.0.2", "InUse web")},
		}},
		{"a Service goes, its address is retained, and it comes again", []step{
			{do: func(b *bed) {
				b.editPool("pool", func(spec *v1beta1.IPAddressPoolSpec) {
					retaining(0)(spec)
				})
				web(b)
			}, services: m("web", "10.9.0.1"), claims: m("10.9.0.1", "InUse web")},
			{do: func(b *bed) { b.remove("web") }, services: m(), claims: m("10.9.0.1", "Retained web")},
			{do: func(b *bed) { b.service("next") }, services: m("next", "10.9.0.2"), claims: m("10.9.0.1", "Retained web", "10.9.0.2", "InUse next")},
			{do: web, services: m("next", "10.9.0.2", "web", "10.9.0.1"), claims: m("10.9.0.1", "InUse web", "10.9.0.2", "InUse next")},
		}},
		{"a pool takes an address away and the Service gets another one", []step{
			{do: web, services: m("web", "10.9.0.1"), claims: m("10.9.0.1", "InUse web")},
			{do: func(b *bed) {
				b.editPool("pool", func(spec *v1beta1.IPAddressPoolSpec) {
					spec.OutsidePoolPolicy, spec.ExcludeAddresses = v1beta1.EvictOutsidePool, []v1beta1.AddressRange{"10.9.0.1-10.9.0.4"}
				})
			}, services: m("web", "10.9.0.5"), claims: m("10.9.0.5", "InUse web")},
			{do: func(b *bed) {
				b.edit(named("web"), func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeClusterIP })
			}, services: m("web", ""), claims: m()},
		}},
		{"a foreign host uses an address, and the Service leaves it", []step{
			{do: web, services: m("web", "10.9.0.1"), claims: m("10.9.0.1", "InUse web")},
			{do: func(b *bed) {
				b.machine("node1", nil)
				b.advertise("story")
				b.speaker("node1").setConflicts(false, "10.9.0.1")
			}, services: m("web", "10.9.0.2"), claims: m("10.9.0.2", "InUse web")},
			{do: func(b *bed) { b.service("next") }, services: m("web", "10.9.0.2", "next", "10.9.0.3"), claims: m("10.9.0.2", "InUse web", "10.9.0.3", "InUse next")},
		}},
		{"an address is reserved for a Service that comes, goes and comes again", []step{
			{do: func(b *bed) {
				create(b.T, b.Client, claimOf("10.9.0.5", nil))
				b.handTo(claimOf("10.9.0.5", nil), "web")
			}, services: m(), claims: m("10.9.0.5", "Reserved web")},
			{do: web, services: m("web", "10.9.0.5"), claims: m("10.9.0.5", "InUse web")},
			{do: func(b *bed) { b.remove("web") }, services: m(), claims: m("10.9.0.5", "Reserved web")},
			{do: web, services: m("web", "10.9.0.5"), claims: m("10.9.0.5", "InUse web")},
		}},
	}
}

var (
	dual        = stacked(corev1.IPFamilyPolicyPreferDualStack, corev1.IPv4Protocol, corev1.IPv6Protocol)
	singleStack = stacked(corev1.IPFamilyPolicySingleStack, corev1.IPv4Protocol)
)

func named(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func m(pairs ...string) map[string]string {
	list := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		list[pairs[i]] = pairs[i+1]
	}
	return list
}
