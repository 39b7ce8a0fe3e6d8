package service

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
)

// serviceDecision has the addresses that a Service will have, and what its condition will report.
type serviceDecision struct {
	allocations.Outcome
	// leave are addresses in the status that neither this Service nor another one holds. They stay in the
	// status unless the Service gets an address, since another controller may have written them.
	leave []netip.Addr
	// lost are addresses in the status that belong to another Service or are reserved.
	lost []netip.Addr
	// taken has a sentence for each address in lost.
	taken []string
	// invalid means that only an edit of the Service can end the refusal.
	invalid bool
	// handOver means that the Service waits for an address which is still in the status of another Service.
	handOver bool
	// claimRefused is the refusal of the API server to write a claim; nil: it refused none.
	claimRefused *errClaimRefused
	// claimUndone is the time until the next write of a claim that another writer undoes; zero: there is no
	// such claim.
	claimUndone time.Duration
	// claimOverwritten is a sentence about a claim that another writer overwrites again and again; empty:
	// there is no such claim.
	claimOverwritten string
	// otherClass means that the Service has another class than the one that the controller serves. The
	// Service keeps its addresses all the same.
	otherClass bool
	// overwriter names another writer that undoes the writes of the status, as the subject of a sentence;
	// empty: no such writer is known.
	overwriter string
	// restoredFrom is the same as overwriter if writing this decision restores addresses that the other
	// writer removed; otherwise it is empty.
	restoredFrom string
}

// decideService gives a Service the addresses that it requests, or returns why it cannot. A Service whose
// request cannot be met keeps the addresses that it has. A Service that holds no address of a family, but has
// one in its status, gets that address if a pool can give it.
func decideService(l *allocations.View, svc *corev1.Service, namespaceLabels map[string]string) serviceDecision {
	req, err := apiconv.ParseRequest(svc, namespaceLabels)
	if err != nil {
		refusal := &ipam.Refusal{Reason: v1beta1.ReasonInvalidRequest, Message: err.Error()}
		return serviceDecision{Outcome: l.RefuseInvalid(req, refusal), invalid: true}.withStatusAddresses(l, svc)
	}
	return serviceDecision{Outcome: l.Assign(req)}.withStatusAddresses(l, svc)
}

// withStatusAddresses adds each address that is in the status, but that the Service does not hold, to d.leave
// or to d.lost.
func (d serviceDecision) withStatusAddresses(l *allocations.View, svc *corev1.Service) serviceDecision {
	key := apiconv.KeyOf(svc)
	for _, address := range apiconv.StatusAddresses(svc) {
		holders, taken := l.Holders(address)
		switch {
		case slices.ContainsFunc(holders, func(h ipam.Holding) bool { return h.Service == key }):
		case !taken:
			d.leave = append(d.leave, address)
		case len(holders) == 0:
			d.lost = append(d.lost, address)
			d.taken = append(d.taken, fmt.Sprintf("lbstack removed %s from the status of the Service, since an IPAddressClaim reserves the address", address))
		default:
			d.lost = append(d.lost, address)
			d.taken = append(d.taken, fmt.Sprintf("lbstack removed %s from the status of the Service, since the address belongs to %s", address, holders[0].Service.DescribeTo(svc.Namespace)))
		}
	}
	if len(d.Keep) > 0 {
		d.leave = nil
	}
	return d
}

// dropUntilFree removes the addresses from a decision that the status of another Service may still have. This
// Service gets them after that status is written. Meanwhile the status of this Service is written without
// them, since otherwise two Services that swap addresses would wait for each other forever.
func (d serviceDecision) dropUntilFree(l *allocations.View, svc *corev1.Service) serviceDecision {
	shows := apiconv.StatusAddresses(svc)
	var mine []ipam.Holding
	for _, h := range d.Keep {
		other, leaving := l.WakePreviousService(h.Address, h.Service)
		if !leaving || slices.Contains(shows, h.Address) {
			mine = append(mine, h)
			continue
		}
		d.TakenUp = slices.DeleteFunc(d.TakenUp, func(a netip.Addr) bool { return a == h.Address }) // the status does not get the address yet
		d.handOver = true
		d.Refusal = &ipam.Refusal{Reason: v1beta1.ReasonHandOver, Message: fmt.Sprintf("the Service gets %s when the address is no longer in the status of %s", h.Address, other.DescribeTo(svc.Namespace))}
	}
	if !d.handOver {
		return d
	}
	for _, h := range d.Drop { // until then the Service keeps its addresses
		if !slices.ContainsFunc(d.Lost, func(l ipam.OutsideHolding) bool { return l.Holding == h }) {
			mine = append(mine, h)
		}
	}
	slices.SortFunc(mine, func(x, y ipam.Holding) int { return x.Address.Compare(y.Address) })
	d.Keep, d.Drop = mine, nil
	return d
}
