package ipam

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// model decides the same as an Allocator in the plainest way: the model has no
// index, and reads every address of a pool and every holder.
type model struct {
	pools    []Pool
	held     map[netip.Addr][]lb.ServiceKey // in the order in which they got the address; none: reserved
	origin   map[netip.Addr]lb.PoolName     // the last pool that had the address
	terms    map[assignment]lb.Sharing
	reserved map[assignment]bool
	dropped  map[assignment]bool // has to release the address
}

func newModel() *model {
	return &model{
		held: map[netip.Addr][]lb.ServiceKey{}, origin: map[netip.Addr]lb.PoolName{}, terms: map[assignment]lb.Sharing{},
		reserved: map[assignment]bool{}, dropped: map[assignment]bool{},
	}
}

func inRanges(ranges []lb.Range, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(r lb.Range) bool { return r.Contains(a) })
}

func (m *model) named(name lb.PoolName) *Pool {
	if i := slices.IndexFunc(m.pools, func(p Pool) bool { return p.Name == name }); i >= 0 {
		return &m.pools[i]
	}
	return nil
}

func (m *model) giver(a netip.Addr) *Pool {
	for i, p := range m.pools {
		if inRanges(p.Gives, a) && !(p.AvoidBuggy && endsBuggy(a)) {
			return &m.pools[i]
		}
	}
	return nil
}

func (m *model) from(a netip.Addr) lb.PoolName {
	if p := m.giver(a); p != nil {
		return p.Name
	}
	return m.origin[a]
}

func (m *model) setPools(pools []Pool) {
	was := map[netip.Addr]lb.PoolName{}
	for a := range m.held {
		was[a] = m.from(a)
	}
	m.pools, m.origin = pools, was
}

func (m *model) has(service lb.ServiceKey) (list []netip.Addr) {
	for a, holders := range m.held {
		if slices.Contains(holders, service) {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

func (m *model) agree(x, y lb.Sharing) bool {
	disjoint := !slices.ContainsFunc(x.Ports, func(p lb.Port) bool { return slices.Contains(y.Ports, p) })
	return x.Key != "" && x.Key == y.Key && x.Traffic == y.Traffic && disjoint
}

// mayJoin reports whether a Service may have an address, which is not reserved, together with
// its holders.
func (m *model) mayJoin(a netip.Addr, service lb.ServiceKey, terms lb.Sharing, acrossNamespaces bool) bool {
	for _, other := range m.held[a] {
		if other != service && (!m.agree(terms, m.terms[assignment{a, other}]) || other.Namespace != service.Namespace && !acrossNamespaces) {
			return false
		}
	}
	return true
}

func (m *model) hold(h Holding, terms lb.Sharing) bool {
	holders, taken := m.held[h.Address]
	switch {
	case slices.Contains(holders, h.Service):
		return true
	case taken && len(holders) == 0, !m.mayJoin(h.Address, h.Service, terms, true):
		return false
	}
	m.add(h, terms)
	return true
}

func (m *model) add(h Holding, terms lb.Sharing) {
	if _, taken := m.held[h.Address]; !taken {
		m.origin[h.Address] = h.Pool
	}
	m.held[h.Address] = append(m.held[h.Address], h.Service)
	m.terms[assignment{h.Address, h.Service}] = terms
}

func (m *model) release(a netip.Addr, service lb.ServiceKey) {
	if !slices.Contains(m.held[a], service) {
		return
	}
	m.held[a] = slices.DeleteFunc(m.held[a], func(k lb.ServiceKey) bool { return k == service })
	if len(m.held[a]) == 0 {
		delete(m.held, a)
	}
	for _, marks := range []map[assignment]bool{m.reserved, m.dropped} {
		delete(marks, assignment{a, service})
	}
	delete(m.terms, assignment{a, service})
}

func (m *model) reserve(a netip.Addr, pool lb.PoolName) bool {
	if len(m.held[a]) > 0 {
		return false
	}
	if _, taken := m.held[a]; !taken {
		m.held[a], m.origin[a] = nil, pool
	}
	return true
}

func (m *model) unreserve(a netip.Addr) {
	if len(m.held[a]) == 0 {
		delete(m.held, a)
	}
}

// takesAway reports whether a pool would take an address from a Service.
func (m *model) takesAway(a netip.Addr, req Request) (takes, evicts bool) {
	p := m.named(m.from(a))
	if p == nil || p.Unusable != "" {
		return false, false
	}
	_, foreign := p.Foreign[a]
	return m.giver(a) == nil && !foreign || !isFor(p, req) || m.outOfScope(p, a, req.Service), p.Evict
}

// flees reports whether a foreign host uses an address, so that the Service leaves it.
func (m *model) flees(a netip.Addr, req Request) bool {
	for i := range m.pools {
		if f, foreign := m.pools[i].Foreign[a]; foreign {
			return !f.InUse && !slices.Contains(req.Addresses, a)
		}
	}
	return false
}

// outOfScope reports whether a Service of another namespace got the address before, although the
// pool allows sharing within one namespace alone.
func (m *model) outOfScope(p *Pool, a netip.Addr, service lb.ServiceKey) bool {
	before := m.held[a][:slices.Index(m.held[a], service)]
	return !p.ShareAcrossNamespaces && slices.ContainsFunc(before, func(k lb.ServiceKey) bool { return k.Namespace != service.Namespace })
}

func isFor(p *Pool, req Request) bool {
	s := p.Selection
	return s == nil || len(s.Namespaces) == 0 || slices.Contains(s.Namespaces, req.Service.Namespace)
}

// order returns the pools in the order in which they are tried.
func (m *model) order(req Request) []*Pool {
	var list []*Pool
	for i := range m.pools {
		if req.Pool == "" || m.pools[i].Name == req.Pool {
			list = append(list, &m.pools[i])
		}
	}
	rank := func(p *Pool) int64 {
		switch {
		case p.Selection == nil:
			return 1 << 41
		case p.Selection.Priority == 0:
			return 1 << 40
		}
		return int64(p.Selection.Priority)
	}
	families := func(p *Pool) (n int) {
		for _, f := range v46 {
			if slices.ContainsFunc(p.Gives, func(r lb.Range) bool { return r.Family() == f }) {
				n++
			}
		}
		return n
	}
	slices.SortFunc(list, func(x, y *Pool) int {
		both := 0
		if req.Policy != SingleStack && len(req.Families) > 1 {
			both = families(y) - families(x)
		}
		return cmp.Or(cmp.Compare(rank(x), rank(y)), both, cmp.Compare(x.Name, y.Name))
	})
	return list
}

// gives reports whether a pool gives the Service addresses without being named, or when
// the request names one of them.
func gives(p *Pool, req Request, named bool) bool {
	return p.Unusable == "" && !p.Draining && isFor(p, req) && (p.AutoAssign || named || req.Pool == p.Name)
}

// fits reports whether a namespace stays within its quota with these addresses for
// the Service, besides what others have.
func (m *model) fits(p *Pool, req Request, addresses ...netip.Addr) bool {
	if p.MaxPerNamespace == 0 {
		return true
	}
	count := map[netip.Addr]bool{}
	for a, holders := range m.held {
		if m.from(a) == p.Name && slices.ContainsFunc(holders, func(k lb.ServiceKey) bool { return k != req.Service && k.Namespace == req.Service.Namespace }) {
			count[a] = true
		}
	}
	others := maps.Clone(count)
	for _, a := range addresses {
		if m.from(a) == p.Name {
			count[a] = true
		}
	}
	return len(count) <= p.MaxPerNamespace || others[addresses[len(addresses)-1]]
}

func (m *model) free(a netip.Addr) bool {
	_, taken := m.held[a]
	return !taken
}
