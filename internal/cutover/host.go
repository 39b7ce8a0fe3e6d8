package cutover

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// Host is the node on which the first speaker of MetalLB starts in a rollback. While no other speaker of
// MetalLB runs, this speaker announces all addresses of the local network. lbstack announces the addresses
// from the same node until this speaker announces them. So hosts get the same hardware address from both
// (decision 0079).
type Host struct {
	Node
	// From maps each address that lbstack announces to the name of the node.
	From map[string]string
	// Others are the hostnames of all other nodes, on which MetalLB's speakers start later.
	Others []string
}

// ChooseHost returns a node that may announce all addresses that lbstack announces now. It prefers the nodes
// in preferred, and among these the node that announces most addresses now. If there is no such node, the
// result why is the reason. If lbstack announces no address, the host and the reason are empty.
func (c *Cluster) ChooseHost(stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice, preferred []Node) (host *Host, why string) {
	may, from := c.announcerNodes(stack, endpoints), map[string]string{}
	for i := range c.States {
		if isGone(&c.States[i]) {
			continue
		}
		for _, a := range c.States[i].Status.Addresses {
			from[a.Address] = ""
		}
	}
	if len(from) == 0 {
		return nil, ""
	}
	all, err := SpeakerNodes(c.Nodes, podPerNode(c.Nodes), nil)
	if err != nil {
		return nil, err.Error()
	}
	able := slices.DeleteFunc(slices.Clone(all), func(n Node) bool {
		for address := range from {
			if !slices.Contains(may[address], n.Name) {
				return true
			}
		}
		return c.stateOf(n.Name) == nil
	})
	if len(able) == 0 {
		return nil, fmt.Sprintf("no single node may announce all %d addresses", len(from))
	}
	best := slices.MinFunc(able, func(x, y Node) int {
		return cmp.Or(cmp.Compare(moveRank(slices.Contains(preferred, x)), moveRank(slices.Contains(preferred, y))),
			cmp.Compare(c.stateOf(y.Name).Status.AddressCount, c.stateOf(x.Name).Status.AddressCount), cmp.Compare(x.Name, y.Name))
	})
	for address := range from {
		from[address] = best.Name
	}
	return &Host{Node: best, From: from, Others: Hostnames(slices.DeleteFunc(all, func(n Node) bool { return n == best }))}, ""
}

// podPerNode returns one pod for each node. With these pods as its argument, SpeakerNodes returns all nodes.
func podPerNode(nodes []corev1.Node) (pods []corev1.Pod) {
	for i := range nodes {
		pods = append(pods, corev1.Pod{Spec: corev1.PodSpec{NodeName: nodes[i].Name}})
	}
	return pods
}

// Without returns the order without the given node.
func (o *Order) Without(node Node) Order {
	is := func(n Node) bool { return n == node }
	return Order{OneByOne: slices.DeleteFunc(slices.Clone(o.OneByOne), is), Together: slices.DeleteFunc(slices.Clone(o.Together), is)}
}
