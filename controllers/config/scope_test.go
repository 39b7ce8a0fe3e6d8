package config

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

func TestWhichChangesOfNodesAreLookedAt(t *testing.T) {
	node := func(edit func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", ResourceVersion: "1", Labels: map[string]string{"zone": "a"}}}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}, {Type: corev1.NodeHostName, Address: "n1"}}
		edit(n)
		return n
	}
	for name, tt := range map[string]struct {
		edit func(*corev1.Node)
		want bool
	}{
		"only its heartbeat is new":  {func(n *corev1.Node) { n.ResourceVersion = "2" }, false},
		"it gets another name":       {func(n *corev1.Node) { n.Status.Addresses[1].Address = "n2" }, false},
		"it gets another address":    {func(n *corev1.Node) { n.Status.Addresses[0].Address = "10.0.0.2" }, true},
		"it is cordoned":             {func(n *corev1.Node) { n.Spec.Unschedulable = true }, false},
		"it is labelled":             {func(n *corev1.Node) { n.Labels["zone"] = "b" }, true},
		"it is no longer ready":      {func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }, true},
		"it is taken out of service": {func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService}} }, true},
	} {
		if got := NodeChanged.Update(event.UpdateEvent{ObjectOld: node(func(*corev1.Node) {}), ObjectNew: node(tt.edit)}); got != tt.want {
			t.Errorf("%s: looked at: got %v, want %v", name, got, tt.want)
		}
	}
}
