// Package pool keeps the ledger's pools as the IPAddressPools say, and tells on
// each of them whether its addresses are given out and how many are in use. It
// is the only writer of IPAddressPool status.
package pool

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// Verdict is whether a pool's addresses are given out, and why not.
type Verdict struct {
	// Reason of the Ready condition: ReasonPoolReady or what is wrong.
	Reason string
	// Message of the Ready condition.
	Message string
}

// Ready says whether the pool gives addresses.
func (v Verdict) Ready() bool { return v.Reason == v1beta1.ReasonPoolReady }

// Plan turns the IPAddressPools of a cluster into pools for the allocator and
// a verdict on each. A pool that is wrong gives nothing and keeps what it has;
// it does not disturb the others: of two that overlap, the older one goes on.
func Plan(objects []v1beta1.IPAddressPool) ([]ipam.Pool, map[lb.PoolName]Verdict) {
	objects = slices.SortedFunc(slices.Values(objects), func(x, y v1beta1.IPAddressPool) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
	})
	verdicts := map[lb.PoolName]Verdict{}
	var pools, parsed []ipam.Pool
	for _, object := range objects {
		p := ipam.Pool{Name: lb.PoolName(object.Name), AutoAssign: object.Spec.AutoAssign == nil || *object.Spec.AutoAssign}
		ranges, err := apiconv.PoolRanges(object.Spec)
		if err != nil {
			verdicts[p.Name] = Verdict{v1beta1.ReasonInvalidAddresses, fmt.Sprintf("%s: correct it; until then the pool gives no addresses and keeps those in use", err)}
		} else {
			p.Ranges = ranges
			parsed = append(parsed, p)
		}
		pools = append(pools, p)
	}
	for name, overlap := range ipam.Check(parsed) {
		verdicts[name] = Verdict{v1beta1.ReasonOverlap, fmt.Sprintf("%s: take the addresses out of one of them; until then this pool gives no addresses and keeps those in use", overlap)}
	}
	for i, p := range pools {
		if v, bad := verdicts[p.Name]; bad {
			pools[i].Unusable = v.Message
			continue
		}
		verdicts[p.Name] = Verdict{v1beta1.ReasonPoolReady, "the addresses of the pool are given out"}
	}
	slices.SortFunc(pools, func(x, y ipam.Pool) int { return cmp.Compare(x.Name, y.Name) })
	return pools, verdicts
}
