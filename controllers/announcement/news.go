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

// patience is how long a Service may be without announcement before that is an
// event: an address is given before any node announces it, and pods start after
// their Service.
const patience = 2 * time.Second

// quiet is how long it is not said of a new address that nobody announces it: as long as
// it takes until all speakers have reported and what they say is collected, so that it is
// said once who does.
const quiet = 2 * collect

// memory is what was told of a Service. The zero value is that of one which was
// never looked at.
type memory struct {
	looked bool
	// owners are the last ones of its addresses, also when there is none now.
	owners map[netip.Addr]lb.NodeName
	// routers are who announces its addresses to routers.
	routers map[netip.Addr]told
	// routed are the addresses of which an event has told that they are announced to
	// routers, also when they are not now.
	routed map[netip.Addr]bool
	// hosts are the MACs of foreign hosts that use what is announced.
	hosts map[netip.Addr]string
	// reason why it is not announced, since when, and whether an event has told so.
	reason string
	since  time.Time
	told   bool
}

// note is an event to send.
type note struct{ kind, reason, text string }

// news compares what was told of a Service with how it stands at that time, and
// returns what to tell, what is told then, and when to look again, zero for never.
// What another controller told before this one stands in the condition was, nil
// if there was none.
func news(m memory, was *metav1.Condition, now metav1.Condition, list []facts, at time.Time) (notes []note, next memory, again time.Duration) {
	same := !m.looked && was != nil && was.Reason == now.Reason && was.Message == now.Message
	next = memory{looked: true, owners: map[netip.Addr]lb.NodeName{}, hosts: map[netip.Addr]string{}, routed: map[netip.Addr]bool{}}
	for _, f := range list {
		notes = append(notes, f.news(m, next, same)...)
		notes = append(notes, f.newsOfRouters(m, next, same)...)
	}
	if now.Status == metav1.ConditionTrue {
		return notes, next, 0
	}
	next.reason, next.since, next.told = now.Reason, at, !m.looked && was != nil && was.Reason == now.Reason
	if m.reason == now.Reason {
		next.since, next.told = m.since, m.told
	} else if m.reason != "" && !m.told {
		next.since = m.since // another reason is no reason to wait again
	}
	switch left := patience - at.Sub(next.since); {
	case next.told:
	case left > 0 && now.Reason != v1beta1.ReasonAddressConflict:
		again = left
	default:
		next.told = true
		notes = append(notes, note{corev1.EventTypeWarning, now.Reason, now.Message})
	}
	return notes, next, again
}

// early returns how much later the condition of a Service, of which nothing was said yet,
// should say that nobody announces it; zero: now. Its address has come a moment ago: what
// is written then has all who watch Services busy while they announce and program it.
func early(was *metav1.Condition, next memory, at time.Time) time.Duration {
	if was != nil || next.reason != v1beta1.ReasonNotAnnounced {
		return 0
	}
	return max(0, quiet-at.Sub(next.since))
}

// news tells of an owner that is another one than before, and of a foreign host.
func (f facts) news(m, next memory, same bool) (notes []note) {
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
			notes = append(notes, note{corev1.EventTypeWarning, v1beta1.ReasonAddressConflict, f.says()})
		}
	}
	return notes
}

// newsOfRouters tells that the address is announced to routers, which it was not
// before. A gap is no news, unless it was told.
func (f facts) newsOfRouters(m, next memory, same bool) []note {
	known := m.routed[f.address] && !m.told
	next.routed[f.address] = known || f.routed.is()
	if known || same || !f.routed.is() {
		return nil
	}
	return []note{{corev1.EventTypeNormal, v1beta1.ReasonAnnounced, fmt.Sprintf("%s is announced %s", f.address, f.routed)}}
}
