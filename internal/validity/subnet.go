package validity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// Network has the objects that decide whether hosts on the local network can reach the addresses of pools.
type Network struct {
	layer2 []eligibility.Advertisement
	bgp    []eligibility.Scope // of BGPAdvertisements whose routes go to at least one BGPPeer
	nodes  []networkNode       // the existing nodes with a running speaker
}

// networkNode is a node with the subnets of the interfaces that it can announce on.
type networkNode struct {
	labels  map[string]string
	subnets []lb.Range
	more    bool // the list in the SpeakerState has the maximum length, so the node may have further interfaces
}

// NewNetwork returns the Network for these objects.
func NewNetwork(o *Objects) Network {
	var n Network
	for i := range o.L2Advertisements {
		if ad, err := apiconv.ParseAdvertisement(&o.L2Advertisements[i]); err == nil {
			n.layer2 = append(n.layer2, ad)
		}
	}
	aliases, _ := apiconv.ParseCommunities(o.Communities)
	for i := range o.BGPAdvertisements {
		if ad := &o.BGPAdvertisements[i]; hasPeer(ad, o.Peers) {
			n.bgp = append(n.bgp, apiconv.BGPAdvertisementScope(ad, aliases))
		}
	}
	labels := map[lb.NodeName]map[string]string{}
	for i := range o.Nodes {
		labels[o.Nodes[i].Name] = o.Nodes[i].Labels
	}
	for i := range o.States {
		state := &o.States[i]
		of, exists := labels[lb.NodeName(state.Name)]
		if !exists || !isRunning(state) {
			continue
		}
		links, more := apiconv.SpeakerLinks(state)
		node := networkNode{labels: of, more: more}
		for _, l := range links {
			for _, subnet := range l.Subnets {
				node.subnets = append(node.subnets, lb.RangeOf(subnet))
			}
		}
		n.nodes = append(n.nodes, node)
	}
	return n
}

// isRunning reports whether a speaker has written its state and was not stopped since then.
func isRunning(state *v1beta1.SpeakerState) bool {
	return state.Status.Phase != "" && state.Status.Phase != v1beta1.SpeakerStopped
}

// hasPeer reports whether at least one BGPPeer gets the routes of a BGPAdvertisement.
func hasPeer(ad *v1beta1.BGPAdvertisement, peers []v1beta1.BGPPeer) bool {
	return slices.ContainsFunc(peers, func(p v1beta1.BGPPeer) bool {
		return len(ad.Spec.Peers) == 0 || slices.Contains(ad.Spec.Peers, v1beta1.ObjectName(p.Name))
	})
}

// UnreachedFamilies returns the families of a pool whose addresses hosts on the local network probably
// cannot reach. L2Advertisements announce the pool, but no address of the family is in a subnet of the
// selected nodes. It returns no family if the subnets of these nodes are not known. It also returns none
// if a BGPAdvertisement with a peer selects the pool, since hosts then reach the addresses through
// routers.
func (n *Network) UnreachedFamilies(p *eligibility.Pool) (families []lb.Family) {
	if slices.ContainsFunc(n.bgp, func(s eligibility.Scope) bool { return s.CoversPool(p.Name, p) }) {
		return nil
	}
	var subnets []lb.Range
	for i := range n.layer2 {
		ad := &n.layer2[i]
		if !ad.CoversPool(p.Name, p) {
			continue
		}
		for _, node := range n.nodes {
			switch {
			case !ad.CoversNode(node.labels):
			case node.more:
				return nil
			default:
				subnets = append(subnets, node.subnets...)
			}
		}
	}
	if len(subnets) == 0 {
		return nil
	}
	subnets = lb.Union(subnets...)
	for _, family := range []lb.Family{lb.IPv4, lb.IPv6} {
		listed := slices.DeleteFunc(slices.Clone(p.Listed), func(r lb.Range) bool { return r.Family() != family })
		if len(listed) > 0 && len(lb.Intersect(listed, subnets)) == 0 {
			families = append(families, family)
		}
	}
	return families
}

// WithSubnetWarning returns the result with a warning that hosts on the local network probably cannot
// reach addresses of the given families. It adds the warning only for a pool that is Ready.
func (v PoolResult) WithSubnetWarning(unreached []lb.Family) PoolResult {
	if v.Reason != v1beta1.ReasonPoolReady || len(unreached) == 0 {
		return v
	}
	words := make([]string, 0, len(unreached))
	for _, family := range unreached {
		words = append(words, family.String())
	}
	v.Reason = v1beta1.ReasonNoSubnet
	v.Message = fmt.Sprintf("%s, but no node that an L2Advertisement selects for the pool has an interface in a subnet of the pool's %s addresses. Hosts reach these addresses only through a router that forwards their traffic to the nodes. Give the nodes an address of the subnet, announce the pool by BGP, or correct spec.addresses",
		v.Message, strings.Join(words, " and "))
	return v
}
