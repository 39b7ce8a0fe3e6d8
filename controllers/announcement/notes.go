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

// gracePeriod is how long a Service must lack an announcement before an event reports that. Without the wait,
// most new Services would cause such an event: a Service gets its address before any node announces it, and
// pods start after their Service.
const gracePeriod = 2 * time.Second

// firstConditionDelay is how long the first condition of a Service waits while no node announces its new
// address. Within that time a speaker usually announces and reports the address, so that the condition is
// written once.
const firstConditionDelay = 2 * routeDelay

// serviceRecord is what the condition and the events of a Service have reported. The zero value stands for a
// Service that was not reconciled before.
type serviceRecord struct {
	reconciled bool
	// owners has the last known owner of each address. The entry stays when the address loses its owner.
	owners map[netip.Addr]lb.NodeName
	// routers are the nodes and routers that the condition names; see addMissing.
	routers map[netip.Addr]namedAnnouncers
	// routed are the addresses for which an event has reported an announcement by BGP. An address stays
	// here when that announcement ends.
	routed map[netip.Addr]bool
	// hosts has the MAC addresses of foreign hosts that use announced addresses of the Service.
	hosts map[netip.Addr]string
	// reason is why the Service is not announced; empty: it is announced.
	reason string
	// since is the time since which this reason has applied. If the reason changed before an event reported
	// it, since is the time of the first of these reasons.
	since time.Time
	// reported means that an event has reported the reason.
	reported bool
	// untrusted means that an untrusted node reports that it announces one of the addresses. The node may
	// become trusted soon: a speaker can read a new advertisement before the controller does.
	untrusted bool
}

// isWaiting reports whether the Service waits: its condition then depends on which nodes may announce its
// addresses.
func (m *serviceRecord) isWaiting() bool { return m.reason != "" || m.untrusted }

// eventNote is an event to send.
type eventNote struct{ kind, reason, text string }

// compareRecord compares the record of a Service with its present state. It returns the events to send, the
// next record, and how long to wait before the next reconcile; zero: no wait is needed. The caller sets
// routers in the next record. The parameter was is the condition that the Service has, which an earlier
// process may have written; nil: it has none.
func compareRecord(m serviceRecord, was *metav1.Condition, now metav1.Condition, list []addressFacts, at time.Time) (notes []eventNote, next serviceRecord, again time.Duration) {
	same := !m.reconciled && was != nil && was.Reason == now.Reason && was.Message == now.Message
	next = serviceRecord{reconciled: true, owners: map[netip.Addr]lb.NodeName{}, hosts: map[netip.Addr]string{}, routed: map[netip.Addr]bool{}}
	for _, f := range list {
		notes = append(notes, f.layer2Notes(m, next, same)...)
		notes = append(notes, f.bgpNotes(m, next, same)...)
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

// firstConditionWait returns how long to wait before the first condition of a Service is written; zero: it
// can be written now. Only a condition with the reason NotAnnounced waits. Each write of a Service is work
// for the speakers and proxies of all nodes, which are busy with the new address at that time.
func firstConditionWait(was *metav1.Condition, next serviceRecord, at time.Time) time.Duration {
	if was != nil || next.reason != v1beta1.ReasonNotAnnounced {
		return 0
	}
	return max(0, firstConditionDelay-at.Sub(next.since))
}

// layer2Notes returns an event for a changed owner and one for a foreign host, and records both in next.
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
			notes = append(notes, eventNote{corev1.EventTypeWarning, v1beta1.ReasonAddressConflict, f.announcersMessage()})
		}
	}
	return notes
}

// bgpNotes returns an event when the announcement of the address by BGP begins. When the announcement
// resumes after a gap, it returns an event only if an earlier event has reported the gap.
func (f addressFacts) bgpNotes(m, next serviceRecord, same bool) []eventNote {
	known := m.routed[f.address] && !m.reported
	next.routed[f.address] = known || f.routed.exists()
	if known || same || !f.routed.exists() {
		return nil
	}
	return []eventNote{{corev1.EventTypeNormal, v1beta1.ReasonAnnounced, fmt.Sprintf("%s is announced %s", f.address, f.routed)}}
}
