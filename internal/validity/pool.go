package validity

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// PoolResult is the result for a pool: whether the pool gives addresses, and the reason if it does not.
type PoolResult struct {
	// Reason is the reason of the condition Ready. The method IsReady returns the status of the condition.
	Reason string
	// Message is the message of the condition Ready.
	Message string
	// Foreign is status.foreign. The reconciler of pools sets it.
	Foreign []v1beta1.ForeignAddress
	// Losses is status.foreignLosses. The reconciler of pools sets it.
	Losses []time.Time
	// Conflicts are the conflicts of the pool, see ipam.Pool.
	Conflicts []ipam.Conflict
}

// IsReady reports whether the condition Ready is True.
func (v PoolResult) IsReady() bool {
	return v.Reason == v1beta1.ReasonPoolReady || v.Reason == v1beta1.ReasonDraining || v.Reason == v1beta1.ReasonNoSubnet
}

// Pools converts the IPAddressPools of a cluster to pools for the allocator, sorted by name. It also returns
// the result for each pool. An invalid pool gives no addresses, but the valid ranges in its spec still belong
// to it. An address that two pools list belongs to the older pool. No pool gives addresses of the ranges in
// taken, except for ranges with ReportedOnly.
func Pools(objects []v1beta1.IPAddressPool, taken []ipam.TakenRange) ([]ipam.Pool, map[lb.PoolName]PoolResult) {
	objects = slices.SortedFunc(slices.Values(objects), func(x, y v1beta1.IPAddressPool) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
	})
	results := map[lb.PoolName]PoolResult{}
	var pools []ipam.Pool
	for i := range objects {
		p, err := apiconv.ParsePool(&objects[i])
		if err != nil {
			p.Unusable = fmt.Sprintf("%s: correct it; until then the pool gives no addresses, and Services keep the addresses that they have", err)
			results[p.Name] = PoolResult{Reason: err.Reason, Message: p.Unusable}
		}
		pools = append(pools, p)
	}
	ipam.Resolve(pools, append(slices.Clone(taken), ipam.SpecialRanges()...))
	for i := range pools {
		p := &pools[i]
		if _, wrong := results[p.Name]; !wrong {
			results[p.Name] = newPoolResult(p)
		}
		v := results[p.Name]
		v.Conflicts = p.Conflicts
		results[p.Name] = v
	}
	slices.SortFunc(pools, func(x, y ipam.Pool) int { return cmp.Compare(x.Name, y.Name) })
	return pools, results
}

func newPoolResult(p *ipam.Pool) PoolResult {
	switch {
	case p.GivesNothing():
		return PoolResult{Reason: v1beta1.ReasonNothingToGive, Message: "all addresses of the pool are excluded, not given because of avoidBuggyIPs, or belong to something else (see the condition Conflict): add other addresses to spec.addresses"}
	case p.Draining:
		return PoolResult{Reason: v1beta1.ReasonDraining, Message: "the pool gives no new addresses, as spec.state requires; Services keep the addresses that they have"}
	case whyNotReady(p) != "":
		return PoolResult{Reason: whyNotReady(p), Message: "the pool gives only some of the addresses in spec.addresses (see the condition Conflict)"}
	}
	return PoolResult{Reason: v1beta1.ReasonPoolReady, Message: "the addresses of the pool are given out"}
}

// whyNotReady returns the reason why a pool with conflicts is not Ready: a foreign host uses one of its
// addresses, or the pool lists addresses that belong to something else. It returns an empty reason for a
// pool that is Ready. It ignores conflicts with ReportedOnly, since the pool gives these addresses. It
// also ignores the network and broadcast addresses of a node's subnet, since every CIDR contains such
// addresses.
func whyNotReady(p *ipam.Pool) string {
	reason := ""
	for _, c := range p.Conflicts {
		_, gives := lb.FindRange(p.Gives, c.Range.First)
		switch {
		case c.Foreign && !c.ReportedOnly:
			return v1beta1.ReasonForeignHost
		case c.As == "" && !c.ReportedOnly && !gives:
			reason = v1beta1.ReasonOverlap
		}
	}
	return reason
}
