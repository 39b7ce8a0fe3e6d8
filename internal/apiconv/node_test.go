package apiconv

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
)

func TestParseNode(t *testing.T) {
	const key = "lbstack.io/drain"
	policy := DrainPolicy{Taints: []string{"maintenance", key}, Labels: []string{key}, Annotations: []string{key}}
	labelled := func(key, value string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{key: value}}}
	}
	annotated := func(value string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{key: value}}}
	}
	tainted := func(key string) corev1.Node {
		return corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule}}}}
	}
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.Node {
		return corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: kind, Status: status, Reason: reason, Message: message}}}}
	}
	tests := []struct {
		name string
		node corev1.Node
		want eligibility.Node
	}{
		{"a node without labels and taints may announce", corev1.Node{}, eligibility.Node{}},
		{"a cordoned node may announce", corev1.Node{Spec: corev1.NodeSpec{Unschedulable: true}}, eligibility.Node{}},
		{"the exclusion label excludes whatever its value", labelled(corev1.LabelNodeExcludeBalancers, "false"),
			eligibility.Node{Excluded: "has the label node.kubernetes.io/exclude-from-external-load-balancers", KeepsAnnounced: true}},
		{"a node out of service is excluded", tainted(corev1.TaintNodeOutOfService), eligibility.Node{Excluded: "has the taint node.kubernetes.io/out-of-service"}},
		{"a node without a network is excluded", condition(corev1.NodeNetworkUnavailable, corev1.ConditionTrue, "", ""),
			eligibility.Node{Excluded: "has the condition NetworkUnavailable, which its network plugin removes when the network of its pods works", KeepsAnnounced: true}},
		{"a node with a network is not", condition(corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "", ""), eligibility.Node{}},
		{"a taint drains", tainted("maintenance"), eligibility.Node{Draining: true}},
		{"another taint does not", tainted("gpu"), eligibility.Node{}},
		{"a label drains", labelled(key, ""), eligibility.Node{Draining: true}},
		{"a label with the value false does not", labelled(key, "false"), eligibility.Node{}},
		{"an annotation drains", annotated("true"), eligibility.Node{Draining: true}},
		{"an annotation with the value false does not", annotated("false"), eligibility.Node{}},
		{"a node that shuts down drains and is down", condition(corev1.NodeReady, corev1.ConditionFalse, "KubeletNotReady", "[node is shutting down, x]"), eligibility.Node{Draining: true, Down: true}},
		{"a node that is not ready is down", condition(corev1.NodeReady, corev1.ConditionFalse, "KubeletNotReady", "no runtime"), eligibility.Node{Down: true}},
		{"a node without reports is down", condition(corev1.NodeReady, corev1.ConditionUnknown, "NodeStatusUnknown", ""), eligibility.Node{Down: true}},
		{"a ready node is not down", condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", ""), eligibility.Node{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.node.Name, tt.want.Name, tt.want.Labels = "n1", "n1", tt.node.Labels
			if diff := cmp.Diff(tt.want, ParseNode(&tt.node, policy)); diff != "" {
				t.Errorf("node (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEmptyPolicyDrainsNothing(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"lbstack.io/drain": "", "": ""}}}
	if ParseNode(node, DrainPolicy{}).Draining {
		t.Error("got a node that drains, want none")
	}
}

func TestParseDrainPolicy(t *testing.T) {
	key := []string{"lbstack.io/drain"}
	if diff := cmp.Diff(DrainPolicy{Taints: key, Labels: key, Annotations: key}, ParseDrainPolicy(nil)); diff != "" {
		t.Errorf("without a stack (-want +got):\n%s", diff)
	}
	stack := &v1beta1.LoadBalancerStack{Spec: v1beta1.LoadBalancerStackSpec{
		Drain: v1beta1.DrainSpec{Taints: []v1beta1.DrainKey{"a", "b/c"}, Labels: []v1beta1.DrainKey{}, Annotations: []v1beta1.DrainKey{"d"}},
		Nodes: v1beta1.NodesSpec{IgnoreExcludeLabel: true},
	}}
	want := DrainPolicy{Taints: []string{"a", "b/c"}, Labels: []string{}, Annotations: []string{"d"}, IgnoreExcludeLabel: true}
	if diff := cmp.Diff(want, ParseDrainPolicy(stack)); diff != "" {
		t.Errorf("a stack (-want +got):\n%s", diff)
	}
}

func TestTheExcludeLabelCanBeIgnored(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{corev1.LabelNodeExcludeBalancers: ""}}}
	if got := ParseNode(node, DrainPolicy{IgnoreExcludeLabel: true}); got.Excluded != "" {
		t.Errorf("got a node that %s, want one that may announce", got.Excluded)
	}
}

func TestAddressesOfANode(t *testing.T) {
	node := &corev1.Node{}
	node.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: "10.0.0.9"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.2"}, {Type: corev1.NodeExternalIP, Address: "10.0.0.1"},
		{Type: corev1.NodeInternalIP, Address: "0.0.0.0/0"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.3-10.0.0.9"}, {Type: corev1.NodeExternalIP, Address: "10.0.0.2"},
	}
	want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	if got := ParseNode(node, DrainPolicy{}).Addresses; !slices.Equal(want, got) {
		t.Errorf("got %v, want %v", got, want)
	}
	for range 1000 {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.4"})
	}
	if got := ParseNode(node, DrainPolicy{}).Addresses; !slices.Equal(want, got[:2]) || len(got) > maxNodeAddresses {
		t.Errorf("of 1000 more: got %d, want at most %d", len(got), maxNodeAddresses)
	}
}

// A kubelet may list names and other types first, as many as it likes.
func TestAddressesAreCountedAfterTheyAreRead(t *testing.T) {
	node := &corev1.Node{}
	for i := range 100 {
		node.Status.Addresses = append(node.Status.Addresses,
			corev1.NodeAddress{Type: corev1.NodeHostName, Address: "n1"}, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "name"},
			corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: fmt.Sprintf("203.0.113.%d", i/50)})
	}
	for i := range 100 {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.0.0.%d", i+1)})
	}
	internal := InternalIPs(node)
	if len(internal) != maxNodeAddresses || internal[0] != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("InternalIPs: got %v, want the first %d, from 10.0.0.1 on", internal, maxNodeAddresses)
	}
	kubelet, has := KubeletAddress(node)
	if want := netip.MustParseAddrPort("10.0.0.1:10250"); kubelet != want || !has {
		t.Errorf("kubelet: got %s, %v, want %s", kubelet, has, want)
	}
	own := ParseNode(node, DrainPolicy{}).Addresses
	if len(own) != maxNodeAddresses || !slices.Contains(own, netip.MustParseAddr("10.0.0.14")) || !slices.Contains(own, netip.MustParseAddr("203.0.113.1")) {
		t.Errorf("own addresses: got %v, want two of type ExternalIP and 10.0.0.1 to 10.0.0.14", own)
	}
	if got := NodeNetworks(node, nil).Addresses; len(got) != maxNodeAddresses {
		t.Errorf("addresses that pools do not give: got %d, want %d", len(got), maxNodeAddresses)
	}
}
