package ipam

import (
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// counted reports whether a namespace has the address already, so that it counts
// once more for nobody.
func (a *Allocator) counted(address netip.Addr, namespace string) bool {
	for n := range a.namespaces(address) {
		if n == namespace {
			return true
		}
	}
	return false
}

// overMax reports whether a request names more addresses of a family than the pool gives
// one Service. What a Service has it keeps: this is asked of new addresses only.
func (p *pool) overMax(req *Request, f lb.Family) bool {
	return p.MaxPerService > 0 && req.count(f) > p.MaxPerService
}

// overQuota reports whether a namespace has all that it can have from a pool. What
// the Service itself has does not count, but for what was chosen.
func (a *Allocator) overQuota(p *pool, req *Request, chosen []Holding) bool {
	if p.MaxPerNamespace == 0 {
		return false
	}
	has := p.byNamespace[req.Service.Namespace]
	if c := a.accounts.get(req.Service); c != nil {
		for address := range c.addresses() {
			if a.from(address) == p && !a.hasOther(address, req.Service) {
				has--
			}
		}
	}
	for _, h := range chosen {
		if h.Pool == p.Name && !a.hasOther(h.Address, req.Service) {
			has++
		}
	}
	return has >= p.MaxPerNamespace
}
