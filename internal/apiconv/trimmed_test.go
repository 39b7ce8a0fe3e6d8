package apiconv

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// manyLabels returns so many labels with values of so many bytes.
func manyLabels(count, bytes int) map[string]string {
	labels := map[string]string{}
	for i := range count {
		labels[fmt.Sprintf("key-%06d", i)] = strings.Repeat("v", bytes)
	}
	return labels
}

func TestTrimLabels(t *testing.T) {
	for name, tt := range map[string]struct {
		labels map[string]string
		want   int // of them
		cut    bool
	}{
		"none":                    {nil, 0, false},
		"as many as there can be": {manyLabels(maxLabels, 10), maxLabels, false},
		"one more":                {manyLabels(maxLabels+1, 10), maxLabels, true},
		"a megabyte":              {manyLabels(100_000, 1), maxLabels, true},
		"few that are long":       {manyLabels(20, 1000), 8, true},
	} {
		got := TrimLabels(tt.labels)
		if HasCutLabels(got) != tt.cut {
			t.Errorf("%s: cut: got %v, want %v", name, HasCutLabels(got), tt.cut)
		}
		delete(got, cutKey)
		if len(got) != tt.want {
			t.Errorf("%s: got %d labels, want %d", name, len(got), tt.want)
		}
		for i := range tt.want {
			if key := fmt.Sprintf("key-%06d", i); got[key] != tt.labels[key] {
				t.Errorf("%s: the label %s is %q, want %q: the first ones stay", name, key, got[key], tt.labels[key])
			}
		}
	}
	twice := TrimLabels(TrimLabels(manyLabels(1000, 1)))
	if diff := cmp.Diff(TrimLabels(manyLabels(1000, 1)), twice); diff != "" {
		t.Errorf("trimmed twice (-once +twice):\n%s", diff)
	}
}

func TestTrimService(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "n", Name: "s", UID: "u", ResourceVersion: "7", Generation: 3, CreationTimestamp: metav1.Unix(1, 0), Labels: map[string]string{"a": "b"}}
	class, policy := "lbstack.io/lbstack", corev1.IPFamilyPolicyPreferDualStack
	want := &corev1.Service{
		ObjectMeta: meta,
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}, Selector: map[string]string{"app": "web"},
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPFamilyPolicy: &policy,
			LoadBalancerIP: "10.0.0.1", LoadBalancerClass: &class, ExternalIPs: []string{"192.0.2.1"},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "10.0.0.1"}}}},
	}
	want.Annotations = map[string]string{"lbstack.io/address-pool": "p", "metallb.io/x": "", "lbstack.io/ip-allocated-from-pool": "p", "metallb.universe.tf/address-pool": "q"}
	whole := want.DeepCopy()
	whole.Annotations["metallb.io/x"] = strings.Repeat("y", 1000)
	whole.Annotations["example.com/large"] = strings.Repeat("x", 1000)
	whole.ManagedFields, whole.Finalizers = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}, []string{"f"}
	whole.Spec.Ports[0].Name, whole.Spec.ExternalIPs, whole.Spec.ClusterIPs = "http", []string{"192.0.2.1"}, []string{"10.96.0.1"}
	got := TrimService(whole)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is kept (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, TrimService(got)); diff != "" {
		t.Errorf("trimmed twice (-once +twice):\n%s", diff)
	}
}

func TestTrimService_Bounds(t *testing.T) {
	svc := &corev1.Service{Spec: corev1.ServiceSpec{Selector: manyLabels(1000, 50), LoadBalancerIP: strings.Repeat("1", 10_000)}}
	svc.Annotations = map[string]string{"lbstack.io/load-balancer-ips": strings.Repeat("10.0.0.1,", 10_000)}
	for i := range 1000 {
		svc.Annotations[fmt.Sprintf("lbstack.io/a%d", i)] = strings.Repeat("x", 100)
	}
	svc.Spec.Ports = make([]corev1.ServicePort, 10_000)
	svc.Spec.ExternalIPs = make([]string, 10_000)
	got := TrimService(svc)
	for what, is := range map[string]bool{
		"ports":          len(got.Spec.Ports) <= maxPorts+1,
		"annotations":    len(got.Annotations) == maxUnknownAnnotations+1,
		"unknown ones":   got.Annotations["lbstack.io/a0"] == "" && len(UnknownAnnotations(got)) == maxUnknownAnnotations,
		"addresses":      len(got.Annotations["lbstack.io/load-balancer-ips"]) <= maxAnnotationBytes,
		"loadBalancerIP": len(got.Spec.LoadBalancerIP) <= maxLoadBalancerIPBytes,
		"selector":       len(got.Spec.Selector) == 1,
		"externalIPs":    len(got.Spec.ExternalIPs) == MaxExternalIPs+1,
	} {
		if !is {
			t.Errorf("%s are not within their bound", what)
		}
	}
	if _, err := ParseRequest(got, nil); err == nil {
		t.Error("a list of addresses that was cut is taken for one that was meant so")
	}
	other := svc.DeepCopy()
	other.Spec.Selector["key-000999"] = "another"
	if same := cmp.Equal(got.Spec.Selector, TrimService(other).Spec.Selector); same {
		t.Error("two long selectors that differ are the same when they are trimmed")
	}
}

func TestParseRequest_TooManyLabels(t *testing.T) {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Labels: manyLabels(maxLabels+1, 1)}}
	_, err := ParseRequest(TrimService(svc), nil)
	if err == nil || !strings.HasPrefix(err.Error(), "metadata.labels: ") {
		t.Errorf("got error %v, want one about metadata.labels", err)
	}
}
