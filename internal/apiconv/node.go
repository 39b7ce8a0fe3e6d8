package apiconv

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// The kubelet sets this reason and this message in the condition Ready while its node shuts down.
const (
	reasonKubeletNotReady = "KubeletNotReady"
	messageShuttingDown   = "node is shutting down"
)

// DrainPolicy decides which nodes drain: nodes with a taint, a label or an annotation whose key is in
// one of the lists. A label or annotation with the value "false" is ignored.
type DrainPolicy struct {
	// Taints, Labels and Annotations are lists of keys.
	Taints, Labels, Annotations []string
	// IgnoreExcludeLabel means that the label which excludes nodes from load balancers has no effect.
	IgnoreExcludeLabel bool
}

// defaultDrainKey is the only key in each list that the stack does not set. The CRD has the same default.
const defaultDrainKey = "lbstack.io/drain"

// ParseDrainPolicy reads spec.drain and spec.nodes of a LoadBalancerStack. For nil, which means that there is
// no stack, it returns the defaults.
func ParseDrainPolicy(stack *v1beta1.LoadBalancerStack) DrainPolicy {
	if stack == nil {
		stack = &v1beta1.LoadBalancerStack{}
	}
	drain := &stack.Spec.Drain
	return DrainPolicy{
		Taints: drainKeys(drain.Taints), Labels: drainKeys(drain.Labels), Annotations: drainKeys(drain.Annotations),
		IgnoreExcludeLabel: stack.Spec.Nodes.IgnoreExcludeLabel,
	}
}

// drainKeys reads a list of keys. If the list is not set, it returns the default key. If the list is set
// but empty, it returns no key, and no node drains because of the list.
func drainKeys(keys []v1beta1.DrainKey) []string {
	if keys == nil {
		return []string{defaultDrainKey}
	}
	list := make([]string, 0, len(keys))
	for _, key := range keys {
		list = append(list, string(key))
	}
	return list
}

// ParseNode reads a Node.
func ParseNode(node *corev1.Node, policy DrainPolicy) eligibility.Node {
	ready := nodeCondition(node, corev1.NodeReady)
	why, keeps := whyExcluded(node, policy)
	return eligibility.Node{
		Name: lb.NodeName(node.Name), Labels: node.Labels, Excluded: why, KeepsAnnounced: keeps,
		Draining:  policy.hasDrainMark(node) || isShuttingDown(ready),
		Down:      ready != nil && ready.Status != corev1.ConditionTrue,
		Addresses: ownAddresses(node),
	}
}

// maxNodeAddresses is how many of a node's own addresses are read. The limit is needed since the kubelet of the
// node writes them, and nodes are not trusted.
const maxNodeAddresses = 16

// ownAddresses returns the addresses of the node itself, sorted and without repetitions.
func ownAddresses(node *corev1.Node) []netip.Addr {
	return slices.SortedFunc(slices.Values(NodeAddresses(node)), netip.Addr.Compare)
}

// addressesOf returns the addresses of the given types, in the order of status.addresses and without
// repetitions, but at most maxNodeAddresses. It leaves out names and ranges.
func addressesOf(node *corev1.Node, types ...corev1.NodeAddressType) []netip.Addr {
	var list []netip.Addr
	for _, a := range node.Status.Addresses {
		if !slices.Contains(types, a.Type) {
			continue
		}
		address, err := ParseAddress(a.Address)
		if err != nil || slices.Contains(list, address) {
			continue
		}
		if list = append(list, address); len(list) == maxNodeAddresses {
			break
		}
	}
	return list
}

// whyExcluded returns why a node must announce nothing, as the part of a sentence that follows the name
// of the node. keeps means that the node still announces an address that no other node may announce.
// This is useful, since the node still forwards traffic that arrives there, in spite of the label or the
// condition of its network plugin.
func whyExcluded(node *corev1.Node, policy DrainPolicy) (why string, keeps bool) {
	if hasTaint(node, corev1.TaintNodeOutOfService) {
		return "has the taint " + corev1.TaintNodeOutOfService, false
	}
	if _, has := node.Labels[corev1.LabelNodeExcludeBalancers]; has && !policy.IgnoreExcludeLabel {
		return "has the label " + corev1.LabelNodeExcludeBalancers, true
	}
	if c := nodeCondition(node, corev1.NodeNetworkUnavailable); c != nil && c.Status == corev1.ConditionTrue {
		return "has the condition NetworkUnavailable, which its network plugin removes when the network of its pods works", true
	}
	return "", false
}

func (p DrainPolicy) hasDrainMark(node *corev1.Node) bool {
	return slices.ContainsFunc(p.Taints, func(key string) bool { return hasTaint(node, key) }) ||
		hasTrueKey(node.Labels, p.Labels) || hasTrueKey(node.Annotations, p.Annotations)
}

func hasTaint(node *corev1.Node, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

func hasTrueKey(set map[string]string, keys []string) bool {
	return slices.ContainsFunc(keys, func(key string) bool {
		value, has := set[key]
		return has && value != "false"
	})
}

func isShuttingDown(ready *corev1.NodeCondition) bool {
	return ready != nil && ready.Status == corev1.ConditionFalse &&
		ready.Reason == reasonKubeletNotReady && strings.Contains(ready.Message, messageShuttingDown)
}

func nodeCondition(node *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	i := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == kind })
	if i < 0 {
		return nil
	}
	return &node.Status.Conditions[i]
}

// InternalIPs returns the addresses of the type InternalIP of a node, in the order of status.addresses. It
// leaves out names and ranges.
func InternalIPs(node *corev1.Node) []netip.Addr { return addressesOf(node, corev1.NodeInternalIP) }
