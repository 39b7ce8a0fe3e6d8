package ipam

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// maxHolders is how many Services can share an address: the bound of spec.holders of
// its claim.
const maxHolders = 256

// mayNotJoin says why a Service cannot have an address on these terms, together
// with those that hold it already; empty if it can. It is part of a sentence
// whose subject is the Service.
func (a *Allocator) mayNotJoin(address netip.Addr, service lb.ServiceKey, terms lb.Sharing, p *pool) string {
	// The scope first: on what terms a Service of another namespace has the address is
	// not for one that cannot share it anyway.
	if why := a.outOfScope(address, service, p); why != "" {
		return why
	}
	if why := a.mayNotShare(address, service, terms); why != "" {
		return why
	}
	if len(a.shared[address])+1 >= maxHolders {
		return fmt.Sprintf("cannot share it: %d Services have it, and more do not go into its IPAddressClaim", maxHolders)
	}
	return ""
}

// mayNotShare says the same of a Service that is there already: the scope of the
// pool counts for those who join.
func (a *Allocator) mayNotShare(address netip.Addr, service lb.ServiceKey, terms lb.Sharing) string {
	for c := range a.holders(address) {
		if c.key == service {
			continue
		}
		if why := disagreement(c.key.DescribeTo(service.Namespace), a.terms(address, c), terms); why != "" {
			return why
		}
	}
	return ""
}

// outOfScope says that an address has a holder in another namespace, which came
// before the Service, though the pool lets Services share in one namespace only.
func (a *Allocator) outOfScope(address netip.Addr, service lb.ServiceKey, p *pool) string {
	if p.ShareAcrossNamespaces {
		return ""
	}
	for c := range a.holders(address) {
		if c.key == service {
			return ""
		}
		if c.key.Namespace != service.Namespace {
			return "cannot share it with a Service of another namespace: the pool has sharingScope: Namespace"
		}
	}
	return ""
}

func disagreement(holder string, has, terms lb.Sharing) string {
	switch {
	case terms.Key == "" || has.Key == "":
		return fmt.Sprintf("cannot share it with %s: both must have the annotation lbstack.io/allow-shared-ip with the same value", holder)
	case terms.Key != has.Key:
		return fmt.Sprintf("cannot share it with %s: their annotations lbstack.io/allow-shared-ip differ", holder)
	case terms.Traffic != has.Traffic:
		return fmt.Sprintf("cannot share it with %s: both must have externalTrafficPolicy: Cluster, or both Local and the same selector", holder)
	}
	if port, both := common(terms.Ports, has.Ports); both {
		return fmt.Sprintf("cannot share it with %s: both use port %s", holder, port)
	}
	return ""
}

// common returns a port that is in both sorted lists.
func common(xs, ys []lb.Port) (lb.Port, bool) {
	for _, x := range xs {
		if _, ok := slices.BinarySearchFunc(ys, x, lb.Port.Compare); ok {
			return x, true
		}
	}
	return lb.Port{}, false
}

func (a *Allocator) index(key string, address netip.Addr) {
	if key == "" {
		return
	}
	if i, ok := slices.BinarySearchFunc(a.byKey[key], address, netip.Addr.Compare); !ok {
		a.byKey[key] = slices.Insert(a.byKey[key], i, address)
	}
}

// unindex drops an address whose holders share under that key no more.
func (a *Allocator) unindex(key string, address netip.Addr) {
	if key == "" {
		return
	}
	for c := range a.holders(address) {
		if a.terms(address, c).Key == key {
			return
		}
	}
	if i, ok := slices.BinarySearchFunc(a.byKey[key], address, netip.Addr.Compare); ok {
		a.byKey[key] = slices.Delete(a.byKey[key], i, i+1)
	}
	if len(a.byKey[key]) == 0 {
		delete(a.byKey, key)
	}
}

// Terms returns on what terms a Service holds an address; the zero value if it does
// not, or shares it with nobody.
func (a *Allocator) Terms(address netip.Addr, service lb.ServiceKey) lb.Sharing {
	return a.sharing[pledge{address, service}]
}

func (a *Allocator) terms(address netip.Addr, c *account) lb.Sharing { return a.Terms(address, c.key) }

// setTerms replaces the terms on which a Service holds an address.
func (a *Allocator) setTerms(address netip.Addr, c *account, terms lb.Sharing) {
	at := pledge{address, c.key}
	if terms.Key == "" && len(a.sharing) == 0 {
		return
	}
	was := a.sharing[at].Key
	if terms.Key == "" {
		delete(a.sharing, at)
	} else {
		a.sharing[at] = terms
	}
	if was != terms.Key {
		a.unindex(was, address)
		a.index(terms.Key, address)
	}
}
