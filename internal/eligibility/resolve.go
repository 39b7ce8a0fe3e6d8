package eligibility

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Resolve returns for each address of the input, in the same order, who may
// announce it or why nobody may.
func Resolve(in Input) []Result {
	r := newResolver(in)
	taken := addressesOf(in.Nodes)
	results := make([]Result, 0, len(in.Addresses))
	for _, a := range in.Addresses {
		result := r.resolve(a)
		result.Candidates = r.asking(result.Candidates, a.AnnounceFrom)
		result.Refused = refuses(a.Address, a.Pool, r.pools, taken)
		results = append(results, result)
	}
	return results
}

// asking returns the candidates of whom one is asked for, if it is among them.
func (r *resolver) asking(candidates []Candidate, node lb.NodeName) []Candidate {
	if node == "" {
		return candidates
	}
	at := slices.IndexFunc(candidates, func(c Candidate) bool { return c.Node == node })
	if at < 0 {
		return candidates
	}
	candidates = slices.Clone(candidates)
	candidates[at].Requested = true
	return r.share(candidates)
}

// resolver remembers what many addresses have in common.
type resolver struct {
	kind     Kind
	ads      []Advertisement
	nodes    []Node // ordered by name
	pools    map[lb.PoolName]*Pool
	services map[lb.ServiceKey]*Service
	reach    []reach // of each advertisement
	ofPool   map[lb.PoolName][]int
	outcomes map[outcomeKey][]Candidate
	lists    map[string][]Candidate // those of the outcomes, each once
	takers   map[*Candidate][]Candidate
}

// reach is what an advertisement means for each node: whether it covers it, and
// how much it prefers it.
type reach struct {
	covers     []bool
	preference []int32
}

// outcomeKey is all that the candidates depend on.
type outcomeKey struct {
	ads   string // which advertisements: one byte each
	local string // which nodes serve locally: one byte each; empty: it does not matter
}

func newResolver(in Input) *resolver {
	r := &resolver{
		kind:     cmp.Or(in.Kind, L2),
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

func reachOf(ad *Advertisement, nodes []Node) reach {
	result := reach{covers: make([]bool, len(nodes)), preference: make([]int32, len(nodes))}
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
		if d.candidates = r.without(d.candidates); len(d.candidates) == 0 {
			d.reason = NoNode
		}
	}
	return Result{Address: a.Address, Candidates: d.candidates, Reason: d.reason, Why: r.why(a, d)}
}

// without returns the candidates without those that are excluded: these keep an address and
// take none.
func (r *resolver) without(candidates []Candidate) []Candidate {
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

// decision is who may announce an address, or why nobody may.
type decision struct {
	candidates []Candidate
	reason     Reason
	ads        []int        // that are about the address
	local      *localHolder // which restricts where it is announced; nil: none
}

// decide returns who may announce an address of the pool that these Services show.
func (r *resolver) decide(address netip.Addr, pool lb.PoolName, holders []*Service) decision {
	ads := r.about(pool, holders)
	if len(ads) == 0 {
		return decision{reason: NoAdvertisement}
	}
	family := lb.FamilyOf(address)
	if !Served(holders, family) {
		return decision{reason: NoEndpoints, ads: ads}
	}
	local := localTo(holders, family)
	if candidates := r.candidates(ads, local); len(candidates) > 0 {
		return decision{candidates: candidates, ads: ads, local: local}
	}
	return decision{reason: NoNode, ads: ads, local: local}
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

// about returns the advertisements that are about an address of the pool with
// these holders.
func (r *resolver) about(pool lb.PoolName, holders []*Service) []int {
	ofPool := r.aboutPool(pool)
	ads := make([]int, 0, len(ofPool))
	for _, i := range ofPool {
		if r.ads[i].CoversHolders(holders) {
			ads = append(ads, i)
		}
	}
	return ads
}

func (r *resolver) aboutPool(pool lb.PoolName) []int {
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

// candidates returns the nodes that may announce by these advertisements, and that serve the
// local holder if there is one.
func (r *resolver) candidates(ads []int, local *localHolder) []Candidate {
	key := outcomeKey{ads: marks(len(r.ads), ads)}
	var serving []bool
	if local != nil {
		serving = r.servingAt(local)
		key.local = flags(serving)
	}
	if candidates, known := r.outcomes[key]; known {
		return candidates
	}
	var candidates []Candidate
	for i := range r.nodes {
		if r.nodes[i].barred() || (serving != nil && !serving[i]) {
			continue
		}
		if c, covered := r.candidate(i, ads); covered {
			candidates = append(candidates, c)
		}
	}
	r.outcomes[key] = r.share(candidates)
	return r.outcomes[key]
}

func (r *resolver) servingAt(local *localHolder) []bool {
	serving := make([]bool, len(r.nodes))
	for i := range r.nodes {
		serving[i] = local.serves(r.nodes[i].Name)
	}
	return serving
}

// candidate sums up what the advertisements say about a node.
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

// marks returns which of n are in the list, as a key.
func marks(n int, list []int) string {
	set := make([]bool, n)
	for _, i := range list {
		set[i] = true
	}
	return flags(set)
}

func flags(set []bool) string {
	key := make([]byte, len(set))
	for i, is := range set {
		if is {
			key[i] = 1
		}
	}
	return string(key)
}
