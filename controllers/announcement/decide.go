package announcement

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// addressFacts has the facts about an address that a Service holds.
type addressFacts struct {
	AddressReport
	address netip.Addr
	// routed is how nodes announce the address by BGP, without the nodes that are down.
	routed bgpAnnouncement
	// ownerDown means that the Node of the owner is not ready or does not exist, or that the owner's speaker
	// is silent, see Reports.IsSilent.
	ownerDown bool
	// plan has the nodes that may announce the address. It is set only if no node announces it, the
	// owner is down, or onStandby is set.
	plan eligibility.Result
	// invalid has a sentence for each invalid advertisement.
	invalid []string
	// unavailable has, for each candidate that announces no address now, the reason. In a sentence the
	// reason follows the name of the node.
	unavailable map[lb.NodeName]string
	// unable has, for each candidate that has no interface for this address, what is missing. In a
	// sentence that text follows the name of the node.
	unable map[lb.NodeName]string
	// onStandby means that the owner accepts no more addresses, and announces this address only while no
	// other node can.
	onStandby bool
	// noSpeaker means that no speaker reports that it runs.
	noSpeaker bool
	// router has the facts about announcing the address by BGP. It is set together with plan.
	router bgpFacts
}

// addressResult is whether an address is announced.
type addressResult struct {
	// reason is ReasonAnnounced, or the reason why no node announces the address.
	reason string
	// message is the sentence about the address in the condition.
	message string
}

// reasonsByUrgency orders the reasons why an address is not announced: an address with a later reason is
// closer to being announced. The condition of a Service has the earliest reason of its addresses. An
// address can lack an announcement on the local network for one reason, and by BGP for another: it then has
// the later of the two, see bgpFacts.joinReasons.
var reasonsByUrgency = []string{
	v1beta1.ReasonAddressConflict, v1beta1.ReasonAddressRefused, v1beta1.ReasonNoAdvertisement, v1beta1.ReasonNoEndpoints, v1beta1.ReasonNoNode,
	v1beta1.ReasonNoInterface, v1beta1.ReasonNotAnnounced,
}

// reasonRank returns the place of a reason in reasonsByUrgency. A reason that is not listed comes last.
func reasonRank(reason string) int {
	if i := slices.Index(reasonsByUrgency, reason); i >= 0 {
		return i
	}
	return len(reasonsByUrgency)
}

// announcedCondition returns the condition Announced of a Service with these addresses.
func announcedCondition(svc *corev1.Service, list []addressFacts) metav1.Condition {
	c := metav1.Condition{
		Type: v1beta1.ServiceAnnounced, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonAnnounced, ObservedGeneration: svc.Generation,
	}
	var sentences []string
	for _, f := range list {
		v := f.result()
		sentences = append(sentences, v.message)
		if v.reason != v1beta1.ReasonAnnounced && (c.Status == metav1.ConditionTrue || reasonRank(v.reason) < reasonRank(c.Reason)) {
			c.Status, c.Reason = metav1.ConditionFalse, v.reason
		}
	}
	c.Message = bounded.Message(strings.Join(sentences, "; "))
	return c
}

func (f addressFacts) result() addressResult {
	switch {
	case f.isOccupied() && !f.routed.exists():
		return addressResult{v1beta1.ReasonAddressConflict, fmt.Sprintf("%s is not announced because %s uses the address: %s, or have the Service request another address", f.address, f.Host.Describe(false), f.Host.Remedy())}
	case f.isAnnounced() || f.routed.exists():
		return addressResult{v1beta1.ReasonAnnounced, f.announcersMessage()}
	case f.isRefused():
		return addressResult{v1beta1.ReasonAddressRefused, fmt.Sprintf("%s is not announced: %s, and no node has announced it before: add the address to the pool, or have the IPAddressClaim of the address deleted", f.address, f.plan.Refused)}
	}
	return f.router.joinReasons(f.address, f.whyNotAtLayer2())
}

// isRefused reports whether no node announces the address because of a rule about addresses, such as that the
// pool must list the address; see eligibility.Result. An address that has an owner is not refused.
func (f addressFacts) isRefused() bool {
	return f.plan.Refused != "" && !f.Owned && (f.plan.Reason == "" || f.router.plan.Reason == "" && len(f.router.plan.Announcers) > 0)
}

// isOccupied reports whether the address is not announced on the local network because a foreign host
// uses it.
func (f addressFacts) isOccupied() bool { return f.Foreign && !f.Host.InUse }

// whyNotAtLayer2 returns why no node announces the address on the local network.
func (f addressFacts) whyNotAtLayer2() addressResult {
	switch {
	case f.isWithheld():
		return addressResult{v1beta1.ReasonNotAnnounced, fmt.Sprintf("%s is not announced: the node %s owns the address and announces it on no interface now: see the condition Ready of the SpeakerState %s",
			f.address, f.Owner.Node, f.Owner.Node)}
	case f.Owned:
		others := "no other node may announce it now"
		if f.plan.Reason == "" {
			others = "none of the nodes that may announce it can do so now: " + f.candidateNames()
		}
		return addressResult{v1beta1.ReasonNotAnnounced, fmt.Sprintf("%s is not announced: the node %s, which owns the address, is not ready, or its speaker does not run; %s; bring the node and its speaker back, or permit other nodes to announce the address", f.address, f.Owner.Node, others)}
	case f.plan.Reason != "":
		return addressResult{string(f.plan.Reason), f.whyNoNodeMay()}
	case len(f.unable) > 0 && len(f.unable) == len(f.plan.Candidates):
		return addressResult{v1beta1.ReasonNoInterface, fmt.Sprintf(
			"%s is not announced: none of the nodes that may announce it has an interface for it: %s; change spec.interfaces or spec.requireSubnet of the L2Advertisement, or the addresses of the nodes",
			f.address, f.candidateNames())}
	}
	return addressResult{v1beta1.ReasonNotAnnounced, f.candidatesMessage()}
}

// isWithheld reports whether the owner is up and announces the address on no interface.
func (f addressFacts) isWithheld() bool {
	return f.Owned && !f.ownerDown && len(f.Owner.Interfaces) == 0
}

// isAnnounced reports whether the address is announced on the local network. An owner that is down still
// counts as announcing the address while another node could take the address over but does not do so.
// Speakers detect a dead owner sooner than the API server does, so the owner probably still runs.
func (f addressFacts) isAnnounced() bool {
	if !f.Owned || !f.ownerDown {
		return f.Owned && !f.isWithheld()
	}
	for _, c := range f.plan.Candidates {
		if f.unavailable[c.Node] == "" && f.unable[c.Node] == "" && c.Node != f.Owner.Node {
			return true
		}
	}
	return false
}

// announcersMessage returns the sentence that names the nodes which announce the address.
func (f addressFacts) announcersMessage() string {
	var ways []string
	if f.isAnnounced() && !f.isOccupied() {
		where := ""
		if len(f.Owner.Interfaces) > 0 {
			where = " on " + strings.Join(f.Owner.Interfaces, " and ")
		}
		ways = append(ways, fmt.Sprintf("by %s%s since %s", f.Owner.Node, where, f.Owner.Since.UTC().Format(time.RFC3339)))
	}
	if f.routed.exists() {
		ways = append(ways, f.routed.String())
	}
	s := fmt.Sprintf("%s is announced %s", f.address, strings.Join(ways, ", and "))
	if f.onStandby && f.isAnnounced() {
		s += f.whyOwnerStays()
	}
	if f.Unreachable && f.isAnnounced() && !f.routed.exists() {
		s += fmt.Sprintf(", but no node has an interface in a subnet that contains the address: hosts reach the address only through a router that forwards its traffic to the node %s; give the nodes an address of such a subnet, or announce the address by BGP", f.Owner.Node)
	}
	if f.Foreign {
		s += fmt.Sprintf(", but %s uses the address as well, so that traffic can reach that host instead of the Service: %s", f.Host.Describe(false), f.Host.Remedy())
	}
	return s
}

// whyOwnerStays returns, as the end of a sentence, why an owner on standby keeps the address. It returns an
// empty string if the owner is about to lose the address.
func (f addressFacts) whyOwnerStays() string {
	switch f.plan.Reason {
	case "":
	case eligibility.NoNode:
		return ", and stays on that node, since no other node may announce the address: " + f.plan.Why
	default:
		return "" // the owner is about to withdraw the address
	}
	for _, c := range f.plan.Candidates {
		if c.Node != f.Owner.Node && f.unavailable[c.Node] == "" && f.unable[c.Node] == "" {
			return ""
		}
	}
	return fmt.Sprintf(", and stays on that node (%s), since no other node can announce the address: %s", f.Standby, f.candidateNames())
}

// whyNoNodeMay returns why no node may announce the address.
func (f addressFacts) whyNoNodeMay() string {
	s := fmt.Sprintf("%s is not announced: %s", f.address, f.plan.Why)
	if f.plan.Reason == eligibility.NoAdvertisement && len(f.invalid) > 0 {
		s += "; not in effect: " + strings.Join(f.invalid, "; ")
	}
	return s
}

// candidatesMessage returns the sentence for an address that no node announces although some nodes may. It
// names these nodes, and what keeps each of them from announcing the address.
func (f addressFacts) candidatesMessage() string {
	s := fmt.Sprintf("%s is not announced yet; nodes that may announce it: %s", f.address, f.candidateNames())
	switch {
	case f.noSpeaker:
		s += "; no speaker runs: look at spec.speaker.nodeSelector of the LoadBalancerStack, and at the speaker's pods"
	case len(f.unavailable) == len(f.plan.Candidates):
		s += "; look at these nodes, and at the speaker's pods"
	}
	return s
}

// maxListedNames is how many names a sentence lists. For further ones it only gives their number.
const maxListedNames = 5

// candidateNames lists the nodes that may announce the address, each with what keeps it from doing so.
func (f addressFacts) candidateNames() string {
	words := make([]string, 0, len(f.plan.Candidates))
	for _, c := range f.plan.Candidates {
		word := string(c.Node)
		if why := cmp.Or(f.unavailable[c.Node], f.unable[c.Node]); why != "" {
			word += " (" + why + ")"
		}
		words = append(words, word)
	}
	return bounded.List(words, maxListedNames, ", ")
}
