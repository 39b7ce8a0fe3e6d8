package eligibility

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Change is how to get from what was wanted to what is.
type Change struct {
	// Addresses that were not wanted, or that others may announce now, ordered. One is
	// wanted while a Service holds it, also if nobody may announce it.
	// They share their candidates where they can, also with those of changes before:
	// never change them.
	Addresses []ownership.Address
	// Gone are the addresses that are not wanted any more, ordered.
	Gone []netip.Addr
}

// Planner knows who may announce each address, and what of that changed since it was
// asked last: all changes together amount to what Resolve returns. What it is given must not
// be changed afterwards. One goroutine at a time may use it.
type Planner struct {
	holdings *Holdings
	resolver *resolver
	reported map[netip.Addr][]Candidate // those that were reported to the caller as wanted
	touched  map[netip.Addr]struct{}    // to be looked at
}

// NewPlanner returns a planner that knows nothing, so that no address is wanted.
func NewPlanner() *Planner {
	return &Planner{
		holdings: NewHoldings(), resolver: newResolver(Input{}),
		reported: map[netip.Addr][]Candidate{}, touched: map[netip.Addr]struct{}{},
	}
}

// SetConfig sets what applies to all addresses from now on. Each of them is looked at.
func (p *Planner) SetConfig(advertisements []Advertisement, pools []Pool, nodes []Node) {
	lists := p.resolver.lists
	p.resolver = newResolver(Input{Advertisements: advertisements, Pools: pools, Nodes: nodes})
	p.resolver.lists = lists // what is the same as before is known by it
	p.holdings.SetConfig(p.resolver.pools, nodes)
	for address := range p.holdings.Claimed() {
		p.touched[address] = struct{}{}
	}
}

// SetService records what a Service is like; nil: it is gone. Only the addresses whose
// claims name it are looked at.
func (p *Planner) SetService(key lb.ServiceKey, s *Holder) {
	for _, address := range p.holdings.SetService(key, s) {
		p.touched[address] = struct{}{}
	}
}

// SetClaim records who holds an address; nil: nobody. Only that address is looked at.
func (p *Planner) SetClaim(address netip.Addr, c *Claim) {
	p.holdings.SetClaim(address, c)
	p.touched[address] = struct{}{}
}

// Forget has the planner know of no Service and no claim, so that no address is wanted.
func (p *Planner) Forget() {
	p.holdings = NewHoldings()
	p.holdings.SetConfig(p.resolver.pools, p.resolver.nodes)
	for address := range p.reported {
		p.touched[address] = struct{}{}
	}
}

// Remember has addresses admitted that were announced before the process started, as far
// as they are held when Changes is called first.
func (p *Planner) Remember(addresses []netip.Addr) { p.holdings.Remember(addresses) }

// Changes returns what changed since the last call.
func (p *Planner) Changes() Change {
	p.holdings.Settle()
	var c Change
	for address := range p.touched {
		p.look(address, &c)
	}
	p.touched = map[netip.Addr]struct{}{} // to clear one that was large takes long each time
	p.tidy()
	slices.SortFunc(c.Addresses, func(x, y ownership.Address) int { return x.Address.Compare(y.Address) })
	slices.SortFunc(c.Gone, netip.Addr.Compare)
	return c
}

// look adds what has become of an address.
func (p *Planner) look(address netip.Addr, c *Change) {
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
	if now := p.resolver.asking(candidates, p.holdings.claims[address].AnnounceFrom); !known || !oneList(before, now) {
		p.reported[address] = now
		c.Addresses = append(c.Addresses, ownership.Address{Address: address, Candidates: now})
	}
}

// tidy has the resolver forget what is not in use before it remembers much more than
// that. It is as rare as there are many addresses, so that a change costs the same
// however many there are.
func (p *Planner) tidy() {
	const few = 64
	r, most := p.resolver, few+2*len(p.reported)
	if max(len(r.outcomes), len(r.lists), len(r.ofPool)) > most {
		r.forget(maps.Values(p.reported))
	}
}

// oneList reports whether two lists are one and the same. Those of a resolver that say the
// same are.
func oneList(x, y []Candidate) bool {
	return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
}
