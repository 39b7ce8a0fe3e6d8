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

// decision is what should be true of a Service.
type decision struct {
	allocations.Outcome
	// leave are addresses in the Service's status that it does not hold and that
	// are nobody else's either: without anything to put in their place they are
	// not for lbstack to remove.
	leave []netip.Addr
	// lost are addresses in its status that are another Service's, and taken says so
	// in sentences.
	lost  []netip.Addr
	taken []string
	// invalid means that only an edit of the Service can change a refusal.
	invalid bool
	// handOver means that an address is not reserved yet since another Service shows it.
	handOver bool
	// claimRefused is why what was decided has no claim; nil if it has.
	claimRefused *errClaimRefused
	// claimUndone is when a claim is written again that another writer undoes; zero: there
	// is none. claimOverwritten is a sentence on one, for as long as the two disagree.
	claimUndone      time.Duration
	claimOverwritten string
	// otherClass means that the Service is of another class than the one that is served, and
	// keeps what it has.
	otherClass bool
	// overwriter is another writer that undoes what the controller writes, as the subject
	// of a sentence; empty: none is known. restores is the same where what it wrote is
	// replaced now.
	overwriter, restores string
}

// decide meets the request of a Service, or returns why not. What the Service has
// is never dropped for a request that cannot be met; of a family of which a Service
// holds nothing it gets what its status shows, if that can be given.
func decide(l *allocations.View, svc *corev1.Service, namespaceLabels map[string]string) decision {
	req, err := apiconv.ParseRequest(svc, namespaceLabels)
	if err != nil {
		refusal := &ipam.Refusal{Reason: v1beta1.ReasonInvalidRequest, Message: err.Error()}
		return decision{Outcome: l.Refuse(req, refusal), invalid: true}.shown(l, svc)
	}
	return decision{Outcome: l.Assign(req)}.shown(l, svc)
}

// shown sorts what the status shows and the Service does not hold.
func (d decision) shown(l *allocations.View, svc *corev1.Service) decision {
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

// afterOthers takes out of a decision what another Service may still show: it is
// taken up when that has written its own status. To wait for that without writing
// one's own would be for ever if two swap their addresses.
func (d decision) afterOthers(l *allocations.View, svc *corev1.Service) decision {
	shows := apiconv.StatusAddresses(svc)
	var mine []ipam.Holding
	for _, h := range d.Keep {
		other, leaving := l.Leaving(h.Address, h.Service)
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
	for _, h := range d.Drop { // until then it keeps what it has
		if !slices.ContainsFunc(d.Lost, func(l ipam.OutsidePool) bool { return l.Holding == h }) {
			mine = append(mine, h)
		}
	}
	slices.SortFunc(mine, func(x, y ipam.Holding) int { return x.Address.Compare(y.Address) })
	d.Keep, d.Drop = mine, nil
	return d
}
