package announcement

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestWhichChangesOfNodesAreLookedAt(t *testing.T) {
	node := func(edit func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", ResourceVersion: "1", Labels: map[string]string{"zone": "a"}}}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		edit(n)
		return n
	}
	for name, tt := range map[string]struct {
		edit func(*corev1.Node)
		want bool
	}{
		"it only beats":              {func(n *corev1.Node) { n.ResourceVersion = "2" }, false},
		"it gets another address":    {func(n *corev1.Node) { n.Status.Addresses = []corev1.NodeAddress{{Address: "10.0.0.1"}} }, false},
		"it is cordoned":             {func(n *corev1.Node) { n.Spec.Unschedulable = true }, false},
		"it is labelled":             {func(n *corev1.Node) { n.Labels["zone"] = "b" }, true},
		"it is no longer ready":      {func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }, true},
		"it is taken out of service": {func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService}} }, true},
	} {
		if got := nodeChanged.Update(event.UpdateEvent{ObjectOld: node(func(*corev1.Node) {}), ObjectNew: node(tt.edit)}); got != tt.want {
			t.Errorf("%s: looked at: got %v, want %v", name, got, tt.want)
		}
	}
}

func TestClaimsWakeTheServicesThatTheyName(t *testing.T) {
	claim := &v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{Holders: []v1beta1.ClaimHolder{{Namespace: "a", Name: "web"}, {Namespace: "b", Name: "dns"}}}}
	var got []string
	for _, r := range onClaim(t.Context(), claim) {
		got = append(got, r.String())
	}
	if want := []string{"a/web", "b/dns"}; !slices.Equal(got, want) {
		t.Errorf("woken: got %v, want %v", got, want)
	}
	if got := onClaim(t.Context(), &corev1.Node{}); got != nil {
		t.Errorf("what is no claim: got %v, want nobody", got)
	}
}

func TestServicesAreFoundByTheirAddresses(t *testing.T) {
	svc := &corev1.Service{}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.168.1.240"}, {IP: "2001:0db8::1"}, {Hostname: "lb.example"}}
	if got, want := addressesOf(svc), []string{"192.168.1.240", "2001:db8::1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
