package eligibility

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
	// UID of the Service object; a Service that is deleted and created again has another one.
	UID string
	// Shown are the addresses in its status.
	Shown []netip.Addr
}

// Claim is what an IPAddressClaim says of its address.
type Claim struct {
	// Pool that the address is from, which may be gone.
	Pool lb.PoolName
	// Holders are the Services that the claim names.
	Holders []ClaimHolder
	// AnnounceFrom is the node that an administrator asks for; empty: none.
	AnnounceFrom lb.NodeName
}

// ClaimHolder is a Service that a claim names.
type ClaimHolder struct {
	// Key of the Service.
	Key lb.ServiceKey
	// UID of the Service that has taken the address up; empty while the address is only
	// reserved for it.
	UID string
}

// Holds reports whether a Service that a claim names holds the claimed address. The claim
// decides, and the status does not: another controller may overwrite the status at any
// time. Only where the address is still reserved for the Service, so that the claim has no
// UID, the status decides: an address that changes hands belongs to the new Service once
// that one shows it.
func (c ClaimHolder) Holds(uid string, shows bool) bool {
	return shows || (c.UID != "" && c.UID == uid)
}

// Holdings knows which Services hold which addresses. What it is given must not be
// changed afterwards.
type Holdings struct {
	services map[lb.ServiceKey]*Holder
	claims   map[netip.Addr]*Claim
	naming   map[lb.ServiceKey][]netip.Addr // addresses whose claims name a Service
	admission
}

// NewHoldings returns one that knows nothing.
func NewHoldings() *Holdings {
	return &Holdings{
		services: map[lb.ServiceKey]*Holder{}, claims: map[netip.Addr]*Claim{}, naming: map[lb.ServiceKey][]netip.Addr{},
		admission: newAdmission(),
	}
}

// SetService records a Service; nil: it is gone. It returns the addresses that this may
// matter to: those whose claims name it. They are valid until the next call.
func (h *Holdings) SetService(key lb.ServiceKey, s *Holder) []netip.Addr {
	if s == nil {
		delete(h.services, key)
	} else {
		h.services[key] = s
	}
	return h.naming[key]
}

// SetClaim records the claim of an address; nil: there is none.
func (h *Holdings) SetClaim(address netip.Addr, c *Claim) {
	h.look(address, c)
	if before := h.claims[address]; before != nil {
		for _, holder := range before.Holders {
			rest := slices.DeleteFunc(h.naming[holder.Key], func(a netip.Addr) bool { return a == address })
			if h.naming[holder.Key] = rest; len(rest) == 0 {
				delete(h.naming, holder.Key)
			}
		}
	}
	if c == nil {
		delete(h.claims, address)
		return
	}
	h.claims[address] = c
	for _, holder := range c.Holders {
		h.naming[holder.Key] = append(h.naming[holder.Key], address)
	}
}

// Claimed returns all addresses that are claimed, in any order.
func (h *Holdings) Claimed() iter.Seq[netip.Addr] { return maps.Keys(h.claims) }

// Holders returns the Services that hold an address, in the order of the claim, and the pool that it is from. An
// address that is refused has none: see Refused.
func (h *Holdings) Holders(address netip.Addr) (pool lb.PoolName, holders []*Service) {
	c := h.claims[address]
	if c == nil || !h.admits(address) {
		return "", nil
	}
	holders = make([]*Service, 0, len(c.Holders))
	for _, named := range c.Holders {
		if s := h.services[named.Key]; s != nil && named.Holds(s.UID, slices.Contains(s.Shown, address)) {
			holders = append(holders, &s.Service)
		}
	}
	return c.Pool, holders
}
