package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// AdoptShown records that a Service holds addresses that are already in its status (req.Shows). It
// considers addresses that the Service asks for, and addresses of a family of which the Service holds
// no address. It adopts such an address if the address is reserved for the Service, or if a pool may
// give it to the Service and no other Service prevents that. AdoptShown returns how many addresses it
// adopted.
func (a *Allocator) AdoptShown(req Request) (adopted int) {
	var has []netip.Addr
	for _, h := range a.HeldBy(req.Service) {
		if !a.IsReservedFor(h) {
			has = append(has, h.Address)
		}
	}
	for _, address := range req.Shows {
		sameFamily := func(other netip.Addr) bool { return lb.FamilyOf(other) == lb.FamilyOf(address) }
		wanted := slices.Contains(req.Addresses, address) || !slices.ContainsFunc(has, sameFamily)
		if wanted && !slices.Contains(has, address) && a.adopt(address, req) {
			adopted++
		}
	}
	return adopted
}

func (a *Allocator) adopt(address netip.Addr, req Request) bool {
	h := Holding{Address: address, Service: req.Service}
	if a.IsReservedFor(h) {
		a.MarkInUse(address, req.Service)
		return true
	}
	var ok bool
	h.Pool, ok = a.AdoptablePool(req, address)
	return ok && a.Hold(h, req.Terms)
}
