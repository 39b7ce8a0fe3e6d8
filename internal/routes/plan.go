package routes

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// preparedConfig is a Config in the form that decisions need: sorted, with lookup tables and a cache of results.
// Addresses with the same advertisements share a result, which is computed once.
type preparedConfig struct {
	node lb.NodeName
	// excluded means that this node announces only addresses that no other node may announce.
	excluded bool
	// elsewhere are the nodes that can announce in place of this node.
	elsewhere []eligibility.Node
	peers     []bgp.PeerName
	pools     map[lb.PoolName]*eligibility.Pool
	// owned are the addresses that a pool lists and does not exclude, sorted and disjoint.
	owned map[lb.PoolName][]lb.Range
	// ads are the advertisements of this node, ordered by name. Elsewhere in this package, a list of
	// advertisements is a list of indexes in ads, in order.
	ads []Advertisement

	ofPool     map[lb.PoolName][]int // the advertisements that select the pool
	outcomes   map[string]*addressRoutes
	groups     map[string]*advertisementGroup
	attributes map[string]*Attributes // see intern
	before     map[string]*Attributes // attributes of the previous configuration, for intern: equal attributes keep their pointer
}

// addressRoutes are the routes of an address: one for each prefix length that the advertisements define.
type addressRoutes struct{ parts []prefixRoute }

// prefixRoute is the route of one prefix length.
type prefixRoute struct {
	bits  int
	group *advertisementGroup
}

func (o *addressRoutes) list() []prefixRoute {
	if o == nil {
		return nil
	}
	return o.parts
}

func (p prefixRoute) prefixOf(address netip.Addr) netip.Prefix {
	prefix, _ := address.Prefix(p.bits) // never fails: the length is valid for the family
	return prefix
}

func prepareConfig(c Config, before *preparedConfig) *preparedConfig {
	p := &preparedConfig{
		node: c.Node.Name, pools: make(map[lb.PoolName]*eligibility.Pool, len(c.Pools)),
		owned: map[lb.PoolName][]lb.Range{}, ofPool: map[lb.PoolName][]int{}, outcomes: map[string]*addressRoutes{}, groups: map[string]*advertisementGroup{}, attributes: map[string]*Attributes{},
	}
	if before != nil {
		p.before = before.attributes
	}
	p.excluded, p.elsewhere = c.Node.Excluded != "", c.Others
	p.peers = slices.Compact(slices.Sorted(slices.Values(c.Peers)))
	for i := range c.Pools {
		p.pools[c.Pools[i].Name] = &c.Pools[i]
	}
	byName := slices.SortedStableFunc(slices.Values(c.Advertisements), func(x, y Advertisement) int { return cmp.Compare(x.Name, y.Name) })
	for _, ad := range byName {
		if (c.Node.Excluded == "" || c.Node.KeepsAnnounced) && ad.CoversNode(c.Node.Labels) {
			p.ads = append(p.ads, ad)
		}
	}
	return p
}

// advertisementsFor returns the advertisements that select an address, given its pool and the Services
// that hold it.
func (p *preparedConfig) advertisementsFor(pool lb.PoolName, holders []*eligibility.Service) []int {
	ofPool, known := p.ofPool[pool]
	if !known {
		for i := range p.ads {
			if p.ads[i].CoversPool(pool, p.pools[pool]) {
				ofPool = append(ofPool, i)
			}
		}
		p.ofPool[pool] = ofPool
	}
	ads := make([]int, 0, len(ofPool))
	for _, i := range ofPool {
		if p.ads[i].CoversHolders(holders) {
			ads = append(ads, i)
		}
	}
	return ads
}

// isAnnouncedElsewhere reports whether another node can announce an address in place of this node, by these
// advertisements.
func (p *preparedConfig) isAnnouncedElsewhere(ads []int, family lb.Family, holders []*eligibility.Service) bool {
	return slices.ContainsFunc(p.elsewhere, func(n eligibility.Node) bool {
		return eligibility.IsServedAt(holders, family, n.Name) &&
			slices.ContainsFunc(ads, func(i int) bool { return p.ads[i].CoversNode(n.Labels) })
	})
}

// routesOf returns what these advertisements announce for an address of the pool. Addresses with the same
// prefix lengths share one result. The result is nil if there are no advertisements.
func (p *preparedConfig) routesOf(pool lb.PoolName, address netip.Addr, ads []int) *addressRoutes {
	if len(ads) == 0 {
		return nil
	}
	lengths := make([]int, 0, 2*len(ads))
	for _, i := range ads {
		lengths = append(lengths, p.prefixLength(i, pool, address))
	}
	key := keyOf(int(lb.FamilyOf(address)), append(lengths, ads...))
	if o := p.outcomes[key]; o != nil {
		return o
	}
	ofLength := map[int][]int{}
	for n, i := range ads {
		ofLength[lengths[n]] = append(ofLength[lengths[n]], i)
	}
	o := &addressRoutes{}
	for bits, list := range ofLength {
		o.parts = append(o.parts, prefixRoute{bits, p.groupOf(list)})
	}
	p.outcomes[key] = o
	return o
}

// prefixLength returns the prefix length of the route that an advertisement announces for an address. An
// aggregate with addresses that the pool excludes or does not list would attract the traffic of other
// hosts. In that case the address gets a route of its own.
func (p *preparedConfig) prefixLength(ad int, pool lb.PoolName, address netip.Addr) int {
	prefix, _ := address.Prefix(p.ads[ad].prefixLength(lb.FamilyOf(address))) // never fails: the length is valid for the family
	if prefix.IsSingleIP() {
		return prefix.Bits()
	}
	owned, known := p.owned[pool]
	if listed := p.pools[pool]; !known && listed != nil {
		owned = lb.Subtract(listed.Listed, listed.Excluded)
		p.owned[pool] = owned
	}
	all := lb.RangeOf(prefix)
	if i, in := lb.FindRange(owned, all.First); in && owned[i].Contains(all.Last) {
		return prefix.Bits()
	}
	return address.BitLen()
}

// prefixLength returns the prefix length of routes of a family. An invalid length means no aggregation.
func (a *Advertisement) prefixLength(family lb.Family) int {
	length, single := a.Length, uint8(32)
	if family == lb.IPv6 {
		length, single = a.LengthV6, 128
	}
	if length == 0 || length > single {
		return int(single)
	}
	return int(length)
}

// intern returns the same pointer for equal attributes.
func (p *preparedConfig) intern(a Attributes) *Attributes {
	key := fmt.Sprint(a)
	if p.attributes[key] == nil {
		if p.attributes[key] = p.before[key]; p.attributes[key] == nil {
			p.attributes[key] = &a
		}
	}
	return p.attributes[key]
}

// keyOf returns a key for a number and a list.
func keyOf(n int, list []int) string {
	key := binary.AppendUvarint(nil, uint64(n))
	for _, i := range list {
		key = binary.AppendUvarint(key, uint64(i))
	}
	return string(key)
}
