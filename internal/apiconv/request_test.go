package apiconv

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// annotated returns the Service n/s with annotations, given as key, value.
func annotated(pairs ...string) *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "s"}}
	for i := 0; i < len(pairs); i += 2 {
		metav1.SetMetaDataAnnotation(&svc.ObjectMeta, pairs[i], pairs[i+1])
	}
	return svc
}

// wants returns the Service with spec.loadBalancerIP.
func wants(svc *corev1.Service, address string) *corev1.Service {
	svc.Spec.LoadBalancerIP = address
	return svc
}

func stacked(policy corev1.IPFamilyPolicy, families ...corev1.IPFamily) *corev1.Service {
	svc := annotated()
	svc.Spec.IPFamilies = families
	if policy != "" {
		svc.Spec.IPFamilyPolicy = &policy
	}
	return svc
}

func TestParseRequest(t *testing.T) {
	const v4, v6 = corev1.IPv4Protocol, corev1.IPv6Protocol
	only4, both := []lb.Family{lb.IPv4}, []lb.Family{lb.IPv6, lb.IPv4}
	labelled := annotated()
	labelled.Labels = map[string]string{"app": "web"}
	tests := []struct {
		name string
		svc  *corev1.Service
		want ipam.Request
	}{
		{name: "a plain Service wants any IPv4 address", svc: annotated(), want: ipam.Request{Families: only4}},
		{name: "labels go along", svc: labelled, want: ipam.Request{Families: only4, Labels: map[string]string{"app": "web"}}},

		{name: "addresses of before a removal go along", svc: annotated("lbstack.io/kept-addresses", "10.0.0.1,::1,10.0.0.1,x"), want: ipam.Request{Families: only4, Kept: addrs("10.0.0.1", "::1")}},
		{name: "our annotation names the pool", svc: annotated("lbstack.io/address-pool", "ours"), want: ipam.Request{Pool: "ours", Families: only4}},
		{name: "MetalLB's annotation names the pool", svc: annotated("metallb.io/address-pool", "theirs"), want: ipam.Request{Pool: "theirs", Families: only4}},
		{name: "MetalLB's old annotation names the pool", svc: annotated("metallb.universe.tf/address-pool", "old"), want: ipam.Request{Pool: "old", Families: only4}},
		{name: "our pool goes before MetalLB's", svc: annotated("metallb.io/address-pool", "theirs", "lbstack.io/address-pool", "ours", "metallb.universe.tf/address-pool", "old"), want: ipam.Request{Pool: "ours", Families: only4}},
		{name: "MetalLB's pool goes before the old one", svc: annotated("metallb.universe.tf/address-pool", "old", "metallb.io/address-pool", "theirs"), want: ipam.Request{Pool: "theirs", Families: only4}},
		{name: "an empty annotation is as good as none", svc: annotated("lbstack.io/address-pool", "", "metallb.io/address-pool", "theirs"), want: ipam.Request{Pool: "theirs", Families: only4}},
		{name: "blanks around a pool do not matter", svc: annotated("lbstack.io/address-pool", " ours\n"), want: ipam.Request{Pool: "ours", Families: only4}},

		{name: "MetalLB gave the addresses", svc: annotated("metallb.io/ip-allocated-from-pool", "p"), want: ipam.Request{Families: only4, GivenByOther: true}},
		{name: "an old MetalLB gave the addresses, and the cache has the key alone", svc: annotated("metallb.universe.tf/ip-allocated-from-pool", ""), want: ipam.Request{Families: only4, GivenByOther: true}},
		{name: "lbstack gave the addresses", svc: annotated("lbstack.io/ip-allocated-from-pool", "p"), want: ipam.Request{Families: only4}},

		{name: "our annotation asks for an address", svc: annotated("lbstack.io/load-balancer-ips", "10.0.0.1"), want: ipam.Request{Addresses: addrs("10.0.0.1"), Families: only4}},
		{name: "MetalLB's asks for addresses", svc: annotated("metallb.io/loadBalancerIPs", "10.0.0.1, ::1"), want: ipam.Request{Addresses: addrs("10.0.0.1", "::1"), Families: only4}},
		{name: "MetalLB's old one too", svc: annotated("metallb.universe.tf/loadBalancerIPs", "10.0.0.2"), want: ipam.Request{Addresses: addrs("10.0.0.2"), Families: only4}},
		{name: "our addresses go before MetalLB's", svc: annotated("metallb.universe.tf/loadBalancerIPs", "10.0.0.3", "metallb.io/loadBalancerIPs", "10.0.0.2", "lbstack.io/load-balancer-ips", "10.0.0.1"), want: ipam.Request{Addresses: addrs("10.0.0.1"), Families: only4}},
		{name: "MetalLB's addresses go before the old ones", svc: annotated("metallb.universe.tf/loadBalancerIPs", "10.0.0.3", "metallb.io/loadBalancerIPs", "10.0.0.2"), want: ipam.Request{Addresses: addrs("10.0.0.2"), Families: only4}},
		{name: "the field asks for an address", svc: wants(annotated(), "10.0.0.9"), want: ipam.Request{Addresses: addrs("10.0.0.9"), Families: only4}},
		{name: "a field and an empty annotation are one request", svc: wants(annotated("lbstack.io/load-balancer-ips", ""), "10.0.0.9"), want: ipam.Request{Addresses: addrs("10.0.0.9"), Families: only4}},
		{name: "pool and address together", svc: annotated("lbstack.io/load-balancer-ips", "10.0.0.1", "metallb.io/address-pool", "p"), want: ipam.Request{Pool: "p", Addresses: addrs("10.0.0.1"), Families: only4}},

		{name: "families keep their order", svc: stacked("", v6, v4), want: ipam.Request{Families: both}},
		{name: "SingleStack", svc: stacked(corev1.IPFamilyPolicySingleStack, v6), want: ipam.Request{Families: []lb.Family{lb.IPv6}}},
		{name: "PreferDualStack", svc: stacked(corev1.IPFamilyPolicyPreferDualStack, v6, v4), want: ipam.Request{Families: both, Policy: ipam.PreferDualStack}},
		{name: "PreferDualStack in a cluster of one family", svc: stacked(corev1.IPFamilyPolicyPreferDualStack, v4), want: ipam.Request{Families: only4, Policy: ipam.PreferDualStack}},
		{name: "RequireDualStack", svc: stacked(corev1.IPFamilyPolicyRequireDualStack, v6, v4), want: ipam.Request{Families: both, Policy: ipam.RequireDualStack}},
		{name: "a family that nobody knows is left out", svc: stacked("", "IPv7", v4), want: ipam.Request{Families: only4}},

		{name: "a Service that shares has its terms", svc: annotated("lbstack.io/allow-shared-ip", "k"), want: ipam.Request{Families: only4, Terms: lb.Sharing{Key: "k"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Service = lb.ServiceKey{Namespace: "n", Name: "s"}
			tt.want.NamespaceLabels = map[string]string{"of": "the namespace"}
			got, err := ParseRequest(tt.svc, tt.want.NamespaceLabels)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, byValue); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

// many returns that many addresses with commas between them.
func many(n int) string {
	words := make([]string, 0, n)
	for i := range n {
		words = append(words, fmt.Sprintf("10.0.0.%d", i))
	}
	return strings.Join(words, ",")
}

func TestInvalidRequestNamesFieldAndReason(t *testing.T) {
	tests := []struct {
		name string
		svc  *corev1.Service
		want string
	}{
		{name: "field and annotation together", svc: wants(annotated("metallb.io/loadBalancerIPs", "10.0.0.1"), "10.0.0.1"),
			want: "the annotation metallb.io/loadBalancerIPs and spec.loadBalancerIP both request an address: remove one of the two"},
		{name: "a field that is no address", svc: wants(annotated(), "web.example"), want: `spec.loadBalancerIP: "web.example" is not an IP address`},
		{name: "an annotation that is no address", svc: annotated("lbstack.io/load-balancer-ips", "10.0.0.1,web.example"), want: `annotation lbstack.io/load-balancer-ips: "web.example" is not an IP address`},
		{name: "a comma at the end", svc: annotated("lbstack.io/load-balancer-ips", "10.0.0.1,"), want: `annotation lbstack.io/load-balancer-ips: "" is not an IP address`},
		{name: "one address twice", svc: annotated("lbstack.io/load-balancer-ips", "2001:db8::1, 2001:DB8::1"), want: "annotation lbstack.io/load-balancer-ips: the address 2001:db8::1 is in the list twice"},
		{name: "one address too many", svc: annotated("metallb.universe.tf/loadBalancerIPs", many(33)), want: "annotation metallb.universe.tf/loadBalancerIPs: a Service can request at most 32 addresses, and this Service requests 33"},
		{name: "RequireDualStack where there is one family", svc: stacked(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv6Protocol),
			want: "spec.ipFamilyPolicy is RequireDualStack, but spec.ipFamilies has only IPv6: add the other family, or change spec.ipFamilyPolicy"},
		{name: "RequireDualStack where one family stands twice", svc: stacked(corev1.IPFamilyPolicyRequireDualStack, corev1.IPv4Protocol, corev1.IPv4Protocol),
			want: "spec.ipFamilyPolicy is RequireDualStack, but spec.ipFamilies has only IPv4: add the other family, or change spec.ipFamilyPolicy"},
		{name: "a sharing key that is too long", svc: annotated("lbstack.io/allow-shared-ip", strings.Repeat("k", 1025)),
			want: "annotation lbstack.io/allow-shared-ip: the key has 1025 bytes, but at most 1024 bytes are allowed: use a shorter key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseRequest(tt.svc, nil)
			if err == nil || err.Error() != tt.want {
				t.Fatalf("got %+v, %v, want the error %s", got, err, tt.want)
			}
			// What is right is read all the same: on which terms it shares above all.
			if got.Service != KeyOf(tt.svc) || len(got.Families) == 0 {
				t.Errorf("the request besides the error: got %+v, want at least who asks, and of which families", got)
			}
		})
	}
	if got, err := ParseRequest(annotated("lbstack.io/load-balancer-ips", many(32)), nil); err != nil || len(got.Addresses) != 32 {
		t.Errorf("the most that a Service can ask for: got %d addresses, %v, want 32", len(got.Addresses), err)
	}
}

func FuzzRequestedAddresses(f *testing.F) {
	for _, seed := range []string{"10.0.0.1", "10.0.0.1, ::1", ",", "10.0.0.1,::ffff:10.0.0.1", "::1%lo", " ", many(33)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		const key = "lbstack.io/load-balancer-ips"
		got, err := requestedAddresses(annotated(key, value))
		if err != nil {
			if !strings.Contains(err.Error(), key) || got != nil {
				t.Errorf("%q: got %v and the error %q, which does not name the annotation", value, got, err)
			}
			return
		}
		if (len(got) == 0) != (value == "") || len(got) > maxRequestedAddresses {
			t.Errorf("%q: got %d addresses", value, len(got))
		}
		seen := map[netip.Addr]bool{}
		words := make([]string, 0, len(got))
		for _, a := range got {
			if seen[a] || !a.IsValid() || a.Zone() != "" || a.Is4In6() {
				t.Errorf("%q: got %s in %v", value, a, got)
			}
			seen[a] = true
			words = append(words, a.String())
		}
		again, err := requestedAddresses(annotated(key, strings.Join(words, ",")))
		if diff := cmp.Diff(got, again, byValue); err != nil || diff != "" {
			t.Errorf("%q, read again (-first +second), %v:\n%s", value, err, diff)
		}
	})
}
