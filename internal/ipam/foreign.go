package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// ForeignHost describes the foreign host that uses an address of a pool: a host outside of
// the cluster, or the kernel of a node.
type ForeignHost struct {
	// By names the host, as part of a sentence.
	By string
	// Remedy is what to do about the host, as part of a sentence.
	Remedy string
	// InUse means that speakers announced the address before the first message of the host arrived,
	// and still do. The Service that has the address keeps it.
	InUse bool
	// ReportedOnly means that the pool gives the address although the host uses it, because the pool has
	// lost too many addresses to foreign hosts: see Losses.
	ReportedOnly bool
}

// shouldFlee reports whether a Service that holds the address should exchange it for another one. It
// should if speakers do not announce the address because of the host, unless the Service names the
// address. A Service also keeps an address that another load balancer gave it. The host may be a part of
// that load balancer, and clients may still reach the Service through it.
func (f ForeignHost) shouldFlee(address netip.Addr, req *Request) bool {
	given := req.GivenByOther && slices.Contains(req.Shows, address)
	return !f.InUse && !f.ReportedOnly && !given && !slices.Contains(req.Addresses, address)
}

// isForeign reports whether an address is in p.Foreign.
func (p *pool) isForeign(address netip.Addr) bool {
	_, foreign := p.Foreign[address]
	return foreign
}

// ForeignHostOf returns the foreign host that uses an address which a pool lists, and the
// name of that pool.
func (a *Allocator) ForeignHostOf(address netip.Addr) (ForeignHost, lb.PoolName, bool) {
	for _, p := range a.order {
		if f, ok := p.Foreign[address]; ok {
			return f, p.Name, true
		}
	}
	return ForeignHost{}, "", false
}

// stayingAddresses returns the addresses in fleeing that the Service keeps because it got no other
// address in their place. If the request was refused, these are all of them. If only one family is
// missing, these are the addresses of that family.
func stayingAddresses(fleeing []OutsideHolding, chosen []Holding, missing, refusal *Refusal) (staying []Holding) {
	for _, f := range fleeing {
		replaced := slices.ContainsFunc(chosen, func(h Holding) bool { return lb.FamilyOf(h.Address) == lb.FamilyOf(f.Address) })
		if refusal != nil || (missing != nil && !replaced) {
			staying = append(staying, f.Holding)
		}
	}
	return staying
}
