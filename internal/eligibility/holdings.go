package eligibility

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Holder is a Service of type LoadBalancer. It may hold addresses.
type Holder struct {
	Service
	// UID of the Service object. A Service that is deleted and created again has another UID.
	UID string
	// Shown are the addresses in its status.
	Shown []netip.Addr
}

// Claim has the fields of an IPAddressClaim that decide about announcements.
type Claim struct {
	// Pool that the address came from. It may have been deleted.
	Pool lb.PoolName
	// Holders are the Services that the claim names.
	Holders []ClaimHolder
	// AnnounceFrom is the node from which an administrator wants the address announced;
	// empty: any.
	AnnounceFrom lb.NodeName
}

// ClaimHolder is a Service that a claim names.
type ClaimHolder struct {
	// Key of the Service.
	Key lb.ServiceKey
	// UID of the Service; empty while the address is only reserved for it.
	UID string
}

// Holds reports whether a Service that a claim names holds the claimed address. uid is the UID of
// the Service, and shows means that its status has the address. The same UID in the claim is enough,
// since other controllers may overwrite the status. Without a UID in the claim, the address is still
// reserved for the Service, which holds the address as soon as its status has it.
func (c ClaimHolder) Holds(uid string, shows bool) bool {
	return shows || (c.UID != "" && c.UID == uid)
}

// Holdings tracks which Services hold which addresses. Callers must not change the values
// that they pass.
type Holdings struct {
	services map[lb.ServiceKey]*Holder
	claims   map[netip.Addr]*Claim
	naming   map[lb.ServiceKey][]netip.Addr // the addresses whose claims name the Service
	admission
}

// NewHoldings returns Holdings without Services and claims.
func NewHoldings() *Holdings {
	return &Holdings{
		services: map[lb.ServiceKey]*Holder{}, claims: map[netip.Addr]*Claim{}, naming: map[lb.ServiceKey][]netip.Addr{},
		admission: newAdmission(),
	}
}

// SetService records a Service; nil: it was deleted. It returns the addresses whose claims name
// the Service: their holders may have changed. The slice is valid until the next call.
func (h *Holdings) SetService(key lb.ServiceKey, s *Holder) []netip.Addr {
	if s == nil {
		delete(h.services, key)
	} else {
		h.services[key] = s
	}
	return h.naming[key]
}

// SetClaim records the claim of an address; nil: the address has no claim.
func (h *Holdings) SetClaim(address netip.Addr, c *Claim) {
	h.check(address, c)
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

// ClaimedAddresses returns all addresses with a claim, in any order.
func (h *Holdings) ClaimedAddresses() iter.Seq[netip.Addr] { return maps.Keys(h.claims) }

// Holders returns the Services that hold an address, in the order of the claim, and the pool that the
// address came from. For a refused address it returns no Service: see RefusedAddresses.
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
