package migrate

import (
	"math"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// nodeOverride is what a CiliumBGPNodeConfigOverride changes for one peer of one node.
type nodeOverride struct {
	// node is the name of the node, which is also the name of the CiliumBGPNodeConfigOverride.
	node string
	// instance has the changes for all peers of a BGP instance. peer has the changes for this peer only, and
	// has no value if there are none.
	instance, peer field
}

// overridesFor returns the overrides for a peer of an instance, in the order of the nodes' names.
func (in *importer) overridesFor(instance, peer string) (overrides []nodeOverride) {
	for _, o := range in.nodeOverrides {
		for _, f := range o.rootField().child("spec").child("bgpInstances").items() {
			if f.child("name").text() != instance {
				continue
			}
			f.child("name").markIgnored(ignoredName)
			override := nodeOverride{node: o.name, instance: f}
			for _, p := range f.child("peers").items() {
				if p.child("name").text() == peer {
					p.child("name").markIgnored(ignoredName)
					override.peer = p
				}
			}
			if f.child("routerID").hasValue() || f.child("localASN").hasValue() || override.peer.child("localAddress").hasValue() {
				overrides = append(overrides, override)
			}
		}
	}
	return overrides
}

// apply changes a peer, and restricts it to the node. The parameter item is the path of the peer in the
// stack.
func (o *nodeOverride) apply(p *v1beta1.BGPPeerSpec, item string) {
	if id := o.instance.child("routerID").withItem(item); id.hasValue() {
		p.RouterID = canonicalAddress(id.text())
		id.markMapped("routerID")
	}
	if asn := o.instance.child("localASN").withItem(item); asn.hasValue() {
		if n, ok := asn.number(1, math.MaxUint32); ok {
			p.MyASN = n
			asn.markMapped("myASN")
		}
	}
	if address := o.peer.child("localAddress").withItem(item); address.hasValue() {
		p.SourceAddress = canonicalAddress(address.text())
		address.markMapped("sourceAddress")
	}
	p.NodeSelectors = withHostname(p.NodeSelectors, metav1.LabelSelectorOpIn, o.node)
}

// withoutNodes returns node selectors that match the same nodes, except those with an override.
func withoutNodes(selectors []metav1.LabelSelector, overrides []nodeOverride) []metav1.LabelSelector {
	if len(overrides) == 0 {
		return selectors
	}
	nodes := make([]string, 0, len(overrides))
	for _, o := range overrides {
		nodes = append(nodes, o.node)
	}
	return withHostname(selectors, metav1.LabelSelectorOpNotIn, nodes...)
}

// hostnameLabel is the label of nodes whose value is, in most clusters, the name of the node.
const hostnameLabel = "kubernetes.io/hostname"

// withHostname adds a requirement on the label of the hostname to the selectors of a peer from Cilium. Such a
// peer has at most one selector.
func withHostname(selectors []metav1.LabelSelector, operator metav1.LabelSelectorOperator, nodes ...string) []metav1.LabelSelector {
	if len(selectors) == 0 {
		selectors = []metav1.LabelSelector{{}}
	}
	selectors[0].MatchExpressions = append(selectors[0].MatchExpressions, metav1.LabelSelectorRequirement{Key: hostnameLabel, Operator: operator, Values: nodes})
	return selectors
}

// markUnusedOverrides reports the fields of overrides that apply to no peer of the input, and the fields that
// a stack does not have.
func (in *importer) markUnusedOverrides() {
	const unused = "no CiliumBGPClusterConfig in the input has this instance and peer: import the CiliumBGPClusterConfig as well"
	for _, o := range in.nodeOverrides {
		for _, f := range o.rootField().child("spec").child("bgpInstances").items() {
			for _, key := range []string{"name", "routerID", "localASN"} {
				f.child(key).markUnread(unused)
			}
			f.child("localPort").markUnmapped(noLocalPortReason)
			for _, p := range f.child("peers").items() {
				for _, key := range []string{"name", "localAddress"} {
					p.child(key).markUnread(unused)
				}
				p.child("localPort").markIgnored("has no effect in Cilium either")
			}
		}
	}
}

// noteCilium adds notes on settings for which the objects of Cilium are not enough: they depend on labels and
// annotations of nodes, or on the version of Cilium.
func (in *importer) noteCilium(note func(string)) {
	if in.hasNodePeers {
		note("Peers from a CiliumBGPNodeConfigOverride select the node by its label " + hostnameLabel + ", and the peers for the other nodes exclude the node by this label: correct these selectors if the value of the label is not the name of the node.")
	}
	if in.hasPeeringPolicy {
		note("The annotations cilium.io/bgp-virtual-router of nodes are not read: where they set a router ID, add a peer with routerID and nodeSelectors for this node.")
	}
	if in.givesEnds {
		note("Pools from Cilium that do not set allowFirstLastIPs give the first and the last address of each CIDR, as in Cilium since 1.16: if an earlier version runs, add these addresses to excludeAddresses.")
	}
}
