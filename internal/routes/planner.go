package routes

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// Config has the settings that the routes of all addresses depend on. It changes rarely.
type Config struct {
	// Node is the node that the planner plans for. The planner ignores whether this node drains or is
	// down: the caller marks or withdraws the routes.
	Node eligibility.Node
	// Nodes of the cluster. Their own addresses are announced for no Service.
	Nodes []eligibility.Node
	// Others are the nodes that can announce in place of this node. They matter only if this node is
	// excluded and keeps announcing addresses that no other node may announce.
	Others []eligibility.Node
	// Advertisements of the cluster, including those that do not select this node.
	Advertisements []Advertisement
	// Peers that the node has.
	Peers []bgp.PeerName
	// Pools of the cluster.
	Pools []eligibility.Pool
}

// Planner computes which routes the node should announce to which peer, and what has changed since the
// last call of Changes. The arguments of its methods must not be modified afterwards. One goroutine at a
// time may use it.
type Planner struct {
	plan     *preparedConfig
	holdings *eligibility.Holdings
	outcomes map[netip.Addr]*addressRoutes // the addresses for which something is announced
	prefixes map[netip.Prefix]*prefixEntry
	dirty    []netip.Prefix            // prefixes whose entry is dirty
	disputed map[netip.Prefix]struct{} // prefixes with conflicts
}

// NewPlanner returns a planner without configuration, which announces nothing.
func NewPlanner() *Planner {
	return &Planner{
		plan: prepareConfig(Config{}, nil), holdings: eligibility.NewHoldings(), outcomes: map[netip.Addr]*addressRoutes{},
		prefixes: map[netip.Prefix]*prefixEntry{}, disputed: map[netip.Prefix]struct{}{},
	}
}

// SetConfig replaces the configuration, and recomputes all addresses.
func (p *Planner) SetConfig(c Config) {
	p.plan = prepareConfig(c, p.plan)
	p.holdings.SetConfig(p.plan.pools, c.Nodes)
	for prefix, e := range p.prefixes {
		clear(e.members)
		e.members, e.now = e.members[:0], nil
		p.markDirty(prefix, e)
	}
	had := p.outcomes
	p.outcomes = make(map[netip.Addr]*addressRoutes, len(had))
	for address := range p.holdings.ClaimedAddresses() {
		p.recompute(address, had[address] != nil)
	}
}

// Remember admits addresses that could be announced before the process started, even if they would be
// refused now. After Settle, this applies only to addresses with a claim that named a Service before
// Settle.
func (p *Planner) Remember(addresses []netip.Addr) { p.holdings.RestoreAdmitted(addresses) }

// Settle ends the effect of Remember for all other addresses. Call it when all claims and pools have
// been set.
func (p *Planner) Settle() { p.holdings.EndRestore() }

// RefusedAddresses returns how many addresses are held by Services but must not be announced. first has
// the first of these addresses, at most as many as limit.
func (p *Planner) RefusedAddresses(limit int) (count int, first []eligibility.Refusal) {
	return p.holdings.RefusedAddresses(limit)
}

// OutsidePool returns the addresses, ordered, that may be announced although their pool does not
// list them any more.
func (p *Planner) OutsidePool() []netip.Addr { return p.holdings.AdmittedOutsidePool() }

// SetService records the facts about a Service; nil: it does not exist. It recomputes only the
// addresses whose claims name the Service.
func (p *Planner) SetService(key lb.ServiceKey, s *eligibility.Holder) {
	for _, address := range p.holdings.SetService(key, s) {
		p.update(address)
	}
}

// SetClaim records the claim of an address; nil: there is none. It recomputes only that address.
func (p *Planner) SetClaim(address netip.Addr, c *eligibility.Claim) {
	p.holdings.SetClaim(address, c)
	p.update(address)
}

// update recomputes what is announced for an address.
func (p *Planner) update(address netip.Addr) { p.recompute(address, p.outcomes[address] != nil) }

// recompute recomputes what is announced for an address. announced means that the address has been
// announced before.
func (p *Planner) recompute(address netip.Addr, announced bool) {
	before, is := p.outcomes[address], p.decideRoutes(address, announced)
	if before == is {
		return
	}
	for _, part := range before.list() {
		p.addCount(part.prefixOf(address), part.group, -1)
	}
	for _, part := range is.list() {
		p.addCount(part.prefixOf(address), part.group, 1)
	}
	if is == nil {
		delete(p.outcomes, address)
	} else {
		p.outcomes[address] = is
	}
}

// decideRoutes returns what is announced for an address; nil: nothing. It follows the rules of
// eligibility.Resolve, for one node. A node that is excluded continues to announce an address while no
// other node may announce it, and begins to announce no address.
func (p *Planner) decideRoutes(address netip.Addr, announced bool) *addressRoutes {
	pool, holders := p.holdings.Holders(address)
	family := lb.FamilyOf(address)
	if !eligibility.HasServingEndpoint(holders, family) || !eligibility.IsServedAt(holders, family, p.plan.node) {
		return nil
	}
	ads := p.plan.advertisementsFor(pool, holders)
	if p.plan.excluded && (!announced || p.plan.isAnnouncedElsewhere(ads, family, holders)) {
		return nil
	}
	return p.plan.routesOf(pool, address, ads)
}
