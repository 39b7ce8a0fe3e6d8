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
		svc := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}
		for _, a := range shows {
			svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
		}
		return svc
	}
	s := &Snapshot{Services: []corev1.Service{service("a"), service("b", "192.0.2.1"), service("c", "192.0.2.3"), service("d", "198.51.100.1")}}
	to := &v1beta1.LoadBalancerStack{}
	to.Spec.IPAddressPools = []v1beta1.StackIPAddressPool{{Name: "pool", IPAddressPoolSpec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"192.0.2.1-192.0.2.9"}}}}
	changes, err := Plan(s, to)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, svc := range changes.Services {
		got += fmt.Sprintln(svc.Service, svc.After)
	}
	const want = "shop/a [192.0.2.2]\nshop/b [192.0.2.1]\nshop/c [192.0.2.3]\nshop/d [192.0.2.4]\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
