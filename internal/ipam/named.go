package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

func (a *Allocator) chooseNamed(req *Request, want netip.Addr, held, chosen []Holding) (Holding, *Refusal) {
	for _, h := range held {
		if h.Address == want && (req.Pool == "" || h.Pool == req.Pool) {
			return h, nil
		}
	}
	p, refusal := a.poolForNamed(req, want)
	if refusal != nil {
		return Holding{}, refusal
	}
	if first := a.firstHolder(want); first != nil {
		if first == a.nobody {
			return Holding{}, newRefusal(ReasonAddressInUse, "the Service asks for %s, which is reserved by the IPAddressClaim of that address: ask for another address", want)
		}
		if why := a.whyNotJoin(want, req.Service, req.Terms, p); why != "" {
			return Holding{}, a.refuseNotShared(req, want, first, why)
		}
		if a.isCounted(want, req.Service.Namespace) {
			return Holding{Address: want, Pool: p.Name, Service: req.Service}, nil
		}
	}
	if a.hasUsedQuota(p, req, chosen) {
		return Holding{}, newRefusal(ReasonQuotaExceeded, "the Service asks for %s, but the pool %s: %s", want, p.describeBar(barQuota, req, 0), barRemedies[barQuota])
	}
	return Holding{Address: want, Pool: p.Name, Service: req.Service}, nil
}

// poolForNamed returns the pool that can give an address that the Service names. It does not check
// whether the address is free.
func (a *Allocator) poolForNamed(req *Request, want netip.Addr) (*pool, *Refusal) {
	family := lb.FamilyOf(want)
	if !slices.Contains(req.Families, family) {
		return nil, newRefusal(ReasonInvalidRequest, "the Service asks for the %s address %s, but its spec.ipFamilies is %s: change the address or spec.ipFamilies", family, want, familyNames(req.Families))
	}
	if req.Pool != "" {
		if named, ok := a.pools[req.Pool]; !ok || !named.exists {
			return nil, a.refuseUnknownPool(req.Pool)
		}
	}
	p, ok := a.givingPool(want)
	switch {
	case !ok:
		return nil, a.refuseNotGiven(req, want)
	case req.Pool != "" && p.Name != req.Pool:
		return nil, newRefusal(ReasonAddressNotInPool, "the Service asks for %s from the pool %q, but the address belongs to the pool %q: name that pool, or another address", want, req.Pool, p.Name)
	}
	if p.namesTooMany(req, family) {
		return nil, newRefusal(ReasonTooManyAddresses, "the Service asks for %d %s addresses, but %s belongs to the pool %q, whose spec.maxAddressesPerService is %d: ask for fewer addresses, or raise that value",
			req.countNamed(family), family, want, p.Name, p.MaxPerService)
	}
	if b := p.whyBarred(req, family, true); b != noBar {
		return nil, newRefusal(barReasons[b], "the Service asks for %s, but the pool %s: %s", want, p.describeBar(b, req, family), barRemedies[b])
	}
	return p, nil
}

// refuseNotGiven refuses an address that no pool gives. The reason is that a pool lists the address but
// does not give it, or that no pool lists it.
func (a *Allocator) refuseNotGiven(req *Request, want netip.Addr) *Refusal {
	for _, p := range a.order {
		if !slices.ContainsFunc(p.Listed, func(r lb.Range) bool { return r.Contains(want) }) {
			continue
		}
		if p.Unusable != "" {
			return newRefusal(ReasonPoolUnusable, "the Service asks for %s, but the pool %s: %s", want, p.describeBar(barUnusable, req, 0), barRemedies[barUnusable])
		}
		if f, foreign := p.Foreign[want]; foreign {
			return newRefusal(ReasonAddressInUse, "the Service asks for %s, which %s uses: %s, or ask for another address", want, f.By, f.Remedy)
		}
		why, _ := a.whyOutside(p, want, req)
		return newRefusal(ReasonAddressNotInPool, "the Service asks for %s, which the pool %q does not give: %s; ask for another address", want, p.Name, why)
	}
	return newRefusal(ReasonAddressNotInPool, "the Service asks for %s, which is in no pool: add the address to a pool, or ask for another address (kubectl get ipaddresspools -o wide lists the pools)", want)
}

// refuseNotShared refuses an address that other Services hold.
func (a *Allocator) refuseNotShared(req *Request, want netip.Addr, holder *account, why string) *Refusal {
	if req.Terms.Key == "" {
		return newRefusal(ReasonAddressInUse, "the Service asks for %s, which belongs to %s: ask for another address, or free this one", want, holder.key.DescribeTo(req.Service.Namespace))
	}
	return newRefusal(ReasonSharingConflict, "the Service asks for %s, but %s; remove the cause, or ask for another address", want, why)
}
