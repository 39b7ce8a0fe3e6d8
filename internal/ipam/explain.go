package ipam

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/internal/lb"
)

// Reason is why a request was refused, as one word.
type Reason string

// The reasons. Conditions and events of Services use the same words.
const (
	ReasonNoPool           Reason = "NoPool"
	ReasonPoolExhausted    Reason = "PoolExhausted"
	ReasonPoolDraining     Reason = "PoolDraining"
	ReasonPoolNotAllowed   Reason = "PoolNotAllowed"
	ReasonQuotaExceeded    Reason = "QuotaExceeded"
	ReasonUnknownPool      Reason = "UnknownPool"
	ReasonPoolUnusable     Reason = "PoolUnusable"
	ReasonAddressNotInPool Reason = "AddressNotInPool"
	ReasonAddressInUse     Reason = "AddressInUse"
	ReasonSharingConflict  Reason = "SharingConflict"
	ReasonTooManyAddresses Reason = "TooManyAddresses"
	ReasonInvalidRequest   Reason = "InvalidRequest"
)

// Refusal is why a request was not met.
type Refusal struct {
	// Reason why the request was not met.
	Reason Reason
	// Message describes what is wrong, where it is wrong, and what to do.
	Message string
	// Pools has the result of each pool that was tried.
	Pools []PoolResult
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

func newRefusal(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// PoolResult reports whether a pool can meet a request.
type PoolResult struct {
	Pool lb.PoolName
	// Reason why the pool gives no address; empty if it can give one.
	Reason Reason
	// Why is the result in words, beginning with the pool's name.
	Why string
}

// poolBar is a reason why a pool can give a Service no address.
type poolBar uint8

// The bars. If no pool can give an address, the greatest bar among the pools determines Refusal.Reason.
const (
	noBar poolBar = iota
	barNoFamily
	barNotAllowed
	barNotAutomatic
	barDraining
	barUnusable
	barQuota
	barExhausted
)

var barReasons = map[poolBar]Reason{
	barNoFamily: ReasonNoPool, barNotAllowed: ReasonPoolNotAllowed, barNotAutomatic: ReasonNoPool, barDraining: ReasonPoolDraining,
	barUnusable: ReasonPoolUnusable, barQuota: ReasonQuotaExceeded, barExhausted: ReasonPoolExhausted,
}

var barRemedies = map[poolBar]string{
	barNoFamily:     "add addresses of this family to a pool, or change spec.ipFamilies of the Service",
	barNotAllowed:   "change spec.serviceAllocation of a pool, or add a pool for the Service",
	barNotAutomatic: "name a pool with the annotation lbstack.io/address-pool, or set autoAssign: true on a pool",
	barDraining:     "set state: Active on the pool, or add another pool",
	barUnusable:     "correct the pool",
	barQuota:        "delete a Service of the namespace that has an address of the pool, or raise spec.quota of the pool",
	barExhausted:    "add addresses to a pool, or delete a Service that has an address (kubectl get lbip lists the addresses with their Services)",
}

// whyBarred returns why a pool cannot give the Service any address of a family, even if addresses of the
// family are free. named means that the request names the address.
func (p *pool) whyBarred(req *Request, family lb.Family, named bool) poolBar {
	switch {
	case p.Unusable != "":
		return barUnusable
	case !p.AutoAssign && req.Pool == "" && !named:
		return barNotAutomatic
	case !p.Selection.allows(req):
		return barNotAllowed
	case p.Draining:
		return barDraining
	case p.slots[familyIndex(family)] == nil:
		return barNoFamily
	}
	return noBar
}

// describeBar describes a bar in a clause that begins with the name of the pool.
func (p *pool) describeBar(b poolBar, req *Request, family lb.Family) string {
	name := fmt.Sprintf("%q", p.Name)
	switch b {
	case barNoFamily:
		if slices.ContainsFunc(p.Listed, func(r lb.Range) bool { return r.Family() == family }) {
			return fmt.Sprintf("%s can give none of its %s addresses (for the reason see kubectl describe lbpool %s)", name, family, p.Name)
		}
		return fmt.Sprintf("%s has no %s addresses", name, family)
	case barNotAllowed:
		return name + " is for other Services (spec.serviceAllocation)"
	case barNotAutomatic:
		return name + " has autoAssign: false"
	case barDraining:
		return name + " is draining"
	case barUnusable:
		return name + " gives nothing: " + p.Unusable
	case barQuota:
		return fmt.Sprintf("%s has maxAddressesPerNamespace: %d in spec.quota, and the namespace %q has that many addresses", name, p.MaxPerNamespace, req.Service.Namespace)
	case barExhausted:
		return fmt.Sprintf("%s has no free %s address", name, family)
	}
	return name + " has free addresses"
}

// Explain returns a result for each pool that is tried for the request: whether the pool can give the
// Service a new address of the family, and if not, why. The results are in the order in which the pools
// are tried. If there is no pool to try, Explain returns nil.
func (a *Allocator) Explain(request Request, family lb.Family) []PoolResult {
	req := &request
	candidates, refusal := a.candidates(req)
	if refusal != nil {
		return refusal.Pools
	}
	var verdicts []PoolResult
	for _, p := range candidates {
		b := a.barFor(p, req, family, nil)
		verdicts = append(verdicts, PoolResult{p.Name, barReasons[b], p.describeBar(b, req, family)})
	}
	return verdicts
}

func (a *Allocator) barFor(p *pool, req *Request, family lb.Family, chosen []Holding) poolBar {
	if b := p.whyBarred(req, family, false); b != noBar {
		return b
	}
	if a.hasUsedQuota(p, req, chosen) {
		return barQuota
	}
	if _, ok := p.slots[familyIndex(family)].lowest(a.far); !ok {
		return barExhausted
	}
	return noBar
}

// maxListedPools is the largest number of pools that a message lists.
const maxListedPools = 8

// explainRefusal returns the refusal of a request to which no pool can give an address of one of the
// families, with the reason of each pool.
func (a *Allocator) explainRefusal(req *Request, families []lb.Family, candidates []*pool, chosen []Holding) *Refusal {
	refusal := &Refusal{}
	worst := noBar
	bars := make([]poolBar, 0, len(candidates))
	for _, p := range candidates {
		most := noBar
		var family lb.Family
		for _, f := range families {
			if b := a.barFor(p, req, f, chosen); b > most {
				most, family = b, f
			}
		}
		why := p.describeBar(most, req, family)
		refusal.Pools = append(refusal.Pools, PoolResult{p.Name, barReasons[most], why})
		worst = max(worst, most)
		bars = append(bars, most)
	}
	var words []string
	// If not all pools are listed, pools with the worst bar are listed first, since the remedy in the
	// message is for that bar.
	for _, rest := range []bool{false, true} {
		for i, v := range refusal.Pools {
			if len(bars) <= maxListedPools && !rest || len(bars) > maxListedPools && (bars[i] < worst) == rest {
				words = append(words, v.Why)
			}
		}
	}
	if n := len(words) - maxListedPools; n > 0 {
		words = append(words[:maxListedPools], fmt.Sprintf("pools that are not listed: %d", n))
	}
	refusal.Reason = barReasons[worst]
	refusal.Message = fmt.Sprintf("no pool gives the Service an %s address: %s: %s", familyNames(families), strings.Join(words, "; "), barRemedies[worst])
	return refusal
}

func (a *Allocator) refuseUnknownPool(name lb.PoolName) *Refusal {
	names := make([]string, 0, len(a.order))
	for _, p := range a.order {
		names = append(names, fmt.Sprintf("%q", p.Name))
	}
	slices.Sort(names)
	exist := "there is no pool at all"
	if len(names) > 0 {
		exist = "there are " + strings.Join(names[:min(maxListedPools, len(names))], ", ")
	}
	return newRefusal(ReasonUnknownPool, "the Service names the pool %q, which does not exist (%s): create the pool, or name another pool", name, exist)
}

func familyNames(list []lb.Family) string {
	words := make([]string, 0, len(list))
	for _, f := range list {
		words = append(words, f.String())
	}
	return strings.Join(words, " or ")
}
