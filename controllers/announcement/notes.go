package announcement

import (
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

// gracePeriod is how long a Service is without announcement before an event reports that: an
// address is given before any node announces it, and pods start after their Service.
const gracePeriod = 2 * time.Second

// firstConditionDelay is how long after a Service gets an address its first condition waits if no
// node announces the address. Within that time speakers usually announce and report it, so that the
// condition is written once.
const firstConditionDelay = 2 * routeDelay

// serviceRecord is what was reported of a Service. The zero value: it was not reconciled before.
type serviceRecord struct {
	reconciled bool
	// owners are the last owners of its addresses, also of addresses without an owner now.
	owners map[netip.Addr]lb.NodeName
	// routers are the nodes and routers that its condition names; see settle.
	routers map[netip.Addr]namedAnnouncers
	// routed are the addresses of which an event has reported that they are announced by BGP. An
	// address stays among them when that ends.
	routed map[netip.Addr]bool
	// hosts are the MACs of foreign hosts that use its announced addresses.
	hosts map[netip.Addr]string
	// reason why it is not announced; empty: it is announced.
	reason string
	// since when it has not been announced for that reason, or for reasons before it that no event
	// has reported.
	since time.Time
	// reported means that an event has reported the reason.
	reported bool
	// untrusted means that a node which is not trusted reports one of its addresses. It may be trusted
	// soon: a speaker can read a new advertisement before the controller does.
	untrusted bool
}

// waits reports whether what is reported of the Service depends on which nodes may announce.
func (m *serviceRecord) waits() bool { return m.reason != "" || m.untrusted }

// eventNote is an event to send.
type eventNote struct{ kind, reason, text string }

// compareRecord compares what was reported of a Service with its state at a time. It returns the events
// to send, the memory after that (the caller sets routers), and when to reconcile again; zero: never.
// The parameter was is the present condition of the Service; nil: it has none. On the first reconcile
// of a Service, the process before this one wrote it.
func compareRecord(m serviceRecord, was *metav1.Condition, now metav1.Condition, list []addressFacts, at time.Time) (notes []eventNote, next serviceRecord, again time.Duration) {
	same := !m.reconciled && was != nil && was.Reason == now.Reason && was.Message == now.Message
	next = serviceRecord{reconciled: true, owners: map[netip.Addr]lb.NodeName{}, hosts: map[netip.Addr]string{}, routed: map[netip.Addr]bool{}}
	for _, f := range list {
		notes = append(notes, f.layer2Notes(m, next, same)...)
		notes = append(notes, f.routerNotes(m, next, same)...)
	}
	if now.Status == metav1.ConditionTrue {
		return notes, next, 0
	}
	next.reason, next.since, next.reported = now.Reason, at, !m.reconciled && was != nil && was.Reason == now.Reason
	if m.reason == now.Reason {
		next.since, next.reported = m.since, m.reported
	} else if m.reason != "" && !m.reported {
		next.since = m.since // gracePeriod does not begin again with another reason
	}
	switch left := gracePeriod - at.Sub(next.since); {
	case next.reported:
	case left > 0 && now.Reason != v1beta1.ReasonAddressConflict:
		again = left
	default:
		next.reported = true
		notes = append(notes, eventNote{corev1.EventTypeWarning, now.Reason, now.Message})
	}
	return notes, next, again
}

// firstConditionWait returns how long to wait before the first condition of a Service reports that no
// node announces its address; zero: it can be written now. Each write of a Service is work for the
// speakers and proxies of all nodes, which are about to announce and program the new address.
func firstConditionWait(was *metav1.Condition, next serviceRecord, at time.Time) time.Duration {
	if was != nil || next.reason != v1beta1.ReasonNotAnnounced {
		return 0
	}
	return max(0, firstConditionDelay-at.Sub(next.since))
}

// layer2Notes returns events for a changed owner and for a foreign host.
func (f addressFacts) layer2Notes(m, next serviceRecord, same bool) (notes []eventNote) {
	if !f.isAnnounced() || f.isOccupied() {
		if before, had := m.owners[f.address]; had {
			next.owners[f.address] = before
		}
		return nil
	}
	next.owners[f.address] = f.Owner.Node
	if before := m.owners[f.address]; before != f.Owner.Node && !same {
		text := fmt.Sprintf("%s is announced by %s", f.address, f.Owner.Node)
		if before != "" {
			text = fmt.Sprintf("%s moved from %s to %s", f.address, before, f.Owner.Node)
		}
		notes = append(notes, eventNote{corev1.EventTypeNormal, v1beta1.ReasonAnnounced, text})
	}
	if f.Foreign {
		next.hosts[f.address] = f.Host.MAC
		if m.hosts[f.address] != f.Host.MAC && !same {
			notes = append(notes, eventNote{corev1.EventTypeWarning, v1beta1.ReasonAddressConflict, f.describeAnnouncers()})
		}
	}
	return notes
}

// routerNotes returns an event when the address begins to be announced by BGP. When announcing resumes
// after a gap, it returns one only if an event reported the gap.
func (f addressFacts) routerNotes(m, next serviceRecord, same bool) []eventNote {
	known := m.routed[f.address] && !m.reported
	next.routed[f.address] = known || f.routed.exists()
	if known || same || !f.routed.exists() {
		return nil
	}
	return []eventNote{{corev1.EventTypeNormal, v1beta1.ReasonAnnounced, fmt.Sprintf("%s is announced %s", f.address, f.routed)}}
}
