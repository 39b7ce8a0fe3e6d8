package ipam

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// holders yields the accounts that hold an address, in the order in which they got it. An address that
// Reserve has reserved has no holders.
func (a *Allocator) holders(address netip.Addr) iter.Seq[*account] {
	return func(yield func(*account) bool) {
		first := a.firstHolder(address)
		if first == nil || first == a.nobody || !yield(first) {
			return
		}
		for _, c := range a.shared[address] {
			if !yield(c) {
				return
			}
		}
	}
}

func (a *Allocator) holds(address netip.Addr, service lb.ServiceKey) bool {
	for c := range a.holders(address) {
		if c.key == service {
			return true
		}
	}
	return false
}

// namespaces yields the namespaces of the holders of an address, each once.
func (a *Allocator) namespaces(address netip.Addr) iter.Seq[string] {
	return func(yield func(string) bool) {
		var seen []string
		for c := range a.holders(address) {
			if slices.Contains(seen, c.key.Namespace) {
				continue
			}
			seen = append(seen, c.key.Namespace)
			if !yield(c.key.Namespace) {
				return
			}
		}
	}
}

// Hold records that a Service holds an address, as the caller found it in the cluster. terms are the
// sharing terms of the Service. Hold returns false, and changes nothing, if Reserve has reserved the
// address, or if the Service cannot share the address with its holders.
func (a *Allocator) Hold(h Holding, terms lb.Sharing) bool {
	switch first := a.firstHolder(h.Address); {
	case first == a.nobody:
		return false
	case first == nil:
	case a.holds(h.Address, h.Service):
		return true
	case a.whyNotShare(h.Address, h.Service, terms) != "":
		return false
	}
	a.hold(h, terms)
	return true
}

// AdoptablePool returns the pool of an address that is in the status of a Service, and whether the
// Service, which does not hold the address yet, may hold it. The rules are those for a request that
// names the address, with two differences: draining pools allow it too, and unusable pools always allow
// it.
func (a *Allocator) AdoptablePool(request Request, address netip.Addr) (lb.PoolName, bool) {
	req := &request
	p, ok := a.givingPool(address)
	switch {
	case !ok:
		return "", false
	case p.Unusable != "":
		return p.Name, true
	case !p.Selection.allows(req), p.namesTooMany(req, lb.FamilyOf(address)):
		return "", false
	case a.firstHolder(address) != nil && a.whyNotJoin(address, req.Service, req.Terms, p) != "":
		return "", false
	}
	return p.Name, a.isCounted(address, req.Service.Namespace) || !a.hasUsedQuota(p, req, nil)
}

func (a *Allocator) hold(h Holding, terms lb.Sharing) {
	c := a.accounts.get(h.Service)
	if c == nil {
		c = &account{key: h.Service}
		a.accounts.add(c)
	}
	at := a.locate(h.Address)
	var p *pool
	if a.firstHolderAt(at, h.Address) == nil {
		p = a.occupy(at, h.Address, h.Pool, c)
	} else {
		p = a.sourcePool(h.Address)
		a.shared[h.Address] = append(a.shared[h.Address], c)
	}
	if p.byNamespace != nil && !a.hasOtherAccount(h.Address, c) {
		p.countFor(h.Service.Namespace, 1)
	}
	c.add(h.Address)
	a.setTerms(h.Address, c, terms)
}

// hasOtherInNamespace reports whether another Service of the same namespace holds the address too.
func (a *Allocator) hasOtherInNamespace(address netip.Addr, service lb.ServiceKey) bool {
	for c := range a.holders(address) {
		if c.key != service && c.key.Namespace == service.Namespace {
			return true
		}
	}
	return false
}

// hasOtherAccount reports whether the account of another Service in the same namespace as the given
// account (except) holds the address.
func (a *Allocator) hasOtherAccount(address netip.Addr, except *account) bool {
	for c := range a.holders(address) {
		if c != except && c.key.Namespace == except.key.Namespace {
			return true
		}
	}
	return false
}

// Release records that a Service no longer holds an address. It changes nothing if the
// Service does not hold it.
func (a *Allocator) Release(address netip.Addr, service lb.ServiceKey) {
	if !a.holds(address, service) {
		return
	}
	delete(a.reservedFor, assignment{address, service})
	delete(a.outside, assignment{address, service})
	delete(a.dropped, assignment{address, service})
	c := a.accounts.get(service)
	if p := a.sourcePool(address); p.byNamespace != nil && !a.hasOtherAccount(address, c) {
		p.countFor(service.Namespace, -1)
	}
	rest := a.shared[address]
	switch {
	case a.firstHolder(address) != c:
		rest = slices.DeleteFunc(rest, func(x *account) bool { return x == c })
	case len(rest) > 0:
		a.putHolder(a.locate(address), address, rest[0])
		rest = slices.Delete(rest, 0, 1)
	default:
		a.vacate(address)
	}
	if len(rest) > 0 {
		a.shared[address] = rest
	} else {
		delete(a.shared, address)
	}
	if c.remove(address) {
		a.accounts.remove(c)
	}
	a.setTerms(address, c, lb.Sharing{})
}

// Holders returns the holders of an address, in the order in which they got the address. taken means
// that the address is held or reserved.
func (a *Allocator) Holders(address netip.Addr) (holders []Holding, taken bool) {
	for c := range a.holders(address) {
		holders = append(holders, Holding{Address: address, Pool: a.sourcePool(address).Name, Service: c.key})
	}
	return holders, a.firstHolder(address) != nil
}

// HeldBy returns the holdings of a Service, sorted by address.
func (a *Allocator) HeldBy(service lb.ServiceKey) []Holding {
	c := a.accounts.get(service)
	if c == nil {
		return nil
	}
	held := make([]Holding, 0, 2)
	for address := range c.addresses() {
		held = append(held, Holding{Address: address, Pool: a.sourcePool(address).Name, Service: service})
	}
	return held
}
