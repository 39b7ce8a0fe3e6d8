package routes

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp"
)

// advertisementGroup is a list of advertisements that announce the same prefixes, with the resulting
// attributes. There is one group for each list.
type advertisementGroup struct {
	ads []int
	// routes has the attributes of the route for each peer. A peer that gets no route is missing.
	routes map[bgp.PeerName]*Attributes
	// conflicts have no Prefix, since several prefixes use the group.
	conflicts []Conflict
}

// attributesFor returns the attributes of the route for a peer; nil: the peer gets no route.
func (g *advertisementGroup) attributesFor(peer bgp.PeerName) *Attributes {
	if g == nil {
		return nil
	}
	return g.routes[peer]
}

func (p *preparedConfig) groupOf(ads []int) *advertisementGroup {
	key := keyOf(len(ads), ads)
	if g := p.groups[key]; g != nil {
		return g
	}
	g := &advertisementGroup{ads: ads, routes: make(map[bgp.PeerName]*Attributes, len(p.peers))}
	for _, peer := range p.peers {
		var speaking []*Advertisement
		for _, i := range ads {
			if to := p.ads[i].Peers; len(to) == 0 || slices.Contains(to, peer) {
				speaking = append(speaking, &p.ads[i])
			}
		}
		if len(speaking) > 0 {
			g.routes[peer] = p.intern(mergeAttributes(speaking))
			g.conflicts = append(g.conflicts, localPrefConflicts(peer, speaking)...)
		}
	}
	p.groups[key] = g
	return g
}

// mergeAttributes returns the combined attributes of advertisements: all communities, the highest
// LOCAL_PREF, the lowest MED, and the longest AS_PATH. It ignores numbers that are not set.
func mergeAttributes(ads []*Advertisement) Attributes {
	var m Attributes
	for _, ad := range ads {
		a := &ad.Attributes
		if a.LocalPref.Set && (!m.LocalPref.Set || a.LocalPref.Value > m.LocalPref.Value) {
			m.LocalPref = a.LocalPref
		}
		if a.MED.Set && (!m.MED.Set || a.MED.Value < m.MED.Value) {
			m.MED = a.MED
		}
		m.Prepend = max(m.Prepend, a.Prepend)
		m.Communities = append(m.Communities, a.Communities...)
		m.Large = append(m.Large, a.Large...)
	}
	slices.Sort(m.Communities)
	slices.SortFunc(m.Large, LargeCommunity.compare)
	m.Communities, m.Large = slices.Compact(m.Communities), slices.Compact(m.Large)
	return m
}

func (c LargeCommunity) compare(other LargeCommunity) int {
	return cmp.Or(cmp.Compare(c.Global, other.Global), cmp.Compare(c.Local1, other.Local1), cmp.Compare(c.Local2, other.Local2))
}

// Conflict is a route for which two advertisements set a different LOCAL_PREF: the route can have only
// one.
type Conflict struct {
	// Prefix and Peer of the route.
	Prefix netip.Prefix
	Peer   bgp.PeerName
	// Used is the advertisement with the highest LOCAL_PREF, which the route gets. Ignored is an
	// advertisement with another LOCAL_PREF.
	Used, Ignored Preference
}

// Preference is the LOCAL_PREF of an advertisement.
type Preference struct {
	// Advertisement is the name of the advertisement.
	Advertisement string
	// LocalPref that the advertisement sets.
	LocalPref uint32
}

// String returns what is wrong, where, and what to do.
func (c Conflict) String() string {
	return fmt.Sprintf("the route %s is sent to the BGPPeer %q with the localPref %d of the BGPAdvertisement %q. The BGPAdvertisement %q also applies to the route, but its localPref is %d: set both fields to the same value",
		c.Prefix, c.Peer, c.Used.LocalPref, c.Used.Advertisement, c.Ignored.Advertisement, c.Ignored.LocalPref)
}

func (c Conflict) compare(other Conflict) int {
	return cmp.Or(c.Prefix.Compare(other.Prefix), cmp.Compare(c.Peer, other.Peer),
		cmp.Compare(c.Ignored.Advertisement, other.Ignored.Advertisement), cmp.Compare(c.Ignored.LocalPref, other.Ignored.LocalPref))
}

// localPrefConflicts returns a conflict for each advertisement whose LOCAL_PREF is not the highest one.
// ads is ordered by name: if several advertisements have the highest LOCAL_PREF, the first of them is
// Used.
func localPrefConflicts(peer bgp.PeerName, ads []*Advertisement) []Conflict {
	var asked []Preference
	for _, ad := range ads {
		if n := ad.Attributes.LocalPref; n.Set {
			asked = append(asked, Preference{ad.Name, n.Value})
		}
	}
	if len(asked) < 2 {
		return nil
	}
	used := slices.MaxFunc(asked, func(x, y Preference) int { return cmp.Compare(x.LocalPref, y.LocalPref) })
	var found []Conflict
	for _, ignored := range asked {
		if ignored.LocalPref != used.LocalPref {
			found = append(found, Conflict{Peer: peer, Used: used, Ignored: ignored})
		}
	}
	return found
}
