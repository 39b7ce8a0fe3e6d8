package apiconv

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestExternalIPs(t *testing.T) {
	addresses := func(texts ...string) (list []netip.Addr) {
		for _, s := range texts {
			list = append(list, netip.MustParseAddr(s))
		}
		return list
	}
	for name, tt := range map[string]struct {
		items []string
		want  []netip.Addr
		more  bool
	}{
		"none":                        {nil, nil, false},
		"both families":               {[]string{"2001:db8::1", "192.0.2.1"}, addresses("192.0.2.1", "2001:db8::1"), false},
		"the same twice":              {[]string{"192.0.2.1", "192.0.2.1"}, addresses("192.0.2.1"), false},
		"IPv4 mapped into IPv6":       {[]string{"::ffff:192.0.2.1"}, addresses("192.0.2.1"), false},
		"leading zeros":               {[]string{"192.000.002.001"}, addresses("192.0.2.1"), false},
		"no address":                  {[]string{"example.com", "192.0.2.1"}, addresses("192.0.2.1"), false},
		"as many as are read":         {slices.Repeat([]string{"192.0.2.1"}, MaxExternalIPs), addresses("192.0.2.1"), false},
		"one more, which is not read": {append(slices.Repeat([]string{"192.0.2.1"}, MaxExternalIPs), "192.0.2.2"), addresses("192.0.2.1"), true},
	} {
		svc := &corev1.Service{Spec: corev1.ServiceSpec{ExternalIPs: tt.items}}
		got, more := ExternalIPs(svc)
		if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" || more != tt.more {
			t.Errorf("%s: got more=%v, want %v; addresses (-want +got):\n%s", name, more, tt.more, diff)
		}
		if _, trimmed := ExternalIPs(TrimToExternalIPs(svc)); trimmed != tt.more {
			t.Errorf("%s: after trimming: got more=%v, want %v", name, trimmed, tt.more)
		}
	}
}

func TestTrimToExternalIPs(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "n", Name: "s", UID: "u", ResourceVersion: "7", Generation: 3}
	want := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ExternalIPs: []string{"192.0.2.1"}}}
	want.Status.Conditions = []metav1.Condition{{Type: v1beta1.ServiceExternalIPConflict}}
	whole := want.DeepCopy()
	whole.Labels, whole.Annotations = manyLabels(1000, 10), manyLabels(1000, 10)
	whole.Spec.Type, whole.Spec.ClusterIP, whole.Spec.Ports = corev1.ServiceTypeClusterIP, "10.96.0.1", []corev1.ServicePort{{Port: 80}}
	whole.Status.Conditions = append([]metav1.Condition{{Type: "other"}}, whole.Status.Conditions...)
	if diff := cmp.Diff(want, TrimToExternalIPs(whole)); diff != "" {
		t.Errorf("what is kept (-want +got):\n%s", diff)
	}
}
