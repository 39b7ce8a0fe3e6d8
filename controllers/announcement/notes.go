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

// gracePeriod is how long a Service may be without announcement before that is an
// event: an address is given before any node announces it, and pods start after
// their Service.
const gracePeriod = 2 * time.Second

// quiet is how long it is not reported of a new address that nobody announces it: as long as
// it takes until all speakers have reported and what they say is collected, so that it is
// reported once who does.
const quiet = 2 * collect

// memory is what was reported of a Service. The zero value is that of one which was
// never looked at.
type memory struct {
	looked bool
	// owners are the last ones of its addresses, also when there is none now.
	owners map[netip.Addr]lb.NodeName
	// routers are who announces its addresses to routers.
	routers map[netip.Addr]announcers
	// routed are the addresses of which an event has reported that they are announced to
	// routers, also when they are not now.
	routed map[netip.Addr]bool
	// hosts are the MACs of foreign hosts that use what is announced.
	hosts map[netip.Addr]string
	// reason why it is not announced, since when, and whether an event has reported it.
	reason   string
	since    time.Time
	reported bool
}

// note is an event to send.
type note struct{ kind, reason, text string }

// compare compares what was reported of a Service with its state at that time, and
// returns the events to send, the memory after that, and when to reconcile again, zero for never.
// What the controller before this one reported is in the condition was, nil
// if there was none.
func compare(m memory, was *metav1.Condition, now metav1.Condition, list []facts, at time.Time) (notes []note, next memory, again time.Duration) {
	same := !m.looked && was != nil && was.Reason == now.Reason && was.Message == now.Message
	next = memory{looked: true, owners: map[netip.Addr]lb.NodeName{}, hosts: map[netip.Addr]string{}, routed: map[netip.Addr]bool{}}
	for _, f := range list {
		notes = append(notes, f.layer2Notes(m, next, same)...)
		notes = append(notes, f.routerNotes(m, next, same)...)
	}
	if now.Status == metav1.ConditionTrue {
		return notes, next, 0
	}
	next.reason, next.since, next.reported = now.Reason, at, !m.looked && was != nil && was.Reason == now.Reason
	if m.reason == now.Reason {
		next.since, next.reported = m.since, m.reported
	} else if m.reason != "" && !m.reported {
		next.since = m.since // another reason is no reason to wait again
	}
	switch left := gracePeriod - at.Sub(next.since); {
	case next.reported:
	case left > 0 && now.Reason != v1beta1.ReasonAddressConflict:
		again = left
	default:
		next.reported = true
		notes = append(notes, note{corev1.EventTypeWarning, now.Reason, now.Message})
	}
	return notes, next, again
}

// early returns how much later the condition of a Service, of which nothing was reported yet,
// should report that nobody announces it; zero: now. Its address is new: what
// is written then has all who watch Services busy while they announce and program it.
func early(was *metav1.Condition, next memory, at time.Time) time.Duration {
	if was != nil || next.reason != v1beta1.ReasonNotAnnounced {
		return 0
	}
	return max(0, quiet-at.Sub(next.since))
}

// layer2Notes returns an event for an owner that has changed, and for a foreign host.
func (f facts) layer2Notes(m, next memory, same bool) (notes []note) {
	if !f.announced() || f.occupied() {
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
		notes = append(notes, note{corev1.EventTypeNormal, v1beta1.ReasonAnnounced, text})
	}
	if f.Foreign {
		next.hosts[f.address] = f.Host.MAC
		if m.hosts[f.address] != f.Host.MAC && !same {
			notes = append(notes, note{corev1.EventTypeWarning, v1beta1.ReasonAddressConflict, f.describe()})
		}
	}
	return notes
}

// routerNotes returns an event that the address is announced to routers, which it was not
// before. A gap is not reported, unless an event reported that nobody announced it.
func (f facts) routerNotes(m, next memory, same bool) []note {
	known := m.routed[f.address] && !m.reported
	next.routed[f.address] = known || f.routed.is()
	if known || same || !f.routed.is() {
		return nil
	}
	return []note{{corev1.EventTypeNormal, v1beta1.ReasonAnnounced, fmt.Sprintf("%s is announced %s", f.address, f.routed)}}
}
