package migrate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// label is on the Services of the test, with labelRouted on those with routes.
const label, labelRouted = "lbstack.io/migrated", "routed"

// Services whose addresses clients connect to.
const (
	plain, dualStack, routed = "plain-1", "dual-1", "routed-1"
)

// first is a Service whose address is lower than those of most other Services of its pool, see services.
const first = "plain-2"

// services are 50 that ask MetalLB for addresses in all of its ways. Those that name addresses come first, before
// others get them.
func services() (list []*corev1.Service) {
	for i := range 6 {
		list = append(list, service(fmt.Sprintf("specific-%d", i+1), annotated("metallb.io/loadBalancerIPs", fmt.Sprintf("192.168.1.%d", 140+i))))
	}
	for i := range 2 {
		list = append(list, service(fmt.Sprintf("field-%d", i+1), func(svc *corev1.Service) { svc.Spec.LoadBalancerIP = fmt.Sprintf("192.168.1.%d", 147+i) }))
	}
	for i := range 6 { // three addresses, with two Services each
		list = append(list, service(fmt.Sprintf("shared-%d", i+1), annotated("metallb.io/allow-shared-ip", fmt.Sprintf("key-%d", i/2)), func(svc *corev1.Service) {
			svc.Spec.Ports[0].Port += int32(i % 2)
		}))
	}
	for i := range 15 {
		list = append(list, service(fmt.Sprintf("plain-%d", i+1)))
	}
	for i := range 8 {
		list = append(list, service(fmt.Sprintf("reserved-%d", i+1), annotated("metallb.io/address-pool", "reserved")))
	}
	for i := range 4 {
		list = append(list, service(fmt.Sprintf("former-%d", i+1), annotated("metallb.universe.tf/address-pool", "reserved")))
	}
	for i := range 5 {
		list = append(list, service(fmt.Sprintf("dual-%d", i+1), func(svc *corev1.Service) { svc.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyRequireDualStack) }))
	}
	for i := range 4 {
		list = append(list, service(fmt.Sprintf("routed-%d", i+1), annotated("metallb.io/address-pool", "routed"), func(svc *corev1.Service) { svc.Labels[label] = labelRouted }))
	}
	return list
}

func annotated(key, value string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Annotations = map[string]string{key: value} }
}

// service is one in front of the sample backend, changed.
func service(name string, changes ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: map[string]string{label: ""}},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}
	for _, change := range changes {
		change(svc)
	}
	return svc
}
