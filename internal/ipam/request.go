package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/internal/lb"
)

// Request is what a Service asks for: one address.
type Request struct {
	// Service that asks.
	Service lb.ServiceKey
	// Pool that the address must come from; empty: any pool that gives itself.
	Pool lb.PoolName
	// Address that the Service wants; invalid: any.
	Address netip.Addr
	// Families that the Service can use, the preferred one first. An address
	// of the second one is given only if there is none of the first.
	Families []lb.Family
}

// Reason says in one word why a request was refused.
type Reason string

// The reasons, the same words as in conditions and events.
const (
	ReasonNoPool           Reason = "NoPool"
	ReasonPoolExhausted    Reason = "PoolExhausted"
	ReasonUnknownPool      Reason = "UnknownPool"
	ReasonPoolUnusable     Reason = "PoolUnusable"
	ReasonAddressNotInPool Reason = "AddressNotInPool"
	ReasonAddressInUse     Reason = "AddressInUse"
	ReasonInvalidRequest   Reason = "InvalidRequest"
)

// Refusal is why a request was not met.
type Refusal struct {
	// Reason in one word.
	Reason Reason
	// Message says what is wrong, where, and what to do.
	Message string
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Satisfies says whether a holding is what the request asks for, so that there
// is nothing to do. The pool counts only if the request names one.
func (a *Allocator) Satisfies(h Holding, req Request) bool {
	if !slices.Contains(req.Families, lb.FamilyOf(h.Address)) {
		return false
	}
	if req.Address.IsValid() && h.Address != req.Address {
		return false
	}
	return req.Pool == "" || h.Pool == req.Pool
}

// Assign meets a request with an address that nobody holds, and records the
// holding. What the Service holds already stays: releasing it is a decision of
// the caller, after the new address is safe. An address that the Service holds
// and that satisfies the request is returned as it is.
func (a *Allocator) Assign(req Request) (Holding, *Refusal) {
	for _, h := range a.HeldBy(req.Service) {
		if a.Satisfies(h, req) {
			return h, nil
		}
	}
	find := a.findAny
	if req.Address.IsValid() {
		find = a.findAddress
	}
	address, from, refusal := find(req)
	if refusal != nil {
		return Holding{}, refusal
	}
	h := Holding{Address: address, Pool: from, Service: req.Service}
	a.Hold(h)
	return h, nil
}

func (a *Allocator) findAddress(req Request) (netip.Addr, lb.PoolName, *Refusal) {
	want := req.Address
	if !slices.Contains(req.Families, lb.FamilyOf(want)) {
		return netip.Addr{}, "", refuse(ReasonInvalidRequest,
			"the Service asks for the %s address %s but its spec.ipFamilies is %s: change one of them", lb.FamilyOf(want), want, families(req.Families))
	}
	var candidates []*pool
	if req.Pool != "" {
		named, refusal := a.named(req.Pool)
		if refusal != nil {
			return netip.Addr{}, "", refusal
		}
		candidates = []*pool{named}
	} else {
		candidates = a.pools
	}
	from := poolOf(candidates, want)
	switch {
	case from == nil && req.Pool != "":
		return netip.Addr{}, "", refuse(ReasonAddressNotInPool, "the Service asks for %s from the pool %q, which does not have it: it has %s", want, req.Pool, ranges(candidates[0].Ranges))
	case from == nil:
		return netip.Addr{}, "", refuse(ReasonAddressNotInPool, "the Service asks for %s, which is in no pool: add it to one, or ask for another (kubectl get ipaddresspools -o wide shows the pools)", want)
	case from.Unusable != "":
		return netip.Addr{}, "", unusable(from)
	}
	if h, held := a.holdings[want]; held {
		holder := "is reserved by an IPAddressClaim"
		if h.Service != (lb.ServiceKey{}) {
			holder = "belongs to the Service " + h.Service.String()
		}
		return netip.Addr{}, "", refuse(ReasonAddressInUse, "the Service asks for %s, which %s: ask for another, or free it", want, holder)
	}
	return want, from.Name, nil
}

func (a *Allocator) findAny(req Request) (netip.Addr, lb.PoolName, *Refusal) {
	candidates, refusal := a.candidates(req)
	if refusal != nil {
		return netip.Addr{}, "", refusal
	}
	held := func(x netip.Addr) bool { _, ok := a.holdings[x]; return ok }
	var full []string
	for _, family := range req.Families {
		for _, p := range candidates {
			for _, f := range p.free {
				if f.rng.Family() != family {
					continue
				}
				if address, ok := f.lowest(held); ok {
					return address, p.Name, nil
				}
				if name := fmt.Sprintf("%q", p.Name); !slices.Contains(full, name) {
					full = append(full, name)
				}
			}
		}
	}
	if len(full) == 0 {
		names := make([]string, 0, len(candidates))
		for _, p := range candidates {
			names = append(names, fmt.Sprintf("%q", p.Name))
		}
		return netip.Addr{}, "", refuse(ReasonNoPool, "the Service needs an address of the family %s and the pools that it may use (%s) have none of it: add such addresses to a pool, or change spec.ipFamilies",
			families(req.Families), strings.Join(names, ", "))
	}
	return netip.Addr{}, "", refuse(ReasonPoolExhausted, "all %s addresses of the pools that the Service may use (%s) are taken: add addresses to one, or delete a Service that has one (kubectl get lbip shows who has what)",
		families(req.Families), strings.Join(full, ", "))
}

// candidates returns the pools that a request for any address may use.
func (a *Allocator) candidates(req Request) ([]*pool, *Refusal) {
	if req.Pool != "" {
		named, refusal := a.named(req.Pool)
		if refusal != nil {
			return nil, refusal
		}
		if named.Unusable != "" {
			return nil, unusable(named)
		}
		return []*pool{named}, nil
	}
	var candidates, unready []*pool
	for _, p := range a.pools {
		switch {
		case p.Unusable != "":
			unready = append(unready, p)
		case p.AutoAssign:
			candidates = append(candidates, p)
		}
	}
	switch {
	case len(candidates) > 0:
		return candidates, nil
	case len(unready) > 0:
		return nil, unusable(unready[0])
	case len(a.pools) > 0:
		return nil, refuse(ReasonNoPool, "every pool has autoAssign: false and the Service names none: set the annotation lbstack.io/address-pool, or let a pool give addresses by itself")
	}
	return nil, refuse(ReasonNoPool, "there is no pool of addresses: add one to spec.ipAddressPools of the LoadBalancerStack")
}

func (a *Allocator) named(name lb.PoolName) (*pool, *Refusal) {
	if p, ok := a.find(name); ok {
		return p, nil
	}
	names := make([]string, 0, len(a.pools))
	for _, p := range a.pools {
		names = append(names, fmt.Sprintf("%q", p.Name))
	}
	exist := "there is no pool at all"
	if len(names) > 0 {
		exist = "there are " + strings.Join(names, ", ")
	}
	return nil, refuse(ReasonUnknownPool, "the Service names the pool %q, which does not exist (%s): create it, or name another", name, exist)
}

func unusable(p *pool) *Refusal {
	return refuse(ReasonPoolUnusable, "the pool %q gives no addresses: %s", p.Name, p.Unusable)
}

func families(list []lb.Family) string {
	words := make([]string, 0, len(list))
	for _, f := range list {
		words = append(words, f.String())
	}
	return strings.Join(words, " or ")
}

func ranges(list []lb.Range) string {
	words := make([]string, 0, len(list))
	for _, r := range list {
		words = append(words, r.String())
	}
	return strings.Join(words, ", ")
}
