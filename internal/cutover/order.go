package cutover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Node is one that announces.
type Node struct{ Name, Hostname string }

// Order is which nodes move one after the other, before all others move together.
type Order struct {
	First, Together []Node
	// Silent are Services whose address no node announces from when its node moves until the end, by name.
	Silent []string
}

// NewOrder returns the order for a stack that announces to routers: a router has a route over other nodes while one node
// moves. Addresses of the local network move at the end, since two nodes must not answer for one: local has, by name, the
// Services of these that only nodes with an endpoint may announce, with these nodes. As long as it goes, such a node stays until
// the end. Nodes that have moved already come first.
func NewOrder(nodes []Node, moved []string, local map[string][]string) Order {
	needs := map[string]int{}
	for _, at := range local {
		for _, node := range at {
			needs[node]++
		}
	}
	isMoved := func(n Node) bool { return slices.Contains(moved, n.Hostname) }
	ordered := slices.SortedFunc(slices.Values(nodes), func(x, y Node) int {
		return cmp.Or(cmp.Compare(rank(isMoved(x)), rank(isMoved(y))), cmp.Compare(needs[x.Name], needs[y.Name]), cmp.Compare(x.Name, y.Name))
	})
	var o Order
	gone := map[string]bool{}
	for i, node := range ordered {
		// One node moves alone in any case: without it no router has a route for a moment.
		if last := i == len(ordered)-1; last && i > 0 || !isMoved(node) && i > 0 && len(silenced(local, gone, node.Name)) > 0 {
			o.Together = append(o.Together, node)
			continue
		}
		gone[node.Name] = true
		o.First = append(o.First, node)
	}
	o.Silent = silenced(local, gone, "")
	return o
}

func rank(moved bool) int {
	if moved {
		return 0
	}
	return 1
}

// silenced are the Services that no node announces any more when one more has moved.
func silenced(local map[string][]string, gone map[string]bool, next string) (services []string) {
	for _, name := range slices.Sorted(maps.Keys(local)) {
		at := local[name]
		if len(at) > 0 && !slices.ContainsFunc(at, func(node string) bool { return !gone[node] && node != next }) {
			services = append(services, name)
		}
	}
	return services
}

// Nodes returns those on which pods of MetalLB's speakers run, or run no more because of the switch, with their hostnames, by
// name. A hostname that is missing, or that two nodes have, is an error: nodes are selected by it.
func Nodes(all []corev1.Node, speakers []corev1.Pod, moved []string) (nodes []Node, err error) {
	owner := map[string]string{}
	for i := range all {
		node := &all[i]
		hostname := node.Labels[corev1.LabelHostname]
		runs := slices.ContainsFunc(speakers, func(p corev1.Pod) bool { return p.Spec.NodeName == node.Name })
		if !runs && !slices.Contains(moved, hostname) {
			continue
		}
		if hostname == "" {
			return nil, fmt.Errorf("node %s has no label %s: nodes are selected by it while they move one after the other: set it", node.Name, corev1.LabelHostname)
		}
		if other, used := owner[hostname]; used {
			return nil, fmt.Errorf("nodes %s and %s have the same label %s=%s: nodes are selected by it while they move one after the other: make it unique", other, node.Name, corev1.LabelHostname, hostname)
		}
		owner[hostname] = node.Name
		nodes = append(nodes, Node{Name: node.Name, Hostname: hostname})
	}
	slices.SortFunc(nodes, func(x, y Node) int { return cmp.Compare(x.Name, y.Name) })
	return nodes, nil
}

// Hostnames of nodes.
func Hostnames(nodes []Node) (names []string) {
	for _, n := range nodes {
		names = append(names, n.Hostname)
	}
	return names
}
