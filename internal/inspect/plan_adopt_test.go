package inspect

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// TestPlan_ServicesStayOnTheAddressesThatTheyShow: another load balancer gave the addresses, so that no claim has them yet. They are
// taken up before anything new is given.
func TestPlan_ServicesStayOnTheAddressesThatTheyShow(t *testing.T) {
	service := func(name string, shows ...string) corev1.Service {
		svc := unserved(name)
		for _, a := range shows {
			svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
		}
		return svc
	}
	const want = "shop/a [192.0.2.2]\nshop/b [192.0.2.1]\nshop/c [192.0.2.3]\nshop/d [192.0.2.4]\n"
	if got := planned(t, service("a"), service("b", "192.0.2.1"), service("c", "192.0.2.3"), service("d", "198.51.100.1")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPlan_ServicesHaveTheAddressesOfBeforeARemoval: the claims were deleted with lbstack, and annotations have the addresses. Each
// Service gets one of its own at its turn.
func TestPlan_ServicesHaveTheAddressesOfBeforeARemoval(t *testing.T) {
	service := func(name, had string) corev1.Service {
		svc := unserved(name)
		svc.Annotations = map[string]string{v1beta1.AnnotationKeptAddresses: had}
		return svc
	}
	const want = "shop/a [192.0.2.3]\nshop/b [192.0.2.4]\nshop/c [192.0.2.1]\nshop/d [192.0.2.2]\n"
	if got := planned(t, service("a", "192.0.2.3"), service("b", "192.0.2.3,192.0.2.4,192.0.2.1"), service("c", "192.0.2.1"), service("d", "198.51.100.1")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// unserved returns a Service that no load balancer serves.
func unserved(name string) corev1.Service {
	return corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}
}

// planned plans a first stack with one pool, and returns the addresses of each Service after it.
func planned(t *testing.T, services ...corev1.Service) (text string) {
	t.Helper()
	to := &v1beta1.LoadBalancerStack{}
	to.Spec.IPAddressPools = []v1beta1.StackIPAddressPool{{Name: "pool", IPAddressPoolSpec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"192.0.2.1-192.0.2.9"}}}}
	changes, err := Plan(&Snapshot{Services: services}, to)
	if err != nil {
		t.Fatal(err)
	}
	for _, svc := range changes.Services {
		text += fmt.Sprintln(svc.Service, svc.After)
	}
	return text
}
