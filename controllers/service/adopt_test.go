package service

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// aged is a Service of that age in hours, with addresses in its status.
func aged(key lb.ServiceKey, age int, addresses ...string) corev1.Service {
	svc := service()
	svc.Namespace, svc.Name = key.Namespace, key.Name
	svc.CreationTimestamp = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Duration(age) * time.Hour))
	for _, a := range addresses {
		svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
	}
	return *svc
}

func TestOfTwoPoolsThatOverlapTheOneThatGivesAdopts(t *testing.T) {
	l := ledger.New()
	l.SetPools([]ipam.Pool{
		{Name: "a-younger", Ranges: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.0/28"))}, Unusable: "it overlaps"},
		{Name: "older", AutoAssign: true, Ranges: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.0/24"))}},
	})
	(&Adopter{Ledger: l}).adoptServices(t.Context(), []corev1.Service{aged(web, 1, "10.0.0.5")})
	if diff := cmp.Diff([]ipam.Holding{holding("10.0.0.5", "older", web)}, l.HeldBy(web), byAddr); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
}

func TestAdoptServices(t *testing.T) {
	class, otherClass := "lbstack.io/lbstack", "example.com/other"
	of := func(svc corev1.Service, class *string) corev1.Service {
		svc.Spec.LoadBalancerClass = class
		return svc
	}
	clusterIP, named := aged(web, 1, "10.0.0.1"), aged(web, 1)
	clusterIP.Spec.Type = corev1.ServiceTypeClusterIP
	named.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb.example"}, {IP: "10.0.0.3"}}
	tests := []struct {
		name     string
		class    string
		held     []ipam.Holding
		services []corev1.Service
		web      []ipam.Holding
		other    []ipam.Holding
		adopted  int
	}{
		{name: "an address without a claim is its Service's, with the pool that has it", services: []corev1.Service{aged(web, 1, "10.0.1.2")},
			web: []ipam.Holding{holding("10.0.1.2", "manual", web)}, adopted: 1},
		{name: "of two Services with one address the older one keeps it", services: []corev1.Service{aged(other, 1, "10.0.0.1"), aged(web, 2, "10.0.0.1")},
			web: []ipam.Holding{holding("10.0.0.1", "auto", web)}, adopted: 1},
		{name: "the order of the list does not matter", services: []corev1.Service{aged(web, 2, "10.0.0.1"), aged(other, 1, "10.0.0.1")},
			web: []ipam.Holding{holding("10.0.0.1", "auto", web)}, adopted: 1},
		{name: "of two Services of the same age the name decides", services: []corev1.Service{aged(web, 1, "10.0.0.1"), aged(other, 1, "10.0.0.1")},
			other: []ipam.Holding{holding("10.0.0.1", "auto", other)}, adopted: 1},
		{name: "who comes too late still keeps the other address that it has", services: []corev1.Service{aged(web, 2, "10.0.0.1"), aged(other, 1, "10.0.0.1", "10.0.0.2")},
			web: []ipam.Holding{holding("10.0.0.1", "auto", web)}, other: []ipam.Holding{holding("10.0.0.2", "auto", other)}, adopted: 2},
		{name: "a claim counts more than age", held: []ipam.Holding{holding("10.0.0.1", "auto", other)}, services: []corev1.Service{aged(web, 9, "10.0.0.1")},
			other: []ipam.Holding{holding("10.0.0.1", "auto", other)}},
		{name: "a reservation counts more than a status", held: []ipam.Holding{holding("10.0.0.1", "auto", lb.ServiceKey{})}, services: []corev1.Service{aged(web, 9, "10.0.0.1")}},
		{name: "what a Service has is what its claim says, not its status", held: []ipam.Holding{holding("10.0.0.2", "auto", web)}, services: []corev1.Service{aged(web, 1, "10.0.0.1")},
			web: []ipam.Holding{holding("10.0.0.2", "auto", web)}},
		{name: "an address in no pool is not lbstack's", services: []corev1.Service{aged(web, 1, "192.0.2.1", "10.0.0.1")},
			web: []ipam.Holding{holding("10.0.0.1", "auto", web)}, adopted: 1},
		{name: "a host name is no address", services: []corev1.Service{named}, web: []ipam.Holding{holding("10.0.0.3", "auto", web)}, adopted: 1},
		{name: "a Service that is no load balancer keeps nothing", services: []corev1.Service{clusterIP}},
		{name: "a Service of another class is another one's", services: []corev1.Service{of(aged(web, 1, "10.0.0.1"), &otherClass)}},
		{name: "a Service of the own class is served", class: class, services: []corev1.Service{of(aged(web, 1, "10.0.0.1"), &class), aged(other, 2, "10.0.0.2")},
			web: []ipam.Holding{holding("10.0.0.1", "auto", web)}, adopted: 1},
		{name: "without Services there is nothing to adopt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := Adopter{Ledger: filled(t, tt.held...), Class: tt.class}
			if got := a.adoptServices(t.Context(), tt.services); got != tt.adopted {
				t.Errorf("adopted: got %d, want %d", got, tt.adopted)
			}
			if diff := cmp.Diff(tt.web, a.Ledger.HeldBy(web), byAddr); diff != "" {
				t.Errorf("held by %s (-want +got):\n%s", web, diff)
			}
			if diff := cmp.Diff(tt.other, a.Ledger.HeldBy(other), byAddr); diff != "" {
				t.Errorf("held by %s (-want +got):\n%s", other, diff)
			}
		})
	}
}
