package eligibility

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Resolve returns for each address of the input, in the same order, which nodes may
// announce it or why none may.
func Resolve(in Input) []Result {
	r := newResolver(in)
	taken := nodesByAddress(in.Nodes)
	results := make([]Result, 0, len(in.Addresses))
	for _, a := range in.Addresses {
		result := r.resolve(a)
		result.Candidates = r.withRequested(result.Candidates, a.AnnounceFrom)
		result.Refused = whyRefused(a.Address, a.Pool, r.pools, taken)
		results = append(results, result)
	}
	return results
}

// withRequested returns the candidates. If the given node is one of them, its Requested is set.
func (r *resolver) withRequested(candidates []Candidate, node lb.NodeName) []Candidate {
	if node == "" {
		return candidates
	}
	at := slices.IndexFunc(candidates, func(c Candidate) bool { return c.Node == node })
	if at < 0 {
		return candidates
	}
	candidates = slices.Clone(candidates)
	candidates[at].Requested = true
	return r.sharedList(candidates)
}

// resolver has the configuration, and caches of results that many addresses have in common.
type resolver struct {
	kind     AdvertisementKind
	ads      []Advertisement
	nodes    []Node // sorted by name
	pools    map[lb.PoolName]*Pool
	services map[lb.ServiceKey]*Service
	reach    []nodeReach                // of each advertisement, in the order of ads
	ofPool   map[lb.PoolName][]int      // cache of adsForPool
	outcomes map[outcomeKey][]Candidate // cache of candidates
	lists    map[string][]Candidate     // all lists of candidates by keyOf, see sharedList
	takers   map[*Candidate][]Candidate // cache of withoutExcluded, by the first item of a list
}

// nodeReach is which nodes an advertisement selects and prefers.
type nodeReach struct {
	covers     []bool  // whether the advertisement selects the node, by the index of the node
	preference []int32 // how much the advertisement prefers the node, by the index of the node
}

// outcomeKey is everything that a list of candidates depends on.
type outcomeKey struct {
	ads   string // which advertisements apply: one byte for each advertisement
	local string // which nodes have endpoints: one byte for each node; empty: every node may serve
}

func newResolver(in Input) *resolver {
	r := &resolver{
		kind:     cmp.Or(in.Kind, KindL2),
		ads:      in.Advertisements,
		nodes:    slices.SortedFunc(slices.Values(in.Nodes), func(x, y Node) int { return cmp.Compare(x.Name, y.Name) }),
		pools:    make(map[lb.PoolName]*Pool, len(in.Pools)),
		services: make(map[lb.ServiceKey]*Service, len(in.Services)),
		ofPool:   map[lb.PoolName][]int{},
		outcomes: map[outcomeKey][]Candidate{},
		lists:    map[string][]Candidate{},
		takers:   map[*Candidate][]Candidate{},
	}
	for i := range in.Pools {
		r.pools[in.Pools[i].Name] = &in.Pools[i]
	}
	for i := range in.Services {
		r.services[in.Services[i].Key] = &in.Services[i]
	}
	for i := range r.ads {
		r.reach = append(r.reach, reachOf(&r.ads[i], r.nodes))
	}
	return r
}

func reachOf(ad *Advertisement, nodes []Node) nodeReach {
	result := nodeReach{covers: make([]bool, len(nodes)), preference: make([]int32, len(nodes))}
	for i, node := range nodes {
		result.covers[i] = ad.CoversNode(node.Labels)
		for _, p := range ad.Preferred {
			if p.Selector(node.Labels) {
				result.preference[i] += p.Weight
			}
		}
	}
	return result
}

func (r *resolver) resolve(a Address) Result {
	d := r.decide(a.Address, a.Pool, r.holders(a))
	if d.reason == "" {
		if d.candidates = r.withoutExcluded(d.candidates); len(d.candidates) == 0 {
			d.reason = NoNode
		}
	}
	return Result{Address: a.Address, Candidates: d.candidates, Reason: d.reason, Why: r.reasonMessage(a, d)}
}

// withoutExcluded returns the candidates that are not excluded. Excluded candidates can keep an
// address, but take no new address. The list of candidates must not be empty.
func (r *resolver) withoutExcluded(candidates []Candidate) []Candidate {
	key := &candidates[0]
	if known, has := r.takers[key]; has {
		return known
	}
	var takers []Candidate
	for _, c := range candidates {
		if i, _ := slices.BinarySearchFunc(r.nodes, c.Node, func(n Node, name lb.NodeName) int { return cmp.Compare(n.Name, name) }); r.nodes[i].Excluded == "" {
			takers = append(takers, c)
		}
	}
	r.takers[key] = takers
	return takers
}

// addressDecision is which nodes may announce an address, or why no node may.
type addressDecision struct {
	candidates []Candidate
	reason     Reason
	ads        []int        // indexes of the advertisements that select the address
	local      *localHolder // the holder to whose nodes announcements are restricted; nil: none
}

// decide returns which nodes may announce an address that came from the pool and that these Services
// hold.
func (r *resolver) decide(address netip.Addr, pool lb.PoolName, holders []*Service) addressDecision {
	ads := r.adsFor(pool, holders)
	if len(ads) == 0 {
		return addressDecision{reason: NoAdvertisement}
	}
	family := lb.FamilyOf(address)
	if !HasServingEndpoint(holders, family) {
		return addressDecision{reason: NoEndpoints, ads: ads}
	}
	local := localHolderOf(holders, family)
	if candidates := r.candidates(ads, local); len(candidates) > 0 {
		return addressDecision{candidates: candidates, ads: ads, local: local}
	}
	return addressDecision{reason: NoNode, ads: ads, local: local}
}

func (r *resolver) holders(a Address) []*Service {
	holders := make([]*Service, 0, len(a.Holders))
	for _, key := range a.Holders {
		if s := r.services[key]; s != nil {
			holders = append(holders, s)
		}
	}
	return holders
}

// adsFor returns the indexes of the advertisements that select an address of the pool with
// these holders.
func (r *resolver) adsFor(pool lb.PoolName, holders []*Service) []int {
	ofPool := r.adsForPool(pool)
	ads := make([]int, 0, len(ofPool))
	for _, i := range ofPool {
		if r.ads[i].CoversHolders(holders) {
			ads = append(ads, i)
		}
	}
	return ads
}

func (r *resolver) adsForPool(pool lb.PoolName) []int {
	if ads, known := r.ofPool[pool]; known {
		return ads
	}
	var ads []int
	for i := range r.ads {
		if r.ads[i].CoversPool(pool, r.pools[pool]) {
			ads = append(ads, i)
		}
	}
	r.ofPool[pool] = ads
	return ads
}

// candidates returns the nodes that may announce because of these advertisements. If there is a
// local holder, only its nodes may.
func (r *resolver) candidates(ads []int, local *localHolder) []Candidate {
	key := outcomeKey{ads: indexKey(len(r.ads), ads)}
	var serving []bool
	if local != nil {
		serving = r.servingByNode(local)
		key.local = boolKey(serving)
	}
	if candidates, known := r.outcomes[key]; known {
		return candidates
	}
	var candidates []Candidate
	for i := range r.nodes {
		if r.nodes[i].isBarred() || (serving != nil && !serving[i]) {
			continue
		}
		if c, covered := r.candidate(i, ads); covered {
			candidates = append(candidates, c)
		}
	}
	r.outcomes[key] = r.sharedList(candidates)
	return r.outcomes[key]
}

func (r *resolver) servingByNode(local *localHolder) []bool {
	serving := make([]bool, len(r.nodes))
	for i := range r.nodes {
		serving[i] = local.serves(r.nodes[i].Name)
	}
	return serving
}

// candidate combines what the advertisements configure for a node. covered means that at least one
// advertisement selects the node.
func (r *resolver) candidate(node int, ads []int) (c Candidate, covered bool) {
	everywhere := false
	interfaces := map[string]bool{}
	c = Candidate{Node: r.nodes[node].Name, RequireSubnet: true}
	for _, i := range ads {
		if !r.reach[i].covers[node] {
			continue
		}
		covered = true
		ad := &r.ads[i]
		c.Preference += r.reach[i].preference[node]
		c.RequireSubnet = c.RequireSubnet && ad.RequireSubnet
		everywhere = everywhere || len(ad.Interfaces) == 0
		for _, name := range ad.Interfaces {
			interfaces[name] = true
		}
	}
	if !everywhere {
		c.Interfaces = slices.Sorted(maps.Keys(interfaces))
	}
	return c, covered
}

// indexKey returns a key for a list of indexes: n bytes, with a 1 at each index in the list.
func indexKey(n int, list []int) string {
	set := make([]bool, n)
	for _, i := range list {
		set[i] = true
	}
	return boolKey(set)
}

func boolKey(set []bool) string {
	key := make([]byte, len(set))
	for i, is := range set {
		if is {
			key[i] = 1
		}
	}
	return string(key)
}
