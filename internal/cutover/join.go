package cutover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/maintenance"
)

// A host of the local network cannot distinguish two load balancers that answer for an address from one node: both answer with the
// node's hardware address. So before MetalLB ends, lbstack announces each address from the same node as MetalLB (decision 0079).

// AnnotationRequestedNode marks the claims in which a switch has set AnnotationAnnounceFrom. Its value is the node that the
// switch set and, after a comma, the node that an administrator had set before, if any. The switch restores the latter at its
// end.
const AnnotationRequestedNode = "lbstack.io/asked-by-migration"

// requestedBySwitch reports whether a switch has set the node that should announce the address of a claim.
// The result others is the node that an administrator has set, before or after the switch. It is empty if
// there is none.
func requestedBySwitch(claim *v1beta1.IPAddressClaim) (asks bool, others string) {
	now := string(apiconv.AnnounceFromNode(claim))
	node, others, _ := strings.Cut(claim.Annotations[AnnotationRequestedNode], ",")
	if now == "" || now != node {
		return false, now
	}
	return true, others
}

// AddAnnouncer adds the node of a ServiceL2Status to Announcers. In such an object a speaker of MetalLB reports that its node
// announces a Service.
func (c *Cluster) AddAnnouncer(status *unstructured.Unstructured) {
	get := func(field string) string {
		text, _, _ := unstructured.NestedString(status.Object, "status", field)
		return text
	}
	if c.Announcers == nil {
		c.Announcers = map[string][]string{}
	}
	name := get("serviceNamespace") + "/" + get("serviceName")
	if node := get("node"); node != "" && !slices.Contains(c.Announcers[name], node) {
		c.Announcers[name] = append(c.Announcers[name], node)
	}
}

// AnnouncedFrom returns the node from which MetalLB announces each address on the local network, by address.
// If the node of an address is not known, or if lbstack may not announce the address from that node, the
// result why is a sentence about this. Otherwise it is empty.
func (c *Cluster) AnnouncedFrom(stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice) (from map[string]string, why string) {
	from = map[string]string{}
	local, serving := c.LocalServices(stack, endpoints), endpointNodes(endpoints)
	for _, svc := range c.shownServices(stack.Spec.LoadBalancerClass) {
		may, wanted := local[svc.name]
		nodes := slices.DeleteFunc(slices.Clone(c.Announcers[svc.name]), func(node string) bool { return !c.runsSpeaker(node) })
		switch {
		case !wanted || len(nodes) == 0 && (len(serving[svc.name]) == 0 || !appliesToAll(stack, svc)):
			continue // MetalLB does not announce it
		case len(nodes) == 0:
			return nil, fmt.Sprintf("MetalLB does not report which node announces Service %s (MetalLB before 0.14.2 has no ServiceL2Status)", svc.name)
		case len(nodes) > 1:
			return nil, fmt.Sprintf("MetalLB reports that %d nodes announce Service %s, instead of one", len(nodes), svc.name)
		case !slices.Contains(may, nodes[0]):
			return nil, fmt.Sprintf("MetalLB announces Service %s from node %s, but the stack does not let lbstack announce it from this node", svc.name, nodes[0])
		}
		for _, address := range svc.addresses {
			if other := from[address]; other != "" && other != nodes[0] {
				return nil, fmt.Sprintf("MetalLB announces %s from node %s for one Service, and from node %s for another", address, other, nodes[0])
			}
			from[address] = nodes[0]
		}
	}
	return from, ""
}

// runsSpeaker reports whether a pod of MetalLB's speakers runs on a node and is not being deleted. The
// ServiceL2Status of a speaker that has ended stays until another speaker announces the Service and removes
// the object.
func (c *Cluster) runsSpeaker(node string) bool {
	return slices.ContainsFunc(c.Pods, func(p corev1.Pod) bool { return p.Spec.NodeName == node && p.DeletionTimestamp == nil })
}

// AddressElsewhereMessage returns a phrase about an address for which MetalLB does not report the expected
// node. It is empty if there is no such address. The parameter from maps each address to the expected node,
// and the parameter reported to the node that MetalLB reports.
func AddressElsewhereMessage(from, reported map[string]string) string {
	for _, address := range slices.Sorted(maps.Keys(from)) {
		if reported[address] != from[address] {
			return fmt.Sprintf("MetalLB does not report that node %s announces %s", from[address], address)
		}
	}
	return ""
}

// appliesToAll reports whether each address of a Service has an L2Advertisement that does not depend on the
// labels of pools, Services and namespaces.
func appliesToAll(stack *v1beta1.LoadBalancerStack, svc serviceAddresses) bool {
	return !slices.ContainsFunc(svc.addresses, func(address string) bool {
		return !slices.ContainsFunc(stack.Spec.L2Advertisements, func(ad v1beta1.StackL2Advertisement) bool {
			return len(ad.IPAddressPoolSelectors)+len(ad.ServiceSelectors)+len(ad.NamespaceSelectors) == 0 && mayApply(stack, &ad, address)
		})
	})
}

// RequestNodes returns the claims that have to change so that each address is announced from its node. The
// parameter from maps each address to its node. Each element of the result has the claim before and after the
// change. EndNodeRequests returns the changes that undo this.
func (c *Cluster) RequestNodes(from map[string]string) (changes [][2]*v1beta1.IPAddressClaim) {
	for i := range c.Claims {
		claim := &c.Claims[i]
		node := from[claim.Spec.Address]
		if node == "" {
			continue
		}
		if changed := maintenance.Move(claim, lb.NodeName(node)); changed != claim {
			changed.Annotations[AnnotationRequestedNode] = node
			if _, others := requestedBySwitch(claim); others != "" {
				changed.Annotations[AnnotationRequestedNode] += "," + others
			}
			changes = append(changes, [2]*v1beta1.IPAddressClaim{claim, changed})
		}
	}
	return changes
}

// EndNodeRequests returns the claims in which a switch has set a node. Each element has the claim before and
// after the change. The change restores the node that an administrator has set, if any.
func (c *Cluster) EndNodeRequests() (changes [][2]*v1beta1.IPAddressClaim) {
	for i := range c.Claims {
		if _, has := c.Claims[i].Annotations[AnnotationRequestedNode]; has {
			_, others := requestedBySwitch(&c.Claims[i])
			changed := maintenance.Move(&c.Claims[i], lb.NodeName(others)).DeepCopy()
			delete(changed.Annotations, AnnotationRequestedNode)
			changes = append(changes, [2]*v1beta1.IPAddressClaim{&c.Claims[i], changed})
		}
	}
	return changes
}

// UnannouncedAddressMessage returns a phrase about an address that lbstack does not announce from its node,
// or for which a foreign host answers. It is empty if there is no such address. The parameter from maps each
// address to its node.
func (c *Cluster) UnannouncedAddressMessage(from map[string]string) string {
	for _, address := range slices.Sorted(maps.Keys(from)) {
		for i := range c.States {
			for _, conflict := range c.States[i].Status.Conflicts {
				if conflict.Address == address {
					return fmt.Sprintf("node %s reports that a host with the hardware address %s answers for %s", c.States[i].Name, conflict.HardwareAddress, address)
				}
			}
		}
		state := c.stateOf(from[address])
		if state == nil || isGone(state) || !slices.ContainsFunc(state.Status.Addresses, func(a v1beta1.SpeakerAddress) bool { return a.Address == address }) {
			return fmt.Sprintf("lbstack does not announce %s from node %s", address, from[address])
		}
	}
	return ""
}

// SpreadNodes returns new nodes for some addresses, by address, so that each node announces about the same
// number of addresses. After nodes have moved one by one, the last node announces more addresses than the
// others. SpreadNodes returns nil if no node has twice its share or more. SpreadNodes counts and moves only
// addresses whose node was set by the switch, and not by an administrator.
func (c *Cluster) SpreadNodes(stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice) map[string]string {
	may, on, load := c.announcerNodes(stack, endpoints), map[string]string{}, map[string]int{}
	for i := range c.Claims {
		claim := &c.Claims[i]
		if asks, others := requestedBySwitch(claim); asks && others == "" && len(may[claim.Spec.Address]) > 0 {
			on[claim.Spec.Address] = string(apiconv.AnnounceFromNode(claim))
			load[on[claim.Spec.Address]]++
			for _, node := range may[claim.Spec.Address] {
				load[node] += 0 // a node without addresses counts for the share too
			}
		}
	}
	share := (len(on) + len(load) - 1) / max(1, len(load))
	if !slices.ContainsFunc(slices.Collect(maps.Values(load)), func(n int) bool { return n >= 2*share && n > 1 }) {
		return nil
	}
	to := map[string]string{}
	for _, address := range slices.Sorted(maps.Keys(on)) {
		least := slices.MinFunc(may[address], func(x, y string) int { return cmp.Or(cmp.Compare(load[x], load[y]), cmp.Compare(x, y)) })
		if was := on[address]; load[least]+1 < load[was] {
			load[was]--
			load[least]++
			to[address] = least
		}
	}
	return to
}

// announcerNodes returns, for each address, the nodes that may announce it on the local network, have a
// speaker of lbstack and are not drained. A shared address has the nodes that may announce it for all of its
// Services.
func (c *Cluster) announcerNodes(stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice) map[string][]string {
	may, local := map[string][]string{}, c.LocalServices(stack, endpoints)
	for _, svc := range c.shownServices(stack.Spec.LoadBalancerClass) {
		for _, address := range svc.addresses {
			others, shared := may[address]
			may[address] = slices.DeleteFunc(slices.Clone(local[svc.name]), func(node string) bool {
				state := c.stateOf(node)
				return state == nil || isGone(state) || state.Status.Phase == v1beta1.SpeakerDraining || shared && !slices.Contains(others, node)
			})
		}
	}
	return may
}

// WithLayer2 returns a copy of the stack part with the L2Advertisements of the other stack.
func WithLayer2(part, stack *unstructured.Unstructured) *unstructured.Unstructured {
	joined := part.DeepCopy()
	if ads, has, _ := unstructured.NestedFieldCopy(stack.Object, "spec", "l2Advertisements"); has {
		_ = unstructured.SetNestedField(joined.Object, ads, "spec", "l2Advertisements") // no error: the spec of part is an object
	}
	return joined
}
