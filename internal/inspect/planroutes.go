package inspect

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// routesView returns the input for deciding which nodes announce which addresses to which routers. The
// controller has the same input. It does not include invalid objects.
func (s *Snapshot) routesView(in *eligibility.Input) routes.View {
	view := routes.View{Pools: in.Pools, Nodes: in.Nodes, Services: in.Services, Addresses: in.Addresses, Peers: map[lb.NodeName][]bgp.PeerName{}}
	aliases, _ := apiconv.ParseCommunities(s.Communities)
	for i := range s.BGPAdvertisements {
		if ad, err := apiconv.ParseBGPAdvertisement(&s.BGPAdvertisements[i], aliases); err == nil {
			view.Advertisements = append(view.Advertisements, ad)
		}
	}
	for i := range s.Peers {
		peer, err := apiconv.ParseBGPPeer(&s.Peers[i])
		if err != nil {
			continue
		}
		for _, node := range in.Nodes {
			if peer.SelectsNode(node.Labels) {
				view.Peers[node.Name] = append(view.Peers[node.Name], peer.Name)
			}
		}
	}
	return view
}

// keepLastValid replaces each invalid BGPAdvertisement and BGPPeer by the object of the same name in an
// earlier snapshot, since the speakers keep the last valid settings of an object. The settings of a
// BGPAdvertisement include the values of its community aliases, even if the Community has been changed or
// removed.
func (s *Snapshot) keepLastValid(before *Snapshot) {
	aliases, _ := apiconv.ParseCommunities(s.Communities)
	earlierAliases, _ := apiconv.ParseCommunities(before.Communities)
	s.BGPAdvertisements = slices.Clone(s.BGPAdvertisements)
	for i := range s.BGPAdvertisements {
		if _, err := apiconv.ParseBGPAdvertisement(&s.BGPAdvertisements[i], aliases); err == nil {
			continue
		}
		for j := range before.BGPAdvertisements {
			earlier := &before.BGPAdvertisements[j]
			if ad, err := apiconv.ParseBGPAdvertisement(earlier, earlierAliases); err == nil && earlier.Name == s.BGPAdvertisements[i].Name {
				s.BGPAdvertisements[i] = *earlier
				s.BGPAdvertisements[i].Spec.Communities = communityValues(&ad.Attributes)
			}
		}
	}
	s.Peers = slices.Clone(s.Peers)
	for i := range s.Peers {
		if _, err := apiconv.ParseBGPPeer(&s.Peers[i]); err == nil {
			continue
		}
		for j := range before.Peers {
			if before.Peers[j].Name == s.Peers[i].Name {
				s.Peers[i] = before.Peers[j]
			}
		}
	}
}

// communityValues returns the communities of routes as references that need no alias.
func communityValues(a *routes.Attributes) (values []v1beta1.CommunityReference) {
	for _, c := range a.Communities {
		values = append(values, v1beta1.CommunityReference(apiconv.AnyCommunity{Standard: c}.String()))
	}
	for _, c := range a.Large {
		values = append(values, v1beta1.CommunityReference(apiconv.AnyCommunity{IsLarge: true, Large: c}.String()))
	}
	return values
}

// plannedRoutes has the routes that each node announces to each router, as the planner of the node's speaker decides.
type plannedRoutes map[lb.NodeName]map[bgp.PeerName]routes.Table

// planRoutes returns the routes that the given nodes announce. The map internal is true for routers in the
// autonomous system of the nodes.
func planRoutes(view *routes.View, internal map[bgp.PeerName]bool, nodes map[lb.NodeName]bool) plannedRoutes {
	shown, all := map[lb.ServiceKey][]netip.Addr{}, make([]netip.Addr, 0, len(view.Addresses))
	for _, a := range view.Addresses {
		all = append(all, a.Address)
		for _, key := range a.Holders {
			shown[key] = append(shown[key], a.Address)
		}
	}
	planned := plannedRoutes{}
	for _, node := range view.Nodes {
		if !nodes[node.Name] {
			continue
		}
		p := routes.NewPlanner()
		p.Remember(all)
		p.SetConfig(routes.Config{Node: node, Nodes: view.Nodes, Advertisements: view.Advertisements, Peers: view.Peers[node.Name], Pools: view.Pools})
		for _, svc := range view.Services {
			p.SetService(svc.Key, &eligibility.Holder{Service: svc, Shown: shown[svc.Key]})
		}
		for _, a := range view.Addresses {
			claim := &eligibility.Claim{Pool: a.Pool}
			for _, key := range a.Holders {
				claim.Holders = append(claim.Holders, eligibility.ClaimHolder{Key: key})
			}
			p.SetClaim(a.Address, claim)
		}
		p.Settle()
		planned[node.Name] = map[bgp.PeerName]routes.Table{}
		for _, peer := range view.Peers[node.Name] {
			planned[node.Name][peer] = sentRoutes(p.Table(peer), internal[peer])
		}
	}
	return planned
}

// sentRoutes returns the routes of a table with the attributes that a router gets. Only a router in the
// autonomous system of the nodes (internal) gets LOCAL_PREF. Only other routers get prepended ASNs.
func sentRoutes(table routes.Table, internal bool) routes.Table {
	for prefix, attributes := range table {
		sent := *attributes
		if internal {
			sent.Prepend = 0
		} else {
			sent.LocalPref = routes.OptionalNumber{}
		}
		table[prefix] = &sent
	}
	return table
}

// internalPeers returns for each router whether it is in the autonomous system of the nodes.
func (s *Snapshot) internalPeers() map[bgp.PeerName]bool {
	internal := map[bgp.PeerName]bool{}
	for i := range s.Peers {
		if peer, err := apiconv.ParseBGPPeer(&s.Peers[i]); err == nil {
			internal[peer.Name] = peer.IsInternal()
		}
	}
	return internal
}

// deleteEqual deletes the tables of routes that are the same in x and y.
func deleteEqual(x, y plannedRoutes) {
	for node, tables := range x {
		for peer, table := range tables {
			if other, has := y[node][peer]; has && maps.EqualFunc(table, other, func(a, b *routes.Attributes) bool { return a.Equal(*b) }) {
				delete(tables, peer)
				delete(y[node], peer)
			}
		}
	}
}

// routeChangePhrases returns how the routes that contain an address differ, as phrases. It compares only the
// given nodes, and for each node only the routers that it has both before and after the change.
func routeChangePhrases(before, after plannedRoutes, nodes []lb.NodeName, address netip.Addr) (phrases []string) {
	gained, lost, fields := map[bgp.PeerName]bool{}, map[bgp.PeerName]bool{}, map[bgp.PeerName]map[string]bool{}
	for _, node := range nodes {
		for peer, table := range after[node] {
			earlier, both := before[node][peer]
			had, has := routesWith(earlier, address), routesWith(table, address)
			switch {
			case !both:
			case len(has) > 0 && len(had) == 0:
				gained[peer] = true
			case len(has) == 0 && len(had) > 0:
				lost[peer] = true
			default:
				for _, field := range differentFields(had, has) {
					if fields[peer] == nil {
						fields[peer] = map[string]bool{}
					}
					fields[peer][field] = true
				}
			}
		}
	}
	if len(lost) > 0 {
		phrases = append(phrases, "is no longer announced to "+peersPhrase(lost))
	}
	if len(gained) > 0 {
		phrases = append(phrases, "is now also announced to "+peersPhrase(gained))
	}
	alike := map[string]map[bgp.PeerName]bool{} // the routers for which the same fields change
	for peer, names := range fields {
		text := strings.Join(slices.Sorted(maps.Keys(names)), ", ")
		if alike[text] == nil {
			alike[text] = map[bgp.PeerName]bool{}
		}
		alike[text][peer] = true
	}
	for _, text := range slices.Sorted(maps.Keys(alike)) {
		phrases = append(phrases, fmt.Sprintf("is announced to %s with a change of %s", peersPhrase(alike[text]), text))
	}
	return phrases
}

func peersPhrase(peers map[bgp.PeerName]bool) string {
	word := "router"
	if len(peers) > 1 {
		word = "routers"
	}
	return eligibility.Enumerate(word, slices.Sorted(maps.Keys(peers)))
}

// routesWith returns the routes of a table that contain an address.
func routesWith(table routes.Table, address netip.Addr) routes.Table {
	found := routes.Table{}
	for bits := range address.BitLen() + 1 {
		prefix, _ := address.Prefix(bits) // never fails: bits is at most the length of the address
		if attributes := table[prefix]; attributes != nil {
			found[prefix] = attributes
		}
	}
	return found
}

// differentFields compares the routes to a router that contain an address. It returns the fields of a
// BGPAdvertisement in which the routes differ, or the text "the prefix" if their prefixes differ.
func differentFields(x, y routes.Table) (fields []string) {
	if !slices.Equal(slices.SortedFunc(maps.Keys(x), netip.Prefix.Compare), slices.SortedFunc(maps.Keys(y), netip.Prefix.Compare)) {
		return []string{"the prefix"}
	}
	for prefix, a := range x {
		b := y[prefix]
		for _, field := range []struct {
			name    string
			differs bool
		}{
			{"localPref", a.LocalPref != b.LocalPref},
			{"med", a.MED != b.MED},
			{"asPathPrepend", a.Prepend != b.Prepend},
			{"communities", !slices.Equal(a.Communities, b.Communities) || !slices.Equal(a.Large, b.Large)},
		} {
			if field.differs && !slices.Contains(fields, field.name) {
				fields = append(fields, field.name)
			}
		}
	}
	return fields
}
