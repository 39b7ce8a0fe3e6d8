package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// result is the result of the model for a request: the addresses, without messages.
type result struct {
	keep, drop, lost []netip.Addr
	refused, missing bool
}

func (m *model) assign(req Request) (v result) {
	var standing, fleeing []netip.Addr
	for _, a := range m.has(req.Service) {
		at := assignment{a, req.Service}
		takes, evicts := m.takesAway(a, req)
		if !m.mayJoin(a, req.Service, req.Terms, true) || takes && evicts && !m.reserved[at] {
			v.lost = append(v.lost, a)
			continue
		}
		switch flees := m.flees(a, req); {
		case takes && evicts, flees && m.reserved[at]: // taken up, it would be taken away again
		case flees:
			fleeing = append(fleeing, a)
		default:
			standing = append(standing, a)
		}
	}
	for _, a := range slices.Concat(standing, fleeing) { // what is lost stays on the terms that others agreed to
		m.terms[assignment{a, req.Service}] = req.Terms
	}
	v.drop = slices.Clone(v.lost)
	// What was reserved first, what was to be let go last.
	rank := func(a netip.Addr) int {
		switch at := (assignment{a, req.Service}); {
		case m.reserved[at]:
			return 0
		case m.dropped[at]:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(standing, func(x, y netip.Addr) int { return rank(x) - rank(y) })
	chosen, refused, missing := m.choose(req, standing)
	if refused {
		v.refused = true
		for _, a := range standing {
			if !m.reserved[assignment{a, req.Service}] {
				v.keep = append(v.keep, a)
			}
		}
		v.keep = append(v.keep, fleeing...)
		return v
	}
	v.missing = missing
	for _, a := range standing {
		switch at := (assignment{a, req.Service}); {
		case slices.Contains(chosen, a):
			delete(m.reserved, at)
			delete(m.dropped, at)
		case !m.reserved[at]:
			v.drop = append(v.drop, a)
			m.dropped[at] = true
		}
	}
	for _, a := range chosen {
		if !slices.Contains(standing, a) {
			m.add(Holding{Address: a, Pool: m.from(a), Service: req.Service}, req.Terms)
		}
	}
	for _, a := range fleeing {
		family := func(other netip.Addr) bool { return lb.FamilyOf(other) == lb.FamilyOf(a) }
		if missing && !slices.ContainsFunc(chosen, family) {
			chosen = append(chosen, a)
			continue
		}
		v.drop = append(v.drop, a)
		m.dropped[assignment{a, req.Service}] = true
	}
	v.keep = chosen
	return v
}

func (m *model) choose(req Request, standing []netip.Addr) (chosen []netip.Addr, refused, missing bool) {
	rightPool := func(a netip.Addr) bool { return req.Pool == "" || m.from(a) == req.Pool }
	for _, a := range req.Addresses {
		if !slices.Contains(standing, a) || !rightPool(a) {
			if !slices.Contains(req.Families, lb.FamilyOf(a)) || !m.namable(req, a, chosen) {
				return nil, true, false
			}
		}
		chosen = append(chosen, a)
	}
	for _, families := range m.needs(req) {
		at := slices.IndexFunc(standing, func(a netip.Addr) bool {
			return slices.Contains(families, lb.FamilyOf(a)) && rightPool(a)
		})
		if at >= 0 {
			chosen = append(chosen, standing[at])
			continue
		}
		a := m.before(req, families, chosen)
		if !a.IsValid() {
			a = m.new(req, families, chosen)
		}
		switch {
		case a.IsValid():
			chosen = append(chosen, a)
		case req.Policy == PreferDualStack:
			missing = true
		default:
			return nil, true, false
		}
	}
	return chosen, len(chosen) == 0, missing && len(chosen) > 0
}

// namable reports whether the Service would get an address that it has not, if it named it.
func (m *model) namable(req Request, a netip.Addr, chosen []netip.Addr) bool {
	p := m.giver(a)
	return p != nil && (req.Pool == "" || p.Name == req.Pool) && gives(p, req, true) && m.obtainable(p, req, a, chosen)
}

// before finds an address that the Service had before a removal.
func (m *model) before(req Request, families []lb.Family, chosen []netip.Addr) netip.Addr {
	for _, f := range families {
		for _, a := range req.Kept {
			if lb.FamilyOf(a) == f && m.namable(req, a, chosen) {
				return a
			}
		}
	}
	return netip.Addr{}
}

// obtainable reports whether the Service can have an address that it has not.
func (m *model) obtainable(p *Pool, req Request, a netip.Addr, chosen []netip.Addr) bool {
	holders, taken := m.held[a]
	if taken && (len(holders) == 0 || !m.mayJoin(a, req.Service, req.Terms, p.ShareAcrossNamespaces)) {
		return false
	}
	return m.fits(p, req, append(slices.Clone(chosen), a)...)
}

func (m *model) needs(req Request) (needs [][]lb.Family) {
	if req.Policy == SingleStack || len(req.Families) < 2 {
		if len(req.Addresses) == 0 {
			needs = append(needs, req.Families)
		}
		return needs
	}
	for _, f := range req.Families {
		if !slices.ContainsFunc(req.Addresses, func(a netip.Addr) bool { return lb.FamilyOf(a) == f }) {
			needs = append(needs, []lb.Family{f})
		}
	}
	return needs
}

// new finds an address that is shared or free, by looking at each.
func (m *model) new(req Request, families []lb.Family, chosen []netip.Addr) netip.Addr {
	for _, shared := range []bool{true, false} {
		for _, f := range families {
			for _, p := range m.order(req) {
				if !gives(p, req, false) {
					continue
				}
				if a := m.lowest(p, req, f, shared, chosen); a.IsValid() {
					return a
				}
			}
		}
	}
	return netip.Addr{}
}

func (m *model) lowest(p *Pool, req Request, f lb.Family, shared bool, chosen []netip.Addr) netip.Addr {
	for _, r := range p.Gives {
		if r.Family() != f {
			continue
		}
		// Of what is shared the end of a large range must be seen too; of what is
		// free, one more than are held is enough.
		looked := 0
		for a := r.First; r.Contains(a) && looked <= 2*len(m.held)+1500; a = a.Next() {
			looked++
			if m.giver(a) == nil || m.free(a) == shared || shared && len(m.held[a]) == 0 {
				continue
			}
			if m.obtainable(p, req, a, chosen) {
				return a
			}
			if !shared {
				return netip.Addr{} // no other one either: the quota
			}
		}
	}
	return netip.Addr{}
}
