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

// addressFacts are what is known of an address that a Service holds.
type addressFacts struct {
	AddressReport
	address netip.Addr
	// routed is how nodes that are not down announce the address by BGP.
	routed bgpAnnouncement
	// ownerDown means that the owner is not ready, as its Node reports, or that the other
	// speakers receive nothing from its speaker.
	ownerDown bool
	// plan has the nodes that may announce the address. It is set only if no node announces it, the
	// owner is down, or onStandby is set.
	plan eligibility.Result
	// invalid has a sentence for each invalid advertisement.
	invalid []string
	// unavailable has the reasons why candidates cannot announce now: the words that follow their name
	// in a sentence.
	unavailable map[lb.NodeName]string
	// unable has the same for candidates without an interface to announce the address on.
	unable map[lb.NodeName]string
	// onStandby means that the owner accepts no more addresses, and announces this one only while no
	// other node can.
	onStandby bool
	// noSpeaker means that no speaker reports that it runs.
	noSpeaker bool
	// router is what is known of announcing the address by BGP. It is set with plan.
	router bgpFacts
}

// addressResult is whether an address is announced, and the sentence of the condition about it.
type addressResult struct {
	// reason is ReasonAnnounced, or why nobody announces it.
	reason  string
	message string
}

// reasonsByUrgency orders the reasons why an address is not announced: an address with a later reason is
// closer to being announced. The condition has the earliest reason of all addresses of the Service.
// An address that is announced neither on the local network nor by BGP has the later of the two
// reasons, see bgpFacts.join.
var reasonsByUrgency = []string{
	v1beta1.ReasonAddressConflict, v1beta1.ReasonAddressRefused, v1beta1.ReasonNoAdvertisement, v1beta1.ReasonNoEndpoints, v1beta1.ReasonNoNode,
	v1beta1.ReasonNoInterface, v1beta1.ReasonNotAnnounced,
}

// reasonRank returns the place of a reason in reasonsByUrgency; one that is not listed comes last.
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
		return addressResult{v1beta1.ReasonAddressConflict, fmt.Sprintf("%s is not announced since %s uses it: %s, or have the Service ask for another one", f.address, f.Host.Describe(false), f.Host.Remedy())}
	case f.isAnnounced() || f.routed.exists():
		return addressResult{v1beta1.ReasonAnnounced, f.describeAnnouncers()}
	case f.isRefused():
		return addressResult{v1beta1.ReasonAddressRefused, fmt.Sprintf("%s is not announced: %s, and it was not announced before: add it to the pool, or have the IPAddressClaim deleted", f.address, f.plan.Refused)}
	}
	return f.router.joinReasons(f.address, f.atLayer2())
}

// isRefused reports whether nodes may announce the address, but none starts to, because of the
// address itself.
func (f addressFacts) isRefused() bool {
	return f.plan.Refused != "" && !f.Owned && (f.plan.Reason == "" || f.router.plan.Reason == "" && len(f.router.plan.Announcers) > 0)
}

// isOccupied reports whether the address is not announced on the local network because a foreign host
// uses it.
func (f addressFacts) isOccupied() bool { return f.Foreign && !f.Host.InUse }

// atLayer2 returns why nobody announces the address on the local network.
func (f addressFacts) atLayer2() addressResult {
	switch {
	case f.isWithheld():
		return addressResult{v1beta1.ReasonNotAnnounced, fmt.Sprintf("%s is not announced: the node %s has it, and announces it on no interface now: the condition Ready of the SpeakerState %s says why",
			f.address, f.Owner.Node, f.Owner.Node)}
	case f.Owned:
		others := "no other node may announce it now"
		if f.plan.Reason == "" {
			others = "no node that may announce it can now: " + f.candidateNames()
		}
		return addressResult{v1beta1.ReasonNotAnnounced, fmt.Sprintf("%s was announced by %s, which is not ready or whose speaker does not run, and %s: bring the node and its speaker back, or let others announce it", f.address, f.Owner.Node, others)}
	case f.plan.Reason != "":
		return addressResult{string(f.plan.Reason), f.whyNoNodeMay()}
	case len(f.unable) > 0 && len(f.unable) == len(f.plan.Candidates):
		return addressResult{v1beta1.ReasonNoInterface, fmt.Sprintf(
			"%s is not announced: no node that may announce it has an interface for it: %s: change spec.interfaces or spec.requireSubnet of the L2Advertisement, or the addresses of the nodes",
			f.address, f.candidateNames())}
	}
	return addressResult{v1beta1.ReasonNotAnnounced, f.whyNoNodeDoes()}
}

// isWithheld reports whether the owner, which runs, does not announce the address.
func (f addressFacts) isWithheld() bool {
	return f.Owned && !f.ownerDown && len(f.Owner.Interfaces) == 0
}

// isAnnounced reports whether the address is announced on the local network. Speakers detect a dead
// owner sooner than the API server: while other nodes could take the address and do not, the owner
// counts as alive, even if its node is not ready.
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

// describeAnnouncers returns a sentence about which nodes announce the address.
func (f addressFacts) describeAnnouncers() string {
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
		s += ", but no node has an interface in a subnet of the address: hosts reach it only through a router that sends its traffic to these interfaces; give the nodes an address of the subnet, or announce it by BGP"
	}
	if f.Foreign {
		s += fmt.Sprintf(", but %s uses it as well, so that traffic can go to either: %s", f.Host.Describe(false), f.Host.Remedy())
	}
	return s
}

// whyOwnerStays returns why an owner on standby keeps the address; empty while another node is about
// to take it over.
func (f addressFacts) whyOwnerStays() string {
	switch f.plan.Reason {
	case "":
	case eligibility.NoNode:
		return ", and stays there, since no other node may announce it: " + f.plan.Why
	default:
		return "" // the owner is about to withdraw it
	}
	for _, c := range f.plan.Candidates {
		if c.Node != f.Owner.Node && f.unavailable[c.Node] == "" && f.unable[c.Node] == "" {
			return ""
		}
	}
	return fmt.Sprintf(", and stays there (%s), since no other node can: %s", f.Standby, f.candidateNames())
}

// whyNoNodeMay returns why nobody may announce the address.
func (f addressFacts) whyNoNodeMay() string {
	s := fmt.Sprintf("%s is not announced: %s", f.address, f.plan.Why)
	if f.plan.Reason == eligibility.NoAdvertisement && len(f.invalid) > 0 {
		s += "; invalid and not in effect: " + strings.Join(f.invalid, "; ")
	}
	return s
}

// whyNoNodeDoes returns which nodes may announce the address, if no node does.
func (f addressFacts) whyNoNodeDoes() string {
	s := fmt.Sprintf("%s is not announced yet; nodes that may: %s", f.address, f.candidateNames())
	switch {
	case f.noSpeaker:
		s += "; no speaker runs: look at spec.speaker.nodeSelector of the LoadBalancerStack, and at the speaker's pods"
	case len(f.unavailable) == len(f.plan.Candidates):
		s += "; look at these nodes, and at the speaker's pods"
	}
	return s
}

// maxNamed is how many nodes a sentence names; the others it counts.
const maxNamed = 5

func (f addressFacts) candidateNames() string {
	words := make([]string, 0, len(f.plan.Candidates))
	for _, c := range f.plan.Candidates {
		word := string(c.Node)
		if why := cmp.Or(f.unavailable[c.Node], f.unable[c.Node]); why != "" {
			word += " (" + why + ")"
		}
		words = append(words, word)
	}
	return bounded.List(words, maxNamed, ", ")
}
