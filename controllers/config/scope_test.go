package config

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// has selects what has the label.
func withLabel(key string) []eligibility.Selector {
	return []eligibility.Selector{func(labels map[string]string) bool { return labels[key] != "" }}
}

func TestCheckScope(t *testing.T) {
	pools := []eligibility.Pool{{Name: "a", Labels: map[string]string{"public": "x"}}, {Name: "b"}}
	nodes := []eligibility.Node{{Name: "n1", Labels: map[string]string{"rack": "1"}}, {Name: "n2"}}
	for _, tt := range []struct {
		name   string
		scope  eligibility.Scope
		pools  []eligibility.Pool
		nodes  []eligibility.Node
		reason string
		part   string
	}{
		{name: "all of everything", pools: pools, nodes: nodes},
		{name: "all of nothing"},
		{"pools and nodes that are there", eligibility.Scope{Pools: []lb.PoolName{"a", "b"}, PoolSelectors: withLabel("public"), NodeSelectors: withLabel("rack")}, pools, nodes, "", ""},
		{"a pool that is not", eligibility.Scope{Pools: []lb.PoolName{"a", "c"}}, pools, nodes, v1beta1.ReasonUnknownPool, `spec.ipAddressPools names the IPAddressPool "c", which does not exist`},
		{"several pools that are not", eligibility.Scope{Pools: []lb.PoolName{"c", "a", "d"}}, pools, nodes, v1beta1.ReasonUnknownPool, `the IPAddressPools "c" and "d", which do not exist`},
		{"labels that no pool has", eligibility.Scope{PoolSelectors: withLabel("private")}, pools, nodes, v1beta1.ReasonNoPool, "spec.ipAddressPoolSelectors match none of the 2 pools: change the selectors or the labels of the pools"},
		{"labels, and there is no pool", eligibility.Scope{PoolSelectors: withLabel("private")}, nil, nodes, v1beta1.ReasonNoPool, "spec.ipAddressPoolSelectors select nothing: the cluster has no pool"},
		{"of two lists the one that selects nothing", eligibility.Scope{Pools: []lb.PoolName{"a"}, PoolSelectors: withLabel("private")}, pools, nodes, v1beta1.ReasonNoPool, "none of the 2 pools"},
		{"labels that no node has", eligibility.Scope{NodeSelectors: withLabel("row")}, pools, nodes, v1beta1.ReasonNoNodes, "spec.nodeSelectors match none of the 2 nodes: change the selectors or the labels of the nodes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := checkScope(&tt.scope, tt.pools, tt.nodes)
			if got.Reason != tt.reason || got.Ready || !strings.Contains(got.Message, tt.part) {
				t.Errorf("got %+v, want %q and %q", got, tt.reason, tt.part)
			}
		})
	}
}

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
