package ipam

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// AdoptShown adopts addresses that are in the status of a Service (req.Shows): it records that the
// Service holds them. It considers an address if the Service asks for it, or if the Service uses no
// other address of the same family. It adopts the address if it is reserved for the Service. It also
// adopts it if AdoptablePool allows the address and the Service can share it with the Services that hold
// it. AdoptShown returns how many addresses it adopted.
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
