package routes

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// Config is what the routes of all addresses depend on. It changes rarely.
type Config struct {
	// Node is the one that the planner plans for. Whether it drains or is down does
	// not matter: what would be announced is still returned, and the caller marks it.
	Node eligibility.Node
	// Nodes of the cluster, whose own addresses are announced for no Service.
	Nodes []eligibility.Node
	// Others are the nodes that can announce in place of this one, if it is excluded and
	// keeps what it announces while no other node may.
	Others []eligibility.Node
	// Advertisements of the cluster, those of other nodes included.
	Advertisements []Advertisement
	// Peers that the node has.
	Peers []bgp.PeerName
	// Pools of the cluster.
	Pools []eligibility.Pool
}

// Planner knows which routes the node should announce to which peer, and what of
// that changed since it was asked last. What it is given must not be changed
// afterwards. One goroutine at a time may use it.
type Planner struct {
	plan     *plan
	holdings *eligibility.Holdings
	outcomes map[netip.Addr]*outcome // what is announced because of an address, if anything is
	prefixes map[netip.Prefix]*entry
	dirty    []netip.Prefix            // whose entry is dirty
	disputed map[netip.Prefix]struct{} // whose advertisements disagree
}

// New returns a planner that knows nothing, and therefore announces nothing.
func New() *Planner {
	return &Planner{
		plan: newPlan(Config{}, nil), holdings: eligibility.NewHoldings(), outcomes: map[netip.Addr]*outcome{},
		prefixes: map[netip.Prefix]*entry{}, disputed: map[netip.Prefix]struct{}{},
	}
}

// SetConfig sets what applies to all addresses from now on, and looks at each of them.
func (p *Planner) SetConfig(c Config) {
	p.plan = newPlan(c, p.plan)
	p.holdings.SetConfig(p.plan.pools, c.Nodes)
	for prefix, e := range p.prefixes {
		clear(e.members)
		e.members, e.now = e.members[:0], nil
		p.touch(prefix, e)
	}
	had := p.outcomes
	p.outcomes = make(map[netip.Addr]*outcome, len(had))
	for address := range p.holdings.Claimed() {
		p.lookAt(address, had[address] != nil)
	}
}

// Remember has addresses admitted that were announced before the process started, as far
// as they are held when Settle is called.
func (p *Planner) Remember(addresses []netip.Addr) { p.holdings.Remember(addresses) }

// Settle ends what Remember began: all claims and pools were read.
func (p *Planner) Settle() { p.holdings.Settle() }

// Refused returns how many addresses Services hold that may not be announced, and the first
// of them, at most as many as asked for.
func (p *Planner) Refused(most int) (count int, first []eligibility.Refusal) {
	return p.holdings.Refused(most)
}

// Outside returns the addresses, ordered, that may be announced although their pool does not
// list them any more.
func (p *Planner) Outside() []netip.Addr { return p.holdings.Outside() }

// SetService records what a Service is like; nil: it is gone. Only the addresses whose
// claims name it are looked at.
func (p *Planner) SetService(key lb.ServiceKey, s *eligibility.Holder) {
	for _, address := range p.holdings.SetService(key, s) {
		p.look(address)
	}
}

// SetClaim records who holds an address; nil: nobody. Only that address is looked at.
func (p *Planner) SetClaim(address netip.Addr, c *eligibility.Claim) {
	p.holdings.SetClaim(address, c)
	p.look(address)
}

// look decides anew what is announced because of an address.
func (p *Planner) look(address netip.Addr) { p.lookAt(address, p.outcomes[address] != nil) }

// lookAt does so for an address that is announced, or is not.
func (p *Planner) lookAt(address netip.Addr, announced bool) {
	before, is := p.outcomes[address], p.decide(address, announced)
	if before == is {
		return
	}
	for _, part := range before.list() {
		p.count(part.of(address), part.group, -1)
	}
	for _, part := range is.list() {
		p.count(part.of(address), part.group, 1)
	}
	if is == nil {
		delete(p.outcomes, address)
	} else {
		p.outcomes[address] = is
	}
}

// decide returns what is announced because of an address; nil: nothing. The rules are
// those of eligibility.Resolve, for one node. A node that is excluded goes on with what it
// announces while no other node may, and begins nothing.
func (p *Planner) decide(address netip.Addr, announced bool) *outcome {
	pool, holders := p.holdings.Holders(address)
	family := lb.FamilyOf(address)
	if !eligibility.Served(holders, family) || !eligibility.ServedAt(holders, family, p.plan.node) {
		return nil
	}
	ads := p.plan.about(pool, holders)
	if p.plan.excluded && (!announced || p.plan.others(ads, family, holders)) {
		return nil
	}
	return p.plan.outcome(pool, address, ads)
}
