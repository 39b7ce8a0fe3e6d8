package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// findFormerAddress finds an address that the Service had before lbstack was removed (req.Kept). It returns the
// first address of the preferred family, or else of the next family, that the Service would get by
// naming it. Users who may write the Service can write that list, so findFormerAddress gives no address that a
// request could not get.
func (a *Allocator) findFormerAddress(req *Request, families []lb.Family, chosen []Holding) (Holding, bool) {
	for _, family := range families {
		for _, address := range req.Kept {
			if lb.FamilyOf(address) != family {
				continue
			}
			if p, ok := a.givingPool(address); ok && (req.Pool == "" || p.Name == req.Pool) && a.mayTake(req, address, p, true, chosen) {
				return Holding{Address: address, Pool: p.Name, Service: req.Service}, true
			}
		}
	}
	return Holding{}, false
}

// mayTake reports whether a Service may take an address that it does not hold from the pool that gives
// it, in addition to the addresses in chosen. named means that the Service names the address, or had it
// before a removal of lbstack.
func (a *Allocator) mayTake(req *Request, address netip.Addr, p *pool, named bool, chosen []Holding) bool {
	if p.whyBarred(req, lb.FamilyOf(address), named) != noBar {
		return false
	}
	first := a.firstHolder(address)
	switch {
	case first == nil:
	case first == a.nobody, a.whyNotJoin(address, req.Service, req.Terms, p) != "":
		return false
	case a.isCounted(address, req.Service.Namespace):
		return true
	}
	return !a.hasUsedQuota(p, req, chosen)
}

// CanGet reports whether the Service could get an address for its request now, alone or together with
// other Services.
func (a *Allocator) CanGet(request Request, address netip.Addr) bool {
	req := &request
	p, ok := a.givingPool(address)
	family := lb.FamilyOf(address)
	if !ok || !slices.Contains(req.Families, family) || (req.Pool != "" && p.Name != req.Pool) {
		return false
	}
	named := slices.Contains(req.Addresses, address)
	if !named && (req.namesFamily(family) || (len(req.Addresses) > 0 && !req.wantsBoth())) {
		return false
	}
	if named && p.namesTooMany(req, family) {
		return false
	}
	return a.mayTake(req, address, p, named || slices.Contains(req.Kept, address), nil)
}
