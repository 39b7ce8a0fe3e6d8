package ipam

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// isCounted reports whether a Service of the namespace already holds the address, so that the
// address counts no second time in the quota.
func (a *Allocator) isCounted(address netip.Addr, namespace string) bool {
	for n := range a.namespaces(address) {
		if n == namespace {
			return true
		}
	}
	return false
}

// namesTooMany reports whether a request names more addresses of a family than the pool gives to one
// Service. Callers check only new addresses, so that a Service keeps its addresses.
func (p *pool) namesTooMany(req *Request, f lb.Family) bool {
	return p.MaxPerService > 0 && req.countNamed(f) > p.MaxPerService
}

// hasUsedQuota reports whether the namespace of the requesting Service has as many addresses of a pool as
// the quota allows. An address that only the requesting Service has in the namespace does not count,
// since the Service may exchange it. The addresses in chosen count.
func (a *Allocator) hasUsedQuota(p *pool, req *Request, chosen []Holding) bool {
	if p.MaxPerNamespace == 0 {
		return false
	}
	has := p.byNamespace[req.Service.Namespace]
	if c := a.accounts.get(req.Service); c != nil {
		for address := range c.addresses() {
			if a.sourcePool(address) == p && !a.hasOtherInNamespace(address, req.Service) {
				has--
			}
		}
	}
	for _, h := range chosen {
		if h.Pool == p.Name && !a.hasOtherInNamespace(h.Address, req.Service) {
			has++
		}
	}
	return has >= p.MaxPerNamespace
}
