package allocations

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// ClaimContent is the content of an IPAddressClaim.
type ClaimContent struct {
	Address netip.Addr
	Pool    lb.PoolName
	// Holders are in the order of the claim. If there are none, the address is reserved.
	Holders []Holder
}

// Holder is a Service that a claim names.
type Holder struct {
	Service lb.ServiceKey
	// Terms are those on which the Service shares the address.
	Terms lb.Sharing
	// Reserved means that the address is reserved for the Service, which does not use it yet.
	Reserved bool
}

// Names reports whether the claim names a Service.
func (c ClaimContent) Names(service lb.ServiceKey) bool {
	return slices.ContainsFunc(c.Holders, func(h Holder) bool { return h.Service == service })
}

// recordHolders adds the holders of a claim to the view, and returns those that it added. It records a holder
// that cannot have the address as refused: the reconcile of that Service removes the Service from the claim.
func (l *View) recordHolders(c ClaimContent) (learned []lb.ServiceKey) {
	if len(c.Holders) == 0 {
		l.alloc.Reserve(c.Address, c.Pool)
		return nil
	}
	l.alloc.Unreserve(c.Address)
	for _, h := range c.Holders {
		if l.holds(c.Address, h.Service) {
			l.clearRefusal(c.Address, h.Service)
			continue
		}
		if !l.alloc.Hold(ipam.Holding{Address: c.Address, Pool: c.Pool, Service: h.Service}, h.Terms) {
			if !slices.Contains(l.refused[h.Service], c.Address) {
				l.refused[h.Service] = append(l.refused[h.Service], c.Address)
			}
			continue
		}
		l.clearRefusal(c.Address, h.Service)
		learned = append(learned, h.Service)
		if h.Reserved {
			l.alloc.ReserveFor(c.Address, h.Service)
		}
	}
	return learned
}

// RecordClaim updates the view with a new or changed claim. before is the claim before the change; for a new
// claim it is the zero value. A Service that the claim no longer names loses the address. A Service that was
// added to an existing claim does not use the address yet: the view reserves the address for it.
func (l *View) RecordClaim(before, now ClaimContent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range before.Holders {
		if now.Names(h.Service) {
			continue
		}
		if _, confirmed := l.confirmed[assignment{before.Address, h.Service}]; confirmed {
			l.leaving[assignment{before.Address, h.Service}] = struct{}{} // another writer removed the Service from the claim
		}
		l.alloc.Release(before.Address, h.Service)
		l.forgetClaim(before.Address, h.Service)
	}
	for i, h := range now.Holders {
		if before.Address.IsValid() && !before.Names(h.Service) {
			now.Holders[i].Reserved = true
		}
	}
	l.recordHolders(now)
	for _, h := range before.Holders {
		if !now.Names(h.Service) {
			l.serveFreed(before.Address, h.Service)
		}
	}
	if before.Address.IsValid() && len(before.Holders) == 0 {
		l.serveFreed(before.Address, lb.ServiceKey{})
	}
}

// RecordClaimDeletion records that a claim is no longer in the cluster. An address that the claim only
// reserved becomes free. A Service that uses the address keeps it if the claim was confirmed, and its
// reconcile creates the claim again.
func (l *View) RecordClaimDeletion(c ClaimContent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(c.Holders) == 0 {
		l.alloc.Unreserve(c.Address)
	}
	for _, h := range c.Holders {
		_, confirmed := l.confirmed[assignment{c.Address, h.Service}]
		if !confirmed || l.alloc.IsReservedFor(ipam.Holding{Address: c.Address, Service: h.Service}) {
			l.alloc.Release(c.Address, h.Service)
		}
		l.forgetClaim(c.Address, h.Service)
		l.serveFreed(c.Address, h.Service)
	}
	if len(c.Holders) == 0 {
		l.serveFreed(c.Address, lb.ServiceKey{})
	}
}

// AcceptClaim updates the view with a claim that was read from the API server. Where the view and the claim
// differ, the claim prevails. The parameter service is the Service that should hold the address, alone or
// with others. AcceptClaim returns false if the Service cannot share the address with the holders in the
// claim, or if another writer removed the Service from the claim. The caller must then decide again which
// addresses the Service gets.
func (l *View) AcceptClaim(c ClaimContent, service lb.ServiceKey) (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, confirmed := l.confirmed[assignment{c.Address, service}]
	terms := l.alloc.SharingTerms(c.Address, service)
	pool := c.Pool
	if !c.Names(service) {
		l.alloc.Release(c.Address, service)
		l.forgetClaim(c.Address, service)
		l.leaving[assignment{c.Address, service}] = struct{}{}
	}
	for _, other := range l.recordHolders(c) {
		if other != service {
			l.wake(other)
		}
	}
	if c.Names(service) {
		return l.holds(c.Address, service)
	}
	// If the claim was confirmed for the Service, another writer has removed the Service. Otherwise the
	// Service is a new holder.
	return !confirmed && l.alloc.Hold(ipam.Holding{Address: c.Address, Pool: pool, Service: service}, terms)
}

// RefusedAddresses returns the addresses whose claims name a Service that cannot have them.
func (l *View) RefusedAddresses(service lb.ServiceKey) []netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.refused[service])
}

// RecordReadStatus records the addresses in the status of a Service. The status may have an address that the
// Service does not hold. Another Service that gets such an address must wait until the status no longer has
// it.
func (l *View) RecordReadStatus(service lb.ServiceKey, shows []netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteShown(service, shows)
}

func (l *View) noteShown(service lb.ServiceKey, shows []netip.Addr) {
	for _, address := range shows {
		if !l.holds(address, service) {
			l.leaving[assignment{address, service}] = struct{}{}
		}
	}
}

// ShowsLostAddress reports whether the status of a Service has, or may have, an address that the
// Service does not hold.
func (l *View) ShowsLostAddress(service lb.ServiceKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := range l.leaving {
		if at.service == service {
			return true
		}
	}
	return false
}

// RecordWrittenStatus records the addresses that the status of a Service has now. It wakes the holders of the
// addresses that the status no longer has.
func (l *View) RecordWrittenStatus(service lb.ServiceKey, shows []netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := range l.leaving {
		if at.service != service || slices.Contains(shows, at.address) {
			continue
		}
		delete(l.leaving, at)
		holders, _ := l.alloc.Holders(at.address)
		for _, h := range holders {
			l.wake(h.Service)
		}
	}
}

// WakePreviousService returns another Service that does not hold the address, but may still have it in its
// status, and wakes that Service. Until that status is written, no other Service may have the address in its
// own status.
func (l *View) WakePreviousService(address netip.Addr, service lb.ServiceKey) (other lb.ServiceKey, yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := range l.leaving {
		if at.address != address || at.service == service {
			continue
		}
		if l.holds(address, at.service) {
			delete(l.leaving, at) // the other Service holds the address again, and shares it
			continue
		}
		if !yes || at.service.Compare(other) < 0 {
			other, yes = at.service, true
		}
	}
	if yes {
		l.wake(other)
	}
	return other, yes
}

func (l *View) holds(address netip.Addr, service lb.ServiceKey) bool {
	holders, _ := l.alloc.Holders(address)
	return slices.ContainsFunc(holders, func(h ipam.Holding) bool { return h.Service == service })
}
