package advertise

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Holder is a Service of type LoadBalancer, which may hold addresses.
type Holder struct {
	Service
	// Shown are the addresses in its status.
	Shown []netip.Addr
}

// Claim is what an IPAddressClaim says of its address.
type Claim struct {
	// Pool that the address is from, which may be gone.
	Pool lb.PoolName
	// Holders are the Services that hold it. Those that do not show it do not count.
	Holders []lb.ServiceKey
}

// Holdings knows who holds which addresses, and which of these Services show them.
// What it is given must not be changed afterwards.
type Holdings struct {
	services map[lb.ServiceKey]*Holder
	claims   map[netip.Addr]*Claim
	admission
}

// NewHoldings returns one that knows nothing.
func NewHoldings() *Holdings {
	return &Holdings{services: map[lb.ServiceKey]*Holder{}, claims: map[netip.Addr]*Claim{}, admission: newAdmission()}
}

// SetService says what a Service is like; nil: it is gone. It returns the addresses
// that this may matter to: those which it shows or showed.
func (h *Holdings) SetService(key lb.ServiceKey, s *Holder) []netip.Addr {
	var touched []netip.Addr
	if before := h.services[key]; before != nil {
		touched = slices.Clone(before.Shown)
	}
	if s == nil {
		delete(h.services, key)
		return touched
	}
	h.services[key] = s
	for _, address := range s.Shown {
		if !slices.Contains(touched, address) {
			touched = append(touched, address)
		}
	}
	return touched
}

// SetClaim says who holds an address; nil: nobody.
func (h *Holdings) SetClaim(address netip.Addr, c *Claim) {
	h.look(address, c)
	if c == nil {
		delete(h.claims, address)
	} else {
		h.claims[address] = c
	}
}

// Claimed returns all addresses that are claimed, in any order.
func (h *Holdings) Claimed() iter.Seq[netip.Addr] { return maps.Keys(h.claims) }

// Showing returns the Services that hold an address and show it, and the pool that it
// is from. An address that is refused has none: see Refused.
func (h *Holdings) Showing(address netip.Addr) (pool lb.PoolName, holders []*Service) {
	c := h.claims[address]
	if c == nil || !h.admits(address) {
		return "", nil
	}
	holders = make([]*Service, 0, len(c.Holders))
	for _, key := range c.Holders {
		if s := h.services[key]; s != nil && slices.Contains(s.Shown, address) {
			holders = append(holders, &s.Service)
		}
	}
	return c.Pool, holders
}
