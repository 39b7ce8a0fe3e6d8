package apiconv

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestHeldAddresses(t *testing.T) {
	claim := func(name string, holders ...string) v1beta1.IPAddressClaim {
		c := v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressClaimSpec{Address: name, Pool: "gold"}}
		for _, h := range holders {
			c.Spec.Holders = append(c.Spec.Holders, v1beta1.ClaimHolder{Namespace: "default", Name: h})
		}
		return c
	}
	service := func(name string, kind corev1.ServiceType, addresses ...string) corev1.Service {
		svc := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.ServiceSpec{Type: kind}}
		for _, a := range addresses {
			svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
		}
		return svc
	}
	key := func(name string) lb.ServiceKey { return lb.ServiceKey{Namespace: "default", Name: name} }
	const balanced = corev1.ServiceTypeLoadBalancer

	wrong := claim("10.0.0.9", "web")
	wrong.Name = "10.0.0.8"
	services := []corev1.Service{
		service("web", balanced, "10.0.0.2", "10.0.0.1", "10.0.0.9"), service("dns", balanced, "10.0.0.1", "10.0.0.5"),
		service("waits", balanced), service("was", corev1.ServiceTypeClusterIP, "10.0.0.3"),
	}
	services[2].UID, services[3].UID = "uid-waits", "uid-was"
	taken := func(name, holder string, uid types.UID) v1beta1.IPAddressClaim {
		c := claim(name, holder)
		c.Spec.Holders[0].UID = uid
		return c
	}
	claims := []v1beta1.IPAddressClaim{
		taken("10.0.0.11", "waits", "uid-waits"), taken("10.0.0.12", "waits", "uid-before"), taken("10.0.0.13", "was", "uid-was"),
		claim("10.0.0.2", "web"), claim("10.0.0.1", "web", "dns", "waits"), claim("10.0.0.3", "was"), claim("10.0.0.4", "waits", "gone"), claim("10.0.0.7"), wrong,
	}
	want := []eligibility.Address{
		{Address: netip.MustParseAddr("10.0.0.1"), Pool: "gold", Holders: []lb.ServiceKey{key("web"), key("dns")}},
		{Address: netip.MustParseAddr("10.0.0.2"), Pool: "gold", Holders: []lb.ServiceKey{key("web")}},
		{Address: netip.MustParseAddr("10.0.0.11"), Pool: "gold", Holders: []lb.ServiceKey{key("waits")}},
	}
	byValue := cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
	if diff := cmp.Diff(want, HeldAddresses(services, claims), byValue); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestAdvertisedService(t *testing.T) {
	key := lb.ServiceKey{Namespace: "default", Name: "web"}
	endpoints := ServiceEndpoints{key: {lb.IPv4: {Serving: 1}}}
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.ServiceSpec{ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal},
	}
	want := eligibility.Service{Key: key, Labels: svc.Labels, NamespaceLabels: map[string]string{"tenant": "a"}, Local: true, Endpoints: endpoints[key]}
	if diff := cmp.Diff(want, AdvertisedService(svc, map[string]string{"tenant": "a"}, endpoints)); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
	svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	if AdvertisedService(svc, nil, nil).Local {
		t.Error("externalTrafficPolicy Cluster: got Local, want not")
	}
}

func TestAdvertisedPool(t *testing.T) {
	pool := &v1beta1.IPAddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: "gold", Labels: map[string]string{"tier": "high"}},
		Spec: v1beta1.IPAddressPoolSpec{
			Addresses:        []v1beta1.AddressRange{"10.0.0.8/29", "10.0.0.0/29", "not an address", "2001:db8::1"},
			ExcludeAddresses: []v1beta1.AddressRange{"10.0.0.5"},
		},
	}
	want := eligibility.Pool{
		Name: "gold", Labels: map[string]string{"tier": "high"},
		Listed:   []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.0/28")), lb.RangeOf(netip.MustParsePrefix("2001:db8::1/128"))},
		Excluded: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.5/32"))},
	}
	byValue := cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
	if diff := cmp.Diff(want, AdvertisedPool(pool), byValue); diff != "" {
		t.Errorf("pool (-want +got):\n%s", diff)
	}
}
