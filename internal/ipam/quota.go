package ipam

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// isCounted reports whether a Service of the namespace already holds the address. In that case the quota
// of the namespace contains the address already.
func (a *Allocator) isCounted(address netip.Addr, namespace string) bool {
	for n := range a.namespaces(address) {
		if n == namespace {
			return true
		}
	}
	return false
}

// namesTooMany reports whether a request names more addresses of a family than the pool's MaxPerService
// allows. Callers check this only for addresses that the Service does not hold yet, so that a Service
// keeps its addresses when the limit is lowered.
func (p *pool) namesTooMany(req *Request, f lb.Family) bool {
	return p.MaxPerService > 0 && req.countNamed(f) > p.MaxPerService
}

// hasUsedQuota reports whether the namespace of the requesting Service has as many addresses of a pool
// as the quota allows. The addresses in chosen count. An address that the requesting Service holds does
// not count, since the Service may exchange it, unless another Service of the namespace holds it too.
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
