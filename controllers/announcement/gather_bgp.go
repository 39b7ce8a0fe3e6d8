package announcement

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
	core "github.com/lbstack/lbstack/internal/routes"
)

// bgpObjects has the objects that decide which addresses a node announces, and to which routers.
type bgpObjects struct {
	view core.View
	// peers are the valid BGPPeers.
	peers map[bgp.PeerName]*bgp.Peer
	// invalid has a clause for each advertisement and peer that is invalid.
	invalid []string
}

// readBGPObjects reads the BGP objects. The addresses, nodes and Services are those of the input for layer 2.
func (r *Reconciler) readBGPObjects(ctx context.Context, in eligibility.Input) (bgpObjects, error) {
	view := core.View{Pools: in.Pools, Nodes: in.Nodes, Services: in.Services, Addresses: in.Addresses, Peers: map[lb.NodeName][]bgp.PeerName{}}
	var ads v1beta1.BGPAdvertisementList
	var peers v1beta1.BGPPeerList
	var communities v1beta1.CommunityList
	for _, list := range []client.ObjectList{&ads, &peers, &communities} {
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return bgpObjects{}, fmt.Errorf("listing the BGPAdvertisements, BGPPeers and Communities: %w", err)
		}
	}
	var broken []string
	known := map[bgp.PeerName]*bgp.Peer{}
	aliases, _ := apiconv.ParseCommunities(communities.Items)
	for i := range ads.Items {
		ad, err := apiconv.ParseBGPAdvertisement(&ads.Items[i], aliases)
		if err != nil {
			broken = append(broken, fmt.Sprintf("the BGPAdvertisement %q, which is invalid (%s)", ads.Items[i].Name, err))
			continue
		}
		view.Advertisements = append(view.Advertisements, ad)
	}
	for i := range peers.Items {
		peer, err := apiconv.ParseBGPPeer(&peers.Items[i])
		if err != nil {
			broken = append(broken, fmt.Sprintf("the BGPPeer %q, which is invalid (%s)", peers.Items[i].Name, err))
			continue
		}
		known[peer.Name] = &peer.Peer
		for _, node := range in.Nodes {
			if peer.SelectsNode(node.Labels) {
				view.Peers[node.Name] = append(view.Peers[node.Name], peer.Name)
			}
		}
	}
	slices.Sort(broken)
	return bgpObjects{view, known, broken}, nil
}

// bgpFactsOf returns the facts that decide whether one address is announced by BGP. plan has the nodes that may
// announce this address. The result has the BGP objects, the sessions of these nodes, and why some of these
// nodes announce no address now.
func (r *Reconciler) bgpFactsOf(nodes []eligibility.Node, plan core.Result, all *bgpObjects) bgpFacts {
	known := bgpFacts{plan: plan, peers: all.peers, invalid: all.invalid, unavailable: map[lb.NodeName]string{}, sessions: map[lb.NodeName][]reports.Session{}}
	for _, a := range plan.Announcers {
		r.noteUnavailable(nodes, a.Node, known.unavailable)
		known.sessions[a.Node] = r.Reports.SessionsOf(a.Node)
	}
	return known
}
