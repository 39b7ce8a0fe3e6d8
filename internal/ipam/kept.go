package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// findFormerAddress finds an address that the Service had before lbstack was removed. Such addresses are
// in req.Kept. It tries the families in the given order, and returns the first address that the Service
// could also get by naming it. Other addresses are not given, because everyone who may write the Service
// can edit the annotation with these addresses.
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
// before lbstack was removed.
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

// CanGet reports whether the Service could get an address for its request now, either as its only holder
// or by sharing it.
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
