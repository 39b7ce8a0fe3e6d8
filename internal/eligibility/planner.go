package eligibility

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Change is the difference between two calls of Planner.Changes. An address is wanted
// while a Service holds it, even if no node may announce it.
type Change struct {
	// Addresses that are newly wanted, or whose candidates have changed, sorted. Addresses of this
	// and of former changes share slices of candidates: never change such a slice.
	Addresses []ownership.Address
	// Gone are the addresses that are no longer wanted, sorted.
	Gone []netip.Addr
}

// Planner computes which nodes may announce each address, and what has changed since the
// last call of Changes. All changes together give the same result as Resolve. Callers must
// not change the values that they pass. It is not safe for concurrent use.
type Planner struct {
	holdings *Holdings
	resolver *resolver
	reported map[netip.Addr][]Candidate // the candidates of the wanted addresses, as Changes has returned them
	touched  map[netip.Addr]struct{}    // addresses that Changes has to decide about again
}

// NewPlanner returns a planner without Services, claims and configuration.
func NewPlanner() *Planner {
	return &Planner{
		holdings: NewHoldings(), resolver: newResolver(Input{}),
		reported: map[netip.Addr][]Candidate{}, touched: map[netip.Addr]struct{}{},
	}
}

// SetConfig replaces the configuration of all addresses. Changes will decide about all of them again.
func (p *Planner) SetConfig(advertisements []Advertisement, pools []Pool, nodes []Node) {
	lists := p.resolver.lists
	p.resolver = newResolver(Input{Advertisements: advertisements, Pools: pools, Nodes: nodes})
	p.resolver.lists = lists // equal lists of candidates stay one slice, see isSameList
	p.holdings.SetConfig(p.resolver.pools, nodes)
	for address := range p.holdings.ClaimedAddresses() {
		p.touched[address] = struct{}{}
	}
}

// SetService records a Service; nil: it was deleted. Changes will decide again about the
// addresses whose claims name the Service.
func (p *Planner) SetService(key lb.ServiceKey, s *Holder) {
	for _, address := range p.holdings.SetService(key, s) {
		p.touched[address] = struct{}{}
	}
}

// SetClaim records the claim of an address; nil: the address has no claim. Changes will decide
// again about that address.
func (p *Planner) SetClaim(address netip.Addr, c *Claim) {
	p.holdings.SetClaim(address, c)
	p.touched[address] = struct{}{}
}

// RemoveAll removes all Services and claims, so that no address is wanted.
func (p *Planner) RemoveAll() {
	p.holdings = NewHoldings()
	p.holdings.SetConfig(p.resolver.pools, p.resolver.nodes)
	for address := range p.reported {
		p.touched[address] = struct{}{}
	}
}

// RestoreAdmitted sets the addresses that were announced before the process started. Such an address is
// admitted again if its claim names a Service when Changes is first called.
func (p *Planner) RestoreAdmitted(addresses []netip.Addr) { p.holdings.RestoreAdmitted(addresses) }

// Changes returns what has changed since the last call.
func (p *Planner) Changes() Change {
	p.holdings.EndRestore()
	var c Change
	for address := range p.touched {
		p.update(address, &c)
	}
	p.touched = map[netip.Addr]struct{}{} // clearing a map that was once large would always take long
	p.trimCaches()
	slices.SortFunc(c.Addresses, func(x, y ownership.Address) int { return x.Address.Compare(y.Address) })
	slices.SortFunc(c.Gone, netip.Addr.Compare)
	return c
}

// update decides about an address again, and adds it to c if the result has changed.
func (p *Planner) update(address netip.Addr, c *Change) {
	before, known := p.reported[address]
	pool, holders := p.holdings.Holders(address)
	if len(holders) == 0 {
		if known {
			delete(p.reported, address)
			c.Gone = append(c.Gone, address)
		}
		return
	}
	candidates := p.resolver.decide(address, pool, holders).candidates
	if now := p.resolver.withRequested(candidates, p.holdings.claims[address].AnnounceFrom); !known || !isSameList(before, now) {
		p.reported[address] = now
		c.Addresses = append(c.Addresses, ownership.Address{Address: address, Candidates: now})
	}
}

// trimCaches empties the caches of the resolver, except for lists that are in use. It does so once a
// cache has more than about twice as many entries as there are addresses. With more addresses this
// happens less often, so the average cost of a change does not depend on the number of addresses.
func (p *Planner) trimCaches() {
	const few = 64
	r, most := p.resolver, few+2*len(p.reported)
	if max(len(r.outcomes), len(r.lists), len(r.ofPool)) > most {
		r.dropUnused(maps.Values(p.reported))
	}
}

// isSameList reports whether two lists of a resolver are equal. Equal lists are the same slice, see
// sharedList.
func isSameList(x, y []Candidate) bool {
	return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
}
