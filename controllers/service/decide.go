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

// serviceDecision is what a Service should have, and what its condition should report.
type serviceDecision struct {
	allocations.Outcome
	// leave are addresses in the Service's status that it does not hold and no other Service
	// has. They stay there unless the Service gets an address: another controller may have
	// written them.
	leave []netip.Addr
	// lost are addresses in its status that belong to another Service or are reserved; taken has
	// a sentence for each.
	lost  []netip.Addr
	taken []string
	// invalid means that only an edit of the Service can change a refusal.
	invalid bool
	// handOver means that an address is not taken up yet, since the status of another Service
	// has it.
	handOver bool
	// claimRefused is why an address that was chosen has no claim; nil: all have one.
	claimRefused *errClaimRefused
	// claimUndone is the time until a claim that another writer undoes is written again; zero:
	// there is none. claimOverwritten is a sentence about such a claim, for as long as the two
	// writers disagree.
	claimUndone      time.Duration
	claimOverwritten string
	// otherClass means that the Service is of another class than the one that is served, and
	// keeps its addresses.
	otherClass bool
	// overwriter names another writer that undoes what the controller writes, as the subject
	// of a sentence; empty: none is known. restoredFrom names it if this write restores the addresses.
	overwriter, restoredFrom string
}

// decideService gives a Service the addresses that it requests, or returns why not. If the request cannot
// be met, the Service keeps the addresses that it has. Of a family of which it holds none, it gets the
// address in its status, if that can be given.
func decideService(l *allocations.View, svc *corev1.Service, namespaceLabels map[string]string) serviceDecision {
	req, err := apiconv.ParseRequest(svc, namespaceLabels)
	if err != nil {
		refusal := &ipam.Refusal{Reason: v1beta1.ReasonInvalidRequest, Message: err.Error()}
		return serviceDecision{Outcome: l.RefuseInvalid(req, refusal), invalid: true}.withShown(l, svc)
	}
	return serviceDecision{Outcome: l.Assign(req)}.withShown(l, svc)
}

// withShown adds the addresses in the status that the Service does not hold to leave or to lost.
func (d serviceDecision) withShown(l *allocations.View, svc *corev1.Service) serviceDecision {
	key := apiconv.KeyOf(svc)
	for _, address := range apiconv.StatusAddresses(svc) {
		holders, taken := l.Holders(address)
		switch {
		case slices.ContainsFunc(holders, func(h ipam.Holding) bool { return h.Service == key }):
		case !taken:
			d.leave = append(d.leave, address)
		case len(holders) == 0:
			d.lost = append(d.lost, address)
			d.taken = append(d.taken, fmt.Sprintf("the Service showed %s, which an IPAddressClaim reserves", address))
		default:
			d.lost = append(d.lost, address)
			d.taken = append(d.taken, fmt.Sprintf("the Service showed %s, which belongs to %s", address, holders[0].Service.DescribeTo(svc.Namespace)))
		}
	}
	if len(d.Keep) > 0 {
		d.leave = nil
	}
	return d
}

// dropUntilFree removes from a decision the addresses that the status of another Service may still
// have: this Service gets them when that status is written. Until then its own status is written
// without them: otherwise two Services that swap addresses would wait for each other for ever.
func (d serviceDecision) dropUntilFree(l *allocations.View, svc *corev1.Service) serviceDecision {
	shows := apiconv.StatusAddresses(svc)
	var mine []ipam.Holding
	for _, h := range d.Keep {
		other, leaving := l.PreviousService(h.Address, h.Service)
		if !leaving || slices.Contains(shows, h.Address) {
			mine = append(mine, h)
			continue
		}
		d.TakenUp = slices.DeleteFunc(d.TakenUp, func(a netip.Addr) bool { return a == h.Address }) // not yet
		d.handOver = true
		d.Refusal = &ipam.Refusal{Reason: v1beta1.ReasonHandOver, Message: fmt.Sprintf("the Service gets %s as soon as %s has let it go", h.Address, other.DescribeTo(svc.Namespace))}
	}
	if !d.handOver {
		return d
	}
	for _, h := range d.Drop { // until then it keeps its addresses
		if !slices.ContainsFunc(d.Lost, func(l ipam.OutsidePool) bool { return l.Holding == h }) {
			mine = append(mine, h)
		}
	}
	slices.SortFunc(mine, func(x, y ipam.Holding) int { return x.Address.Compare(y.Address) })
	d.Keep, d.Drop = mine, nil
	return d
}
