package routes

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// Config is what the routes of all addresses depend on. It changes rarely.
type Config struct {
	// Node is the one that the planner plans for. Whether it drains or is down does
	// not matter: what would be announced is still said, and the caller marks it.
	Node advertise.Node
	// Advertisements of the cluster, those of other nodes included.
	Advertisements []Advertisement
	// Peers that the node has.
	Peers []bgp.PeerName
	// Pools of the cluster.
	Pools []advertise.Pool
}

// Claim is what an IPAddressClaim says of its address.
type Claim struct {
	// Pool that the address is from, which may be gone.
	Pool lb.PoolName
	// Holders are the Services that hold it. Those that do not show it do not count.
	Holders []lb.ServiceKey
}

// Service is what counts of a Service of type LoadBalancer.
type Service struct {
	// Labels of the Service.
	Labels map[string]string
	// Local says that its traffic is served only on the nodes that it reaches
	// (externalTrafficPolicy Local).
	Local bool
	// Shown are the addresses in its status.
	Shown []netip.Addr
	// Endpoints that serve it, by the family of their addresses.
	Endpoints map[lb.Family]advertise.Endpoints
}

// Planner knows which routes the node should announce to which peer, and what of
// that changed since it was asked last. What it is given must not be changed
// afterwards. One goroutine at a time may use it.
type Planner struct {
	plan     *plan
	services map[lb.ServiceKey]*service
	claims   map[netip.Addr]*claim
	prefixes map[netip.Prefix]*entry
	dirty    []netip.Prefix            // whose entry is dirty
	disputed map[netip.Prefix]struct{} // whose advertisements disagree
}

type service struct {
	advertise.Service
	shown []netip.Addr
}

type claim struct {
	Claim
	is *outcome // what is announced because of it; nil: nothing
}

// New returns a planner that knows nothing, and therefore announces nothing.
func New() *Planner {
	return &Planner{
		plan:     newPlan(Config{}, nil),
		services: map[lb.ServiceKey]*service{}, claims: map[netip.Addr]*claim{},
		prefixes: map[netip.Prefix]*entry{}, disputed: map[netip.Prefix]struct{}{},
	}
}

// SetConfig says what holds for all addresses from now on, and looks at each of them.
func (p *Planner) SetConfig(c Config) {
	p.plan = newPlan(c, p.plan)
	for prefix, e := range p.prefixes {
		clear(e.members)
		e.members, e.now = e.members[:0], nil
		p.touch(prefix, e)
	}
	for address, c := range p.claims {
		c.is = nil
		p.look(address)
	}
}

// SetService says what a Service is like; nil: it is gone. Only the addresses that
// it shows or showed are looked at.
func (p *Planner) SetService(key lb.ServiceKey, s *Service) {
	var before, after []netip.Addr
	if old := p.services[key]; old != nil {
		before = old.shown
	}
	if s == nil {
		delete(p.services, key)
	} else {
		after = slices.Clone(s.Shown)
		p.services[key] = &service{advertise.Service{Key: key, Labels: s.Labels, Local: s.Local, Endpoints: s.Endpoints}, after}
	}
	for _, address := range before {
		p.look(address)
	}
	for _, address := range after {
		if !slices.Contains(before, address) {
			p.look(address)
		}
	}
}

// SetClaim says who holds an address; nil: nobody. Only that address is looked at.
func (p *Planner) SetClaim(address netip.Addr, c *Claim) {
	known := p.claims[address]
	switch {
	case c != nil && known != nil:
		known.Claim = *c
	case c != nil:
		p.claims[address] = &claim{Claim: *c}
	case known != nil:
		p.become(address, known, nil)
		delete(p.claims, address)
	}
	p.look(address)
}

// look decides anew what is announced because of an address.
func (p *Planner) look(address netip.Addr) {
	if c := p.claims[address]; c != nil {
		p.become(address, c, p.decide(address, c))
	}
}

// decide says what is announced because of an address. The rules are those of
// advertise.Resolve, for one node.
func (p *Planner) decide(address netip.Addr, c *claim) *outcome {
	holders := make([]*advertise.Service, 0, len(c.Holders))
	for _, key := range c.Holders {
		if s := p.services[key]; s != nil && slices.Contains(s.shown, address) {
			holders = append(holders, &s.Service)
		}
	}
	family := lb.FamilyOf(address)
	if !advertise.Served(holders, family) || !advertise.ServedAt(holders, family, p.plan.node) {
		return nil
	}
	return p.plan.outcome(family, p.plan.about(c.Pool, holders))
}

// become replaces what is announced because of an address.
func (p *Planner) become(address netip.Addr, c *claim, is *outcome) {
	if c.is == is {
		return
	}
	for _, part := range c.is.list() {
		p.count(part.of(address), part.group, -1)
	}
	for _, part := range is.list() {
		p.count(part.of(address), part.group, 1)
	}
	c.is = is
}
