package allocations

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// Claimed is the content of an IPAddressClaim.
type Claimed struct {
	Address netip.Addr
	Pool    lb.PoolName
	// Holders, who came first in front; none: the address is reserved.
	Holders []Holder
}

// Holder is a Service that a claim names.
type Holder struct {
	Service lb.ServiceKey
	// Terms on which it shares the address.
	Terms lb.Sharing
	// Reserved means that the address is reserved for the Service, which has not taken it
	// up.
	Reserved bool
}

// Names reports whether the claim names a Service.
func (c Claimed) Names(service lb.ServiceKey) bool {
	return slices.ContainsFunc(c.Holders, func(h Holder) bool { return h.Service == service })
}

// record adds what a claim has and the view has not, and returns
// the Services that have the address because of that. A holder that cannot have it
// is refused: it is for its own Service to let go.
func (l *View) record(c Claimed) (learned []lb.ServiceKey) {
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

// Observe takes over a claim as it is, and as it was before if it was
// changed; before is the zero value otherwise. A Service that was named and is no
// longer has lost the address; one that is new there is given it.
func (l *View) Observe(before, now Claimed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range before.Holders {
		if now.Names(h.Service) {
			continue
		}
		if _, confirmed := l.confirmed[assignment{before.Address, h.Service}]; confirmed {
			l.leaving[assignment{before.Address, h.Service}] = struct{}{} // it was taken out by somebody else
		}
		l.alloc.Release(before.Address, h.Service)
		l.giveUp(before.Address, h.Service)
	}
	for i, h := range now.Holders {
		if before.Address.IsValid() && !before.Names(h.Service) {
			now.Holders[i].Reserved = true
		}
	}
	l.record(now)
	for _, h := range before.Holders {
		if !now.Names(h.Service) {
			l.freed(before.Address, h.Service)
		}
	}
	if before.Address.IsValid() && len(before.Holders) == 0 {
		l.freed(before.Address, lb.ServiceKey{})
	}
}

// Deleted notes that a claim is no longer in the cluster. A reservation has ended; a
// Service whose claim this process knew to be there keeps the address, and writes
// the claim again.
func (l *View) Deleted(c Claimed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(c.Holders) == 0 {
		l.alloc.Unreserve(c.Address)
	}
	for _, h := range c.Holders {
		_, confirmed := l.confirmed[assignment{c.Address, h.Service}]
		if !confirmed || l.alloc.ReservedFor(ipam.Holding{Address: c.Address, Service: h.Service}) {
			l.alloc.Release(c.Address, h.Service)
		}
		l.giveUp(c.Address, h.Service)
		l.freed(c.Address, h.Service)
	}
	if len(c.Holders) == 0 {
		l.freed(c.Address, lb.ServiceKey{})
	}
}

// Agree compares the view with a claim that was read from the API server, about
// a Service that wants the address for itself or together with others. The claim
// is right: if it leaves no place for the Service, that has lost the address, and
// the decision must be made again.
func (l *View) Agree(c Claimed, service lb.ServiceKey) (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, confirmed := l.confirmed[assignment{c.Address, service}]
	terms := l.alloc.Terms(c.Address, service)
	pool := c.Pool
	if !c.Names(service) {
		l.alloc.Release(c.Address, service)
		l.giveUp(c.Address, service)
		l.leaving[assignment{c.Address, service}] = struct{}{}
	}
	for _, other := range l.record(c) {
		if other != service {
			l.wake(other)
		}
	}
	if c.Names(service) {
		return l.holds(c.Address, service)
	}
	// It was there, and somebody took it out; or it never was, and joins.
	return !confirmed && l.alloc.Hold(ipam.Holding{Address: c.Address, Pool: pool, Service: service}, terms)
}

// Refused returns the addresses whose claims name a Service that cannot have them.
func (l *View) Refused(service lb.ServiceKey) []netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.refused[service])
}

// Shows notes what a Service shows: who gets one of those addresses, if the Service
// does not hold it, must wait until it shows it no more.
func (l *View) Shows(service lb.ServiceKey, shows []netip.Addr) {
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

// Leaves reports whether a Service shows, or may show, what it does not hold.
func (l *View) Leaves(service lb.ServiceKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := range l.leaving {
		if at.service == service {
			return true
		}
	}
	return false
}

// Left notes what a Service shows now, and wakes who waited for it to let go of the
// rest.
func (l *View) Left(service lb.ServiceKey, shows []netip.Addr) {
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

// Leaving returns the other Service that may still show an address, which two must
// not do at once, and wakes it.
func (l *View) Leaving(address netip.Addr, service lb.ServiceKey) (other lb.ServiceKey, yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := range l.leaving {
		if at.address != address || at.service == service {
			continue
		}
		if l.holds(address, at.service) {
			delete(l.leaving, at) // it has it again, on terms that all share
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
