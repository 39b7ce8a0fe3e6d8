package cutover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/maintenance"
)

// A host of the local network cannot distinguish two load balancers that answer for an address from one node: both answer with the
// node's hardware address. So lbstack announces each address where MetalLB does before MetalLB ends (decision 0079).

// AnnotationAsked is on the claims for which a switch asks for a node. Its value is that node, and after a comma the one that an
// administrator asks for, if any: that one is asked for again at the end.
const AnnotationAsked = "lbstack.io/asked-by-migration"

// asked returns whether a claim asks for a node for a switch, and the node that an administrator asks for: one before the
// switch, or since.
func asked(claim *v1beta1.IPAddressClaim) (asks bool, others string) {
	now := string(apiconv.AnnounceFrom(claim))
	node, others, _ := strings.Cut(claim.Annotations[AnnotationAsked], ",")
	if now == "" || now != node {
		return false, now
	}
	return true, others
}

// AddAnnouncer notes an object ServiceL2Status, in which a speaker of MetalLB reports that its node announces a Service.
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

// From returns the nodes from which MetalLB announces addresses on the local network, by address. If that is not known of
// one, or lbstack may not announce it from there, why says so.
func (c *Cluster) From(stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice) (from map[string]string, why string) {
	from = map[string]string{}
	local, serving := c.Local(stack, endpoints), endpointNodes(endpoints)
	for _, svc := range c.shown(stack.Spec.LoadBalancerClass) {
		may, wanted := local[svc.name]
		nodes := c.Announcers[svc.name]
		switch {
		case !wanted || len(nodes) == 0 && (len(serving[svc.name]) == 0 || !certainly(stack, svc)):
			continue // MetalLB does not announce it
		case len(nodes) == 0:
			return nil, fmt.Sprintf("MetalLB does not report which node announces Service %s (ServiceL2Status), as later versions do", svc.name)
		case len(nodes) > 1:
			return nil, fmt.Sprintf("MetalLB reports %d nodes that announce Service %s", len(nodes), svc.name)
		case !slices.Contains(may, nodes[0]):
			return nil, fmt.Sprintf("MetalLB announces Service %s from node %s, and by the stack lbstack may not", svc.name, nodes[0])
		}
		for _, address := range svc.addresses {
			from[address] = nodes[0]
		}
	}
	return from, ""
}

// certainly reports whether an L2Advertisement applies to all addresses of a Service, whatever the labels of objects are.
func certainly(stack *v1beta1.LoadBalancerStack, svc shownService) bool {
	return !slices.ContainsFunc(svc.addresses, func(address string) bool {
		return !slices.ContainsFunc(stack.Spec.L2Advertisements, func(ad v1beta1.StackL2Advertisement) bool {
			return len(ad.IPAddressPoolSelectors)+len(ad.ServiceSelectors)+len(ad.NamespaceSelectors) == 0 && about(stack, &ad, address)
		})
	})
}

// Ask returns the claims that have to change, each as it is and changed, so that the nodes in from announce their addresses, until
// AskNoMore.
func (c *Cluster) Ask(from map[string]string) (changes [][2]*v1beta1.IPAddressClaim) {
	for i := range c.Claims {
		claim := &c.Claims[i]
		node := from[claim.Spec.Address]
		if node == "" {
			continue
		}
		if changed := maintenance.Move(claim, lb.NodeName(node)); changed != claim {
			changed.Annotations[AnnotationAsked] = node
			if _, others := asked(claim); others != "" {
				changed.Annotations[AnnotationAsked] += "," + others
			}
			changes = append(changes, [2]*v1beta1.IPAddressClaim{claim, changed})
		}
	}
	return changes
}

// AskNoMore returns the claims for which a switch has asked for a node, each as it is, and as administrators ask.
func (c *Cluster) AskNoMore() (changes [][2]*v1beta1.IPAddressClaim) {
	for i := range c.Claims {
		if _, has := c.Claims[i].Annotations[AnnotationAsked]; has {
			_, others := asked(&c.Claims[i])
			changed := maintenance.Move(&c.Claims[i], lb.NodeName(others)).DeepCopy()
			delete(changed.Annotations, AnnotationAsked)
			changes = append(changes, [2]*v1beta1.IPAddressClaim{&c.Claims[i], changed})
		}
	}
	return changes
}

// Apart returns what lbstack does not announce from the nodes in from, in words; empty: it announces all.
func (c *Cluster) Apart(from map[string]string) string {
	for _, address := range slices.Sorted(maps.Keys(from)) {
		for i := range c.States {
			for _, conflict := range c.States[i].Status.Conflicts {
				if conflict.Address == address {
					return fmt.Sprintf("node %s finds that %s answers for %s", c.States[i].Name, conflict.HardwareAddress, address)
				}
			}
		}
		state := c.state(from[address])
		if state == nil || isGone(state) || !slices.ContainsFunc(state.Status.Addresses, func(a v1beta1.SpeakerAddress) bool { return a.Address == address }) {
			return fmt.Sprintf("lbstack does not announce %s from node %s", address, from[address])
		}
	}
	return ""
}

// Spread returns other nodes for addresses, by address, if one node announces twice its share of those that a switch has asked a node
// for: where nodes move one after the other, MetalLB has all of them on the last one.
func (c *Cluster) Spread(stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice) map[string]string {
	may, on, load := c.announcers(stack, endpoints), map[string]string{}, map[string]int{}
	for i := range c.Claims {
		claim := &c.Claims[i]
		if asks, others := asked(claim); asks && others == "" && len(may[claim.Spec.Address]) > 0 {
			on[claim.Spec.Address] = string(apiconv.AnnounceFrom(claim))
			load[on[claim.Spec.Address]]++
			for _, node := range may[claim.Spec.Address] {
				load[node] += 0 // it counts for the share
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

// announcers returns the nodes with a speaker of lbstack that may announce each address on the local network for all of its Services.
func (c *Cluster) announcers(stack *v1beta1.LoadBalancerStack, endpoints []discoveryv1.EndpointSlice) map[string][]string {
	may, local := map[string][]string{}, c.Local(stack, endpoints)
	for _, svc := range c.shown(stack.Spec.LoadBalancerClass) {
		for _, address := range svc.addresses {
			others, shared := may[address]
			may[address] = slices.DeleteFunc(slices.Clone(local[svc.name]), func(node string) bool {
				state := c.state(node)
				return state == nil || isGone(state) || shared && !slices.Contains(others, node)
			})
		}
	}
	return may
}

// WithLayer2 returns a copy of a part of a stack that announces on the local network as well.
func WithLayer2(part, stack *unstructured.Unstructured) *unstructured.Unstructured {
	joined := part.DeepCopy()
	if ads, has, _ := unstructured.NestedFieldCopy(stack.Object, "spec", "l2Advertisements"); has {
		_ = unstructured.SetNestedField(joined.Object, ads, "spec", "l2Advertisements") // its spec is an object: it was read
	}
	return joined
}
