package ipam

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Assign gives the Service addresses that meet its request, and records the new holdings. It prefers
// addresses that the Service holds already. If it cannot meet the whole request, it refuses the request;
// but with PreferDualStack, an address of one family is enough. The Service still holds the addresses in
// Decision.Drop. The caller releases them after it has written the claims of the addresses in
// Decision.Keep.
//
// If the Service holds more addresses than it needs, it keeps the addresses that come first in the order
// of sortByPreference.
//
// Assign looks for a new address in these places, in this order:
//
//   - an address that the Service had before lbstack was removed (Request.Kept), if the Service could
//     also get it by naming it;
//   - an address that the Service can share with other Services;
//   - the lowest free address of the first pool that has a free address.
//
// Assign tries the pools in the order of these criteria:
//
//   - pools with a Selection before pools without one;
//   - pools with a lower priority before pools with a higher one, and pools with priority 0 last;
//   - if the Service wants two families, pools that give both before other pools;
//   - the name of the pool.
//
// Speakers do not announce an address that a foreign host uses. The Service drops such an address as
// soon as it gets another address in its place. See ForeignHost.shouldFlee for the exceptions.
func (a *Allocator) Assign(request Request) Decision {
	req := &request
	held, fleeing, lost := a.classify(req)
	d := Decision{Lost: lost}
	for _, l := range lost {
		d.Drop = append(d.Drop, l.Holding)
	}
	chosen, missing, refusal := a.choose(req, held)
	staying := stayingAddresses(fleeing, chosen, missing, refusal)
	if refusal != nil {
		d.Refusal = refusal
		d.Keep = sortByAddress(slices.Concat(slices.DeleteFunc(held, a.IsReservedFor), staying))
		return d
	}
	for _, h := range chosen {
		if slices.Contains(held, h) {
			a.MarkInUse(h.Address, h.Service)
			delete(a.dropped, assignment{h.Address, h.Service})
		} else {
			a.hold(h, req.Terms)
		}
	}
	for _, h := range held {
		if !slices.Contains(chosen, h) && !a.IsReservedFor(h) {
			d.Drop = append(d.Drop, h)
			a.dropped[assignment{h.Address, h.Service}] = struct{}{}
		}
	}
	for _, f := range fleeing {
		if !slices.Contains(staying, f.Holding) {
			d.Drop, d.Fled = append(d.Drop, f.Holding), append(d.Fled, f)
			a.dropped[assignment{f.Address, f.Service}] = struct{}{}
		}
	}
	d.Keep, d.Missing = sortByAddress(append(chosen, staying...)), missing
	return d
}

// sortByAddress sorts holdings by their addresses.
func sortByAddress(list []Holding) []Holding {
	slices.SortFunc(list, func(x, y Holding) int { return x.Address.Compare(y.Address) })
	return list
}

// DecideInvalid returns the decision for an invalid request. The Service gets no new address, and keeps
// the addresses that its sharing terms and the pools allow it to keep.
func (a *Allocator) DecideInvalid(request Request, refusal *Refusal) Decision {
	held, fleeing, lost := a.classify(&request)
	staying := stayingAddresses(fleeing, nil, nil, refusal)
	d := Decision{Keep: sortByAddress(slices.Concat(slices.DeleteFunc(held, a.IsReservedFor), staying)), Lost: lost, Refusal: refusal}
	for _, l := range lost {
		d.Drop = append(d.Drop, l.Holding)
	}
	return d
}

// classify sorts the addresses of the Service into three lists. The Service may keep the addresses in
// held, which are in the order of sortByPreference. It may also keep the addresses in fleeing, but
// should exchange them, because foreign hosts use them. It must not keep the addresses in lost. An
// address that the Service does not use yet, because it is only reserved for the Service, can be in none
// of the lists. This is so if the Service would have to exchange the address, or if the pool would take
// it away. classify records the sharing terms of the request for the addresses in held and in fleeing.
func (a *Allocator) classify(req *Request) (held []Holding, fleeing, lost []OutsideHolding) {
	c := a.accounts.get(req.Service)
	if c == nil {
		return nil, nil, nil
	}
	for _, h := range a.HeldBy(req.Service) {
		p, at := a.sourcePool(h.Address), assignment{h.Address, h.Service}
		if why := a.whyNotStay(h.Address, h.Service, req.Terms); why != "" {
			lost = append(lost, OutsideHolding{h, "the Service " + why})
			continue
		}
		why, ofNode := a.whyOutside(p, h.Address, req)
		evict := p.Evict && !ofNode
		switch {
		case why != "" && evict && a.IsReservedFor(h):
			continue // the address is only reserved, and the pool would take it away at once
		case why != "" && evict:
			lost = append(lost, OutsideHolding{h, why})
			continue
		case why != "" && !a.IsReservedFor(h):
			a.outside[at] = outsideReason{why: why, ofService: p.gives(h.Address)}
		default:
			delete(a.outside, at)
		}
		switch f, _, foreign := a.ForeignHostOf(h.Address); {
		case !foreign || !f.shouldFlee(h.Address, req):
			held = append(held, h)
		case !a.IsReservedFor(h): // a Service does not start to use a reserved address that it should exchange
			fleeing = append(fleeing, OutsideHolding{h, f.By + " uses the address"})
		}
	}
	for _, h := range held { // addresses in lost keep their terms until they are released
		a.setTerms(h.Address, c, req.Terms)
	}
	for _, f := range fleeing {
		a.setTerms(f.Address, c, req.Terms)
	}
	a.sortByPreference(held, req.Shows)
	return held, fleeing, lost
}

// whyOutside returns why a pool no longer gives an address to the Service that holds it, as part of a
// sentence. The text is empty if the pool still gives the address, or if the pool is deleted or
// unusable. ofNode means that the only reason is a report of a node, for example that the address is its
// own. No Service loses an address because of such a report.
func (a *Allocator) whyOutside(p *pool, address netip.Addr, req *Request) (why string, ofNode bool) {
	if !p.exists || p.Unusable != "" {
		return "", false
	}
	if why := p.whyOutside(address, req); why != "" {
		return why, false
	}
	if scope := a.whyOutOfScope(address, req.Service, p); scope != "" {
		return "the Service " + scope, false
	}
	if p.isOfNodes(address) {
		return p.conflictPhrase(address), true
	}
	return "", false
}

// whyOutside returns a reason only if it depends neither on reports of nodes nor on other Services.
func (p *pool) whyOutside(address netip.Addr, req *Request) string {
	has := func(ranges []lb.Range) bool {
		return slices.ContainsFunc(ranges, func(r lb.Range) bool { return r.Contains(address) })
	}
	switch {
	case !has(p.Listed):
		return "the address is no longer in spec.addresses"
	case has(p.Excluded):
		return "the address is in spec.excludeAddresses"
	case p.AvoidBuggy && isMistakable(address):
		return "spec.avoidBuggyIPs excludes the address"
	case !p.gives(address) && !p.isForeign(address) && !p.isOfNodes(address):
		return p.conflictPhrase(address)
	case !p.Selection.allows(req):
		return "spec.serviceAllocation no longer selects the Service"
	}
	return ""
}

// choose finds the addresses that meet the request. It does not record that the Service holds them.
// missing is why a Service with PreferDualStack gets no address of one of the families. refusal is why
// the whole request fails.
func (a *Allocator) choose(req *Request, held []Holding) (chosen []Holding, missing, refusal *Refusal) {
	chosen = make([]Holding, 0, max(len(req.Addresses), len(req.Families)))
	for _, want := range req.Addresses {
		h, refusal := a.chooseNamed(req, want, held, chosen)
		if refusal != nil {
			return nil, nil, refusal
		}
		chosen = append(chosen, h)
	}
	for _, families := range req.otherNeeds() {
		if len(families) == 0 {
			continue
		}
		h, why := a.chooseAny(req, families, held, chosen)
		switch {
		case why == nil:
			chosen = append(chosen, h)
		case req.Policy != PreferDualStack:
			return nil, nil, why
		case missing == nil:
			missing = why
		}
	}
	if len(chosen) == 0 {
		return nil, nil, missing
	}
	return chosen, missing, nil
}

func (a *Allocator) chooseAny(req *Request, families []lb.Family, held, chosen []Holding) (Holding, *Refusal) {
	for _, h := range held {
		if slices.Contains(families, lb.FamilyOf(h.Address)) && (req.Pool == "" || h.Pool == req.Pool) {
			return h, nil
		}
	}
	candidates, refusal := a.candidates(req)
	if refusal != nil {
		return Holding{}, refusal
	}
	if h, found := a.findFormerAddress(req, families, chosen); found {
		return h, nil
	}
	crowded := false
	for _, family := range families {
		h, found, more := a.findShared(req, family, candidates, chosen)
		if found {
			return h, nil
		}
		crowded = crowded || more
	}
	for _, family := range families {
		for _, p := range candidates {
			if p.whyBarred(req, family, false) != noBar || a.hasUsedQuota(p, req, chosen) {
				continue
			}
			if address, ok := p.slots[familyIndex(family)].lowest(a.far); ok {
				return Holding{Address: address, Pool: p.Name, Service: req.Service}, nil
			}
		}
	}
	refusal = a.explainRefusal(req, families, candidates, chosen)
	if crowded {
		refusal.Message += fmt.Sprintf("; other Services with the same value of the annotation lbstack.io/allow-shared-ip have addresses, but the Service can share none of the %d addresses that were checked", maxComparedAddresses)
	}
	return Holding{}, refusal
}

// candidates returns the pools to try for a new address, in the order in which to try them.
func (a *Allocator) candidates(req *Request) ([]*pool, *Refusal) {
	switch {
	case req.Pool != "":
		p, ok := a.pools[req.Pool]
		if !ok || !p.exists {
			return nil, a.refuseUnknownPool(req.Pool)
		}
		return []*pool{p}, nil
	case len(a.order) == 0:
		return nil, newRefusal(ReasonNoPool, "there is no pool of addresses: add one to spec.ipAddressPools of the LoadBalancerStack")
	case req.wantsBoth():
		return a.both, nil
	}
	return a.order, nil
}
