package routes_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

type peersOf = map[lb.NodeName][]bgp.PeerName

// cluster has two nodes, and one Service that shows an address of the pool gold.
func cluster(peers peersOf, ads ...ad) routes.View {
	return routes.View{
		Advertisements: ads, Peers: peers,
		Pools:     []eligibility.Pool{pool("gold", labels{"tier": "high"})},
		Nodes:     []eligibility.Node{{Name: "n2", Labels: labels{"zone": "b"}}, {Name: "n1", Labels: labels{"zone": "a"}}},
		Services:  []eligibility.Service{{Key: web, Labels: labels{"app": "web"}, Endpoints: map[lb.Family]eligibility.Endpoints{lb.IPv4: on("n1")}}},
		Addresses: []eligibility.Address{{Address: one, Pool: "gold", Holders: []lb.ServiceKey{web}}},
	}
}

func TestRoutesOfEachNodeToEachPeer(t *testing.T) {
	both := peersOf{"n1": {"right", "left"}, "n2": {"left"}}
	tests := []struct {
		name string
		in   routes.View
		want []routes.Announcer
	}{
		{"each node to all its peers", cluster(both, ad{}), []routes.Announcer{{Node: "n1", Peers: []bgp.PeerName{"left", "right"}}, {Node: "n2", Peers: []bgp.PeerName{"left"}}}},
		{"to those of them that are named", cluster(both, ad{Peers: []bgp.PeerName{"right", "nobody"}}), []routes.Announcer{{Node: "n1", Peers: []bgp.PeerName{"right"}}}},
		{"to those that any advertisement of the node names", cluster(both, ad{Peers: []bgp.PeerName{"right"}}, ad{Scope: scope{NodeSelectors: anyOf(has("zone", "b"))}, Peers: []bgp.PeerName{"left"}}),
			[]routes.Announcer{{Node: "n1", Peers: []bgp.PeerName{"right"}}, {Node: "n2", Peers: []bgp.PeerName{"left"}}}},
		{"a node without peers announces nothing", cluster(peersOf{"n2": {"left"}}, ad{}), []routes.Announcer{{Node: "n2", Peers: []bgp.PeerName{"left"}}}},
		{"if peers are not known, to those that are named", cluster(nil, ad{Peers: []bgp.PeerName{"right", "left"}}),
			[]routes.Announcer{{Node: "n1", Peers: []bgp.PeerName{"left", "right"}}, {Node: "n2", Peers: []bgp.PeerName{"left", "right"}}}},
		{"if peers are not known and none is named, to all", cluster(nil, ad{}), []routes.Announcer{{Node: "n1"}, {Node: "n2"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			same(t, "results", []routes.Result{{Address: one, Announcers: tt.want}}, routes.Resolve(tt.in))
		})
	}
}

func TestWhyNobodyAnnounces(t *testing.T) {
	left := peersOf{"n1": {"left"}, "n2": {"left"}}
	excluded := cluster(left, ad{Scope: scope{Name: "gold"}})
	excluded.Nodes = []eligibility.Node{{Name: "n1", Excluded: "has the label x"}}
	idle := cluster(left, ad{})
	idle.Services[0].Endpoints = nil
	tests := []struct {
		name   string
		in     routes.View
		reason eligibility.Reason
		why    string
	}{
		{"there is no advertisement", cluster(left), eligibility.NoAdvertisement,
			`there is no BGPAdvertisement, so nothing is announced: create one that selects the pool "gold"`},
		{"there are advertisements of other pools", cluster(left, ad{Scope: scope{Name: "tin", Pools: []lb.PoolName{"tin"}}}), eligibility.NoAdvertisement,
			`no BGPAdvertisement selects the pool "gold": add the pool to spec.ipAddressPools of an existing one (the BGPAdvertisement "tin"), or create another one`},
		{"there are advertisements of other Services", cluster(left, ad{Scope: scope{Name: "db", ServiceSelectors: anyOf(has("app", "db"))}}), eligibility.NoAdvertisement,
			`spec.serviceSelectors of the BGPAdvertisement "db", which selects the pool "gold", do not match the labels of the Service default/web: change the labels or the selectors`},
		{"no pod is ready", idle, eligibility.NoEndpoints,
			"the Service default/web has no ready IPv4 endpoint, so traffic would go nowhere: check that the pods run and are ready, and that spec.selector selects them"},
		{"selectors match no node", cluster(left, ad{Scope: scope{Name: "c", NodeSelectors: anyOf(has("zone", "c"))}}, ad{Scope: scope{Name: "d", NodeSelectors: anyOf(has("zone", "d"))}}), eligibility.NoNode,
			`spec.nodeSelectors of the BGPAdvertisements "c" and "d" match none of the 2 nodes: change the selectors or the labels of the nodes`},
		{"all nodes are excluded", excluded, eligibility.NoNode,
			`no node that the BGPAdvertisement "gold" selects may announce: n1 has the label x`},
		{"no node has a peer", cluster(peersOf{}, ad{}), eligibility.NoNode,
			"no BGPPeer selects the nodes n1 and n2, where the address may be announced: create a BGPPeer, or change spec.nodeSelectors of one"},
		{"no node has a peer that is named", cluster(left, ad{Peers: []bgp.PeerName{"up", "right"}}), eligibility.NoNode,
			`spec.peers of the BGPAdvertisements names the BGPPeers "right" and "up", but the nodes n1 and n2, where the address may be announced, have only the BGPPeer "left": change spec.peers, or spec.nodeSelectors of the BGPPeers`},
		{"the one node has no peer that is named", cluster(left, ad{Scope: scope{NodeSelectors: anyOf(has("zone", "b"))}, Peers: []bgp.PeerName{"up"}}), eligibility.NoNode,
			`spec.peers of the BGPAdvertisements names the BGPPeer "up", but the node n2, where the address may be announced, has only the BGPPeer "left": change spec.peers, or spec.nodeSelectors of the BGPPeers`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			same(t, "results", []routes.Result{{Address: one, Reason: tt.reason, Why: tt.why}}, routes.Resolve(tt.in))
		})
	}
}

// TestControllerReportsTheRoutesOfTheSpeakers compares Resolve with the planner of each
// node of random clusters.
func TestControllerReportsTheRoutesOfTheSpeakers(t *testing.T) {
	for _, seed := range seedsToPlay(t) {
		s := &story{Rand: rand.New(rand.NewPCG(seed, 8)), setup: setup{services: map[lb.ServiceKey]*eligibility.Holder{}, claims: map[netip.Addr]*eligibility.Claim{}, admitted: map[netip.Addr]bool{}}}
		p := routes.NewPlanner()
		for range 30 {
			s.change(p)
			s.admit()
		}
		s.config = s.newConfig()
		s.admit()
		for i := range s.config.Advertisements {
			s.config.Advertisements[i].Length, s.config.Advertisements[i].LengthV6 = 0, 0
		}
		in := s.input()
		view := routes.View{Advertisements: s.config.Advertisements, Pools: in.Pools, Services: in.Services, Addresses: in.Addresses, Peers: peersOf{}}
		announced := map[string]bool{}
		for _, name := range []lb.NodeName{"n1", "n2", "n3"} {
			s.config.Node, s.config.Peers = s.node(), s.newConfig().Peers
			s.config.Node.Name = name
			view.Nodes, view.Peers[name] = append(view.Nodes, s.config.Node), s.config.Peers
			for _, peer := range s.config.Peers {
				for prefix := range s.planner().Table(peer) {
					announced[fmt.Sprint(prefix.Addr(), name, peer)] = true
				}
			}
		}
		reported := map[string]bool{}
		for _, r := range routes.Resolve(view) {
			for _, a := range r.Announcers {
				for _, peer := range a.Peers {
					reported[fmt.Sprint(r.Address, a.Node, peer)] = true
				}
			}
			if (r.Reason == "") != (len(r.Announcers) > 0) || (r.Reason == "") != (r.Why == "") || !slices.IsSortedFunc(r.Announcers, func(x, y routes.Announcer) int { return compare(bgp.PeerName(x.Node), "", bgp.PeerName(y.Node), "") }) {
				t.Errorf("got %+v, want announcers in order, or a reason", r)
			}
		}
		if same(t, "who announces what to whom", announced, reported); t.Failed() {
			t.Fatalf("seed %d; play it with LBSTACK_SEED=%d", seed, seed)
		}
	}
}
