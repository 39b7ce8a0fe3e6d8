package ipam

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// maxHolders is how many Services can share an address: the limit of spec.holders of
	// an IPAddressClaim.
	maxHolders = 256
	// maxSharedPorts is how many ports the Services that share an address can have together. The claim
	// contains each port twice, in spec.holders and in metadata.managedFields. Both take about 32 bytes
	// together; etcd accepts 1.5 MiB.
	maxSharedPorts = 8192
	// maxComparedAddresses is how many addresses with the sharing key of a Service are checked, port by
	// port. If the Service can share none of them, it gets an address of its own.
	maxComparedAddresses = 64
)

// whyNotJoin returns why a Service cannot start to share an address with its holders on these terms;
// empty: the Service can. The text is part of a sentence whose subject is the Service.
func (a *Allocator) whyNotJoin(address netip.Addr, service lb.ServiceKey, terms lb.Sharing, p *pool) string {
	// The scope is checked first: a message must not reveal the terms of a Service in another namespace
	// to a Service that cannot share with it.
	if why := a.whyOutOfScope(address, service, p); why != "" {
		return why
	}
	if why := a.whyNotStay(address, service, terms); why != "" {
		return why
	}
	if len(a.shared[address])+1 >= maxHolders {
		return fmt.Sprintf("cannot share the address: %d Services have the address, the limit of an IPAddressClaim", maxHolders)
	}
	return ""
}

// whyNotStay returns why a Service cannot share an address with the other holders on these terms; empty:
// the Service can, or there is no other holder. It does not check the sharing scope of the pool: see
// whyOutOfScope.
func (a *Allocator) whyNotStay(address netip.Addr, service lb.ServiceKey, terms lb.Sharing) string {
	if why := a.whyNotShare(address, service, terms); why != "" {
		return why
	}
	had := len(a.SharingTerms(address, service).Ports)
	others := a.ports[address].len() - had
	// A Service that has no more ports than in its claim is accepted, so that no Service loses its
	// address when the controller restarts.
	if others > 0 && len(terms.Ports) > had && others+len(terms.Ports) > maxSharedPorts {
		return fmt.Sprintf("cannot share the address: with the %d ports of this Service, all Services that have the address would use more than %d ports, the limit of an IPAddressClaim", len(terms.Ports), maxSharedPorts)
	}
	return ""
}

// whyNotShare returns why the terms of a Service conflict with the terms of the other holders; empty:
// there is no conflict. All holders have the same sharing key and the same Sharing.Traffic, so it
// compares these with only one other holder. No two holders use the same port.
func (a *Allocator) whyNotShare(address netip.Addr, service lb.ServiceKey, terms lb.Sharing) string {
	for c := range a.holders(address) {
		if c.key == service {
			continue
		}
		if why := whyNotShareable(c.key.DescribeTo(service.Namespace), a.termsOf(address, c), terms); why != "" {
			return why
		}
		break
	}
	used, own := a.ports[address], a.SharingTerms(address, service).Ports
	for _, port := range terms.Ports {
		if used.has(port) && !hasPort(own, port) {
			return fmt.Sprintf("cannot share the address with %s: both use port %s", a.userOf(address, port).DescribeTo(service.Namespace), port)
		}
	}
	return ""
}

// hasPort reports whether a sorted list has a port.
func hasPort(list []lb.Port, port lb.Port) bool {
	_, ok := slices.BinarySearchFunc(list, port, lb.Port.Compare)
	return ok
}

// userOf returns the holder of an address that uses a port; the zero value: no holder uses it.
func (a *Allocator) userOf(address netip.Addr, port lb.Port) lb.ServiceKey {
	for c := range a.holders(address) {
		if hasPort(a.termsOf(address, c).Ports, port) {
			return c.key
		}
	}
	return lb.ServiceKey{}
}

// whyOutOfScope returns why the sharing scope of the pool does not allow a Service to have an address;
// empty: the scope allows it. With sharingScope: Namespace, all holders that got the address before the
// Service must be in the namespace of the Service.
func (a *Allocator) whyOutOfScope(address netip.Addr, service lb.ServiceKey, p *pool) string {
	if p.ShareAcrossNamespaces {
		return ""
	}
	for c := range a.holders(address) {
		if c.key == service {
			return ""
		}
		if c.key.Namespace != service.Namespace {
			return "cannot share the address with a Service of another namespace: the pool has sharingScope: Namespace"
		}
	}
	return ""
}

func whyNotShareable(holder string, has, terms lb.Sharing) string {
	switch {
	case terms.Key == "" || has.Key == "":
		return fmt.Sprintf("cannot share the address with %s: both must have the annotation lbstack.io/allow-shared-ip with the same value", holder)
	case terms.Key != has.Key:
		return fmt.Sprintf("cannot share the address with %s: their annotations lbstack.io/allow-shared-ip differ", holder)
	case terms.Traffic != has.Traffic:
		return fmt.Sprintf("cannot share the address with %s: both must have externalTrafficPolicy Cluster, or both must have Local and the same selector", holder)
	}
	return ""
}

// findShared finds an address that the Service can share. It tries the pools in the order of candidates,
// and the addresses of a pool in ascending order. It checks at most maxComparedAddresses addresses. more
// means that none of these can be shared, and that there are addresses that were not checked.
func (a *Allocator) findShared(req *Request, family lb.Family, candidates []*pool, chosen []Holding) (h Holding, found, more bool) {
	addresses := a.byKey[req.Terms.Key]
	if len(addresses) == 0 {
		return Holding{}, false, false
	}
	ranks := make(map[*pool]int, len(candidates))
	for i, p := range candidates {
		if p.whyBarred(req, family, false) == noBar {
			ranks[p] = i
		}
	}
	type option struct {
		rank    int
		address netip.Addr
	}
	var options []option
	for _, address := range addresses {
		p := a.sourcePool(address)
		rank, ok := ranks[p]
		// Addresses outside the sharing scope do not count toward maxComparedAddresses.
		inScope := ok && (p.ShareAcrossNamespaces || a.firstHolder(address).key.Namespace == req.Service.Namespace)
		if inScope && family == lb.FamilyOf(address) && p.gives(address) {
			options = append(options, option{rank, address})
		}
	}
	slices.SortStableFunc(options, func(x, y option) int { return cmp.Compare(x.rank, y.rank) })
	for _, o := range options[:min(len(options), maxComparedAddresses)] {
		p := candidates[o.rank]
		if a.whyNotJoin(o.address, req.Service, req.Terms, p) == "" && (a.isCounted(o.address, req.Service.Namespace) || !a.hasUsedQuota(p, req, chosen)) {
			return Holding{Address: o.address, Pool: p.Name, Service: req.Service}, true, false
		}
	}
	return Holding{}, false, len(options) > maxComparedAddresses
}

func (a *Allocator) indexKey(key string, address netip.Addr) {
	if key == "" {
		return
	}
	if i, ok := slices.BinarySearchFunc(a.byKey[key], address, netip.Addr.Compare); !ok {
		a.byKey[key] = slices.Insert(a.byKey[key], i, address)
	}
}

// unindexKey removes an address from byKey, unless a holder still has that key.
func (a *Allocator) unindexKey(key string, address netip.Addr) {
	if key == "" {
		return
	}
	for c := range a.holders(address) {
		if a.termsOf(address, c).Key == key {
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

// SharingTerms returns the terms on which a Service holds an address; the zero value: the Service does
// not hold the address, or has no sharing key.
func (a *Allocator) SharingTerms(address netip.Addr, service lb.ServiceKey) lb.Sharing {
	return a.sharing[assignment{address, service}]
}

func (a *Allocator) termsOf(address netip.Addr, c *account) lb.Sharing {
	return a.SharingTerms(address, c.key)
}

// setTerms replaces the terms on which a Service holds an address.
func (a *Allocator) setTerms(address netip.Addr, c *account, terms lb.Sharing) {
	at := assignment{address, c.key}
	if terms.Key == "" && len(a.sharing) == 0 {
		return
	}
	if terms.Key == "" {
		terms = lb.Sharing{}
	}
	was := a.sharing[at]
	if terms.Key == "" {
		delete(a.sharing, at)
	} else {
		a.sharing[at] = terms
	}
	if was.Key != terms.Key {
		a.unindexKey(was.Key, address)
		a.indexKey(terms.Key, address)
	}
	if !slices.Equal(was.Ports, terms.Ports) {
		a.setPorts(address, was.Ports, terms.Ports)
	}
}

// setPorts replaces the ports that a holder of an address uses.
func (a *Allocator) setPorts(address netip.Addr, was, ports []lb.Port) {
	used := a.ports[address]
	if used == nil {
		used = &portSet{}
		a.ports[address] = used
	}
	for _, port := range was {
		used.clear(port)
	}
	for _, port := range ports {
		used.set(port)
	}
	if used.len() == 0 {
		delete(a.ports, address)
	}
}
