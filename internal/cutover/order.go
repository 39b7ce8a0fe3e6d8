package cutover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Node is a node of the cluster that moves between the load balancers. Hostname is its label kubernetes.io/hostname; empty where
// all nodes move together.
type Node struct{ Name, Hostname string }

// Order is the order in which nodes move: those in OneByOne one after the other, those in Together at once. In a switch to
// lbstack the nodes in Together move last, in a rollback first.
type Order struct {
	OneByOne, Together []Node
	// Silent are the Services, as namespace/name, that no node announces on the local network for a while.
	// All nodes that may announce them are in OneByOne, but addresses of the local network move together with
	// the nodes in Together.
	Silent []string
}

// GroupMoves returns the moves of the nodes in OneByOne, in order. Each move has the nodes that move at the
// same time. If an earlier run has already moved nodes (their hostnames are in moved), the first move has all
// of these, so that none of them moves back.
func (o *Order) GroupMoves(moved []string) (moves [][]Node) {
	var again []Node
	for _, node := range o.OneByOne {
		if slices.Contains(moved, node.Hostname) {
			again = append(again, node)
		} else {
			moves = append(moves, []Node{node})
		}
	}
	if len(again) > 0 {
		moves = slices.Insert(moves, 0, again)
	}
	return moves
}

// AddHostnames returns the union of hostnames and the hostnames of nodes, sorted.
func AddHostnames(hostnames []string, nodes []Node) []string {
	all := slices.Concat(hostnames, Hostnames(nodes))
	slices.Sort(all)
	return slices.Compact(all)
}

// NodesPhrase returns a phrase with the names of nodes, for messages.
func NodesPhrase(nodes []Node) string {
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	if len(names) == 1 {
		return "node " + names[0]
	}
	return "nodes " + strings.Join(names, ", ")
}

// PodNodes returns the nodes of pods, sorted by name and without hostnames, which a switch without routes does not need.
func PodNodes(pods []corev1.Pod) (nodes []Node) {
	for _, pod := range pods {
		if n := (Node{Name: pod.Spec.NodeName}); n.Name != "" && !slices.Contains(nodes, n) {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(x, y Node) int { return cmp.Compare(x.Name, y.Name) })
	return nodes
}

// NewOrder returns the order for a stack that announces to routers. Nodes move one by one, so that routers
// have routes over the other nodes while one moves. lbstack announces addresses of the local network only at
// the end, since two nodes must not answer for one address. The map local has the Services with such
// addresses and the nodes that may announce them (see LocalServices). Where possible, one of these nodes
// stays with MetalLB until the end. Nodes whose hostnames are in moved have moved already, and come first.
func NewOrder(nodes []Node, moved []string, local map[string][]string) Order {
	local = selectNodes(nodes, local)
	needs := map[string]int{}
	for _, at := range local {
		for _, node := range at {
			needs[node]++
		}
	}
	isMoved := func(n Node) bool { return slices.Contains(moved, n.Hostname) }
	ordered := slices.SortedFunc(slices.Values(nodes), func(x, y Node) int {
		return cmp.Or(cmp.Compare(moveRank(isMoved(x)), moveRank(isMoved(y))), cmp.Compare(needs[x.Name], needs[y.Name]), cmp.Compare(x.Name, y.Name))
	})
	var o Order
	gone := map[string]bool{}
	for i, node := range ordered {
		// The first node always moves alone: if all moved together, routers would be without routes for a moment.
		if last := i == len(ordered)-1; last && i > 0 || !isMoved(node) && i > 0 && len(silencedServices(local, gone, node.Name)) > 0 {
			o.Together = append(o.Together, node)
			continue
		}
		gone[node.Name] = true
		o.OneByOne = append(o.OneByOne, node)
	}
	o.Silent = silencedServices(local, gone, "")
	return o
}

// selectNodes returns the Services of local, each with only those nodes that have a speaker of MetalLB
// (nodes).
func selectNodes(nodes []Node, local map[string][]string) map[string][]string {
	cut := map[string][]string{}
	for name, at := range local {
		cut[name] = slices.DeleteFunc(slices.Clone(at), func(name string) bool {
			return !slices.ContainsFunc(nodes, func(n Node) bool { return n.Name == name })
		})
	}
	return cut
}

func moveRank(moved bool) int {
	if moved {
		return 0
	}
	return 1
}

// silencedServices returns the Services of local for which no node is left: each node that may announce the
// Service is in gone, or is the node next.
func silencedServices(local map[string][]string, gone map[string]bool, next string) (services []string) {
	for _, name := range slices.Sorted(maps.Keys(local)) {
		at := local[name]
		if len(at) > 0 && !slices.ContainsFunc(at, func(node string) bool { return !gone[node] && node != next }) {
			services = append(services, name)
		}
	}
	return services
}

// SpeakerNodes returns the nodes that have a pod of speakers, or whose hostname is in moved, sorted by name. A hostname that is
// missing or that two nodes have is an error, since nodes are selected by hostname.
func SpeakerNodes(all []corev1.Node, speakers []corev1.Pod, moved []string) (nodes []Node, err error) {
	owner := map[string]string{}
	for i := range all {
		node := &all[i]
		hostname := node.Labels[corev1.LabelHostname]
		runs := slices.ContainsFunc(speakers, func(p corev1.Pod) bool { return p.Spec.NodeName == node.Name })
		if !runs && !slices.Contains(moved, hostname) {
			continue
		}
		if hostname == "" {
			return nil, fmt.Errorf("node %s has no label %s: a switch selects nodes by this label while they move one after the other: set the label", node.Name, corev1.LabelHostname)
		}
		if other, used := owner[hostname]; used {
			return nil, fmt.Errorf("nodes %s and %s have the same label %s=%s: a switch selects nodes by this label while they move one after the other: give each node a value of its own", other, node.Name, corev1.LabelHostname, hostname)
		}
		owner[hostname] = node.Name
		nodes = append(nodes, Node{Name: node.Name, Hostname: hostname})
	}
	slices.SortFunc(nodes, func(x, y Node) int { return cmp.Compare(x.Name, y.Name) })
	return nodes, nil
}

// Hostnames returns the hostnames of nodes.
func Hostnames(nodes []Node) (names []string) {
	for _, n := range nodes {
		names = append(names, n.Hostname)
	}
	return names
}
