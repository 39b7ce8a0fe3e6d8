package kube

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/termination"
	"github.com/lbstack/lbstack/internal/version"
	"github.com/lbstack/lbstack/speaker/layer2"
)

const (
	// maxListedAddresses bounds status.addresses.
	maxListedAddresses = 5000
	// maxInterfacesPerAddress bounds the interfaces of each address in status.addresses.
	maxInterfacesPerAddress = 32
	// maxListedInterfaces bounds status.interfaces.
	maxListedInterfaces = 256
	// maxSubnetsPerInterface bounds the subnets of each interface in status.interfaces.
	maxSubnetsPerInterface = 32
	// maxConflicts bounds status.conflicts.
	maxConflicts = 256
	// maxMissingSpeakers bounds status.missingSpeakers.
	maxMissingSpeakers = 256
	// maxCoveredNodes bounds status.coveredNodes.
	maxCoveredNodes = 64
	// maxNamedItems is how many names or addresses a message lists at most.
	maxNamedItems = 3
)

// desiredStatus returns the status for a report of the engine. Its conditions are those of the given state,
// with a new Ready condition.
func desiredStatus(state *v1beta1.SpeakerState, r layer2.Report, routing RoutingState, checkpoint error) v1beta1.SpeakerStateStatus {
	next := v1beta1.SpeakerStateStatus{
		Version:      version.Version,
		Conditions:   state.DeepCopy().Status.Conditions,
		Phase:        apiPhase(r.Phase),
		LiveSpeakers: int32(r.Live),
		AddressCount: int32(len(r.Owned)),
		Conflicts:    apiConflicts(r.Conflicts),
	}
	if !r.MinoritySince.IsZero() {
		since := truncateToSecond(r.MinoritySince)
		next.MinoritySince = &since
	}
	for _, node := range r.Missing[:min(len(r.Missing), maxMissingSpeakers)] {
		next.MissingSpeakers = append(next.MissingSpeakers, v1beta1.NodeName(node))
	}
	for _, c := range r.Covered[:min(len(r.Covered), maxCoveredNodes)] {
		next.CoveredNodes = append(next.CoveredNodes, v1beta1.CoveredNode{
			Name: v1beta1.NodeName(c.Node), AddressCount: int32(c.Count), Address: c.First.String(), Since: truncateToSecond(c.Since),
		})
	}
	for _, link := range r.Links[:min(len(r.Links), maxListedInterfaces)] {
		next.Interfaces = append(next.Interfaces, apiInterface(link))
	}
	for _, o := range r.Owned[:min(len(r.Owned), maxListedAddresses)] {
		address := v1beta1.SpeakerAddress{Address: o.Address.String(), Since: truncateToSecond(o.Since), Epoch: int64(min(o.Epoch, math.MaxInt64))}
		for _, name := range o.Interfaces[:min(len(o.Interfaces), maxInterfacesPerAddress)] {
			address.Interfaces = append(address.Interfaces, v1beta1.InterfaceName(name))
		}
		next.Addresses = append(next.Addresses, address)
	}
	routing.fillStatus(&next)
	meta.SetStatusCondition(&next.Conditions, readyCondition(r, routing, checkpoint))
	return next
}

func apiInterface(link layer2.Link) v1beta1.SpeakerInterface {
	i := v1beta1.SpeakerInterface{Name: v1beta1.InterfaceName(link.Name), HardwareAddress: link.Hardware.String(), MTU: int32(min(max(link.MTU, 0), math.MaxInt32))}
	if link.IPv4 {
		i.Families = append(i.Families, lb.IPv4.String())
	}
	if link.LinkLocal.IsValid() {
		i.Families = append(i.Families, lb.IPv6.String())
	}
	for _, subnet := range link.Prefixes[:min(len(link.Prefixes), maxSubnetsPerInterface)] {
		i.Subnets = append(i.Subnets, subnet.String())
	}
	for _, address := range link.Addresses {
		i.Addresses = append(i.Addresses, address.String())
	}
	return i
}

// setStopped sets the phase and the Ready condition of a speaker that ends. The transition time of Ready is
// then the time of the end, even if Ready was already False for another reason.
func setStopped(s *v1beta1.SpeakerStateStatus) {
	s.Phase = v1beta1.SpeakerStopped
	if c := meta.FindStatusCondition(s.Conditions, v1beta1.ConditionReady); c != nil && c.Reason != v1beta1.ReasonStopped {
		meta.RemoveStatusCondition(&s.Conditions, v1beta1.ConditionReady)
	}
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonStopped,
		Message: "the speaker was stopped, and its last status stays until the next speaker on this node has started: if no speaker starts soon, check the speaker's pod on this node",
	})
}

// apiPhase returns a phase of the engine in the form of the API. The result is empty for an unknown phase:
// with such a phase, the API server would refuse the whole status.
func apiPhase(name string) v1beta1.SpeakerPhase {
	switch p := v1beta1.SpeakerPhase(name); p {
	case v1beta1.SpeakerActive, v1beta1.SpeakerDraining, v1beta1.SpeakerIsolated:
		return p
	}
	return ""
}

// apiConflicts returns each address once, with one of the hosts that use it.
func apiConflicts(list []layer2.Conflict) []v1beta1.SpeakerConflict {
	var reported []v1beta1.SpeakerConflict
	seen := map[netip.Addr]bool{}
	for _, c := range list {
		if seen[c.Address] || len(reported) == maxConflicts {
			continue
		}
		seen[c.Address] = true
		reported = append(reported, v1beta1.SpeakerConflict{
			Address: c.Address.String(), Interface: v1beta1.InterfaceName(c.Interface), HardwareAddress: c.Hardware.String(),
			HostNode: v1beta1.NodeName(c.Node), Announced: c.Announced, Since: truncateToSecond(c.Since),
		})
	}
	return reported
}

// truncateToSecond returns a time without the fractions of a second, which the API server would drop.
func truncateToSecond(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }

// readyCondition returns the Ready condition. If there are several problems, the condition reports only the
// first one in this order: the speaker is isolated, is in a minority, or has conceded addresses; failures
// that no other object shows; invalid objects; problems with sessions, interfaces, the mesh and other hosts.
// If there is no problem, the condition is True.
func readyCondition(r layer2.Report, routing RoutingState, checkpoint error) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse}
	switch {
	case apiPhase(r.Phase) == v1beta1.SpeakerIsolated:
		c.Reason, c.Message = v1beta1.ReasonIsolated, bounded.Message(isolatedMessage(r))
	case !r.MinoritySince.IsZero() && !r.Alone:
		c.Reason, c.Message = v1beta1.ReasonMinority, bounded.Message(minorityMessage(r))
	case r.Conceded.Count > 0:
		c.Reason, c.Message = v1beta1.ReasonAddressConceded, fmt.Sprintf("this node does not announce %d addresses, since other hosts answer for them: %s. Each of these hosts is, or may be, a node whose speaker has never sent a message to this speaker. "+
			"This node announces an address again when no other host answers for it: check the version and the mesh key of the speakers on the other nodes, and allow UDP on the mesh port (spec.speaker.ports of the LoadBalancerStack) between the nodes",
			r.Conceded.Count, usesText(r.Conceded))
		// Failures that no other object shows come before failures that another object shows too.
	case len(r.Unserved) > 0:
		c.Reason, c.Message = v1beta1.ReasonInterfaceFailed, bounded.Message(unservedMessage(r.Unserved))
	case checkpoint != nil:
		c.Reason, c.Message = v1beta1.ReasonCheckpointFailed, bounded.Message("the speaker cannot write its checkpoint: "+
			"a speaker that starts on this node while the API server does not answer announces nothing: "+termination.ExplainError(checkpoint))
	case len(r.Problems) > 0:
		c.Reason, c.Message = v1beta1.ReasonInvalidAdvertisement, bounded.Message(strings.Join(r.Problems, "; "))
	case len(routing.Problems) > 0:
		c.Reason, c.Message = v1beta1.ReasonInvalidPeer, bounded.Message(strings.Join(routing.Problems, "; "))
	case routing.Refused.Count > 0:
		c.Reason, c.Message = v1beta1.ReasonAddressRefused, bounded.Message(routing.Refused.String())
	case len(routing.flappingMessages()) > 0:
		c.Reason, c.Message = v1beta1.ReasonFlapping, bounded.Message(strings.Join(routing.flappingMessages(), "; "))
	case len(routing.downMessages(time.Now())) > 0:
		c.Reason, c.Message = v1beta1.ReasonPeersDown, bounded.Message(strings.Join(routing.downMessages(time.Now()), "; "))
	case len(r.Links) == 0:
		c.Reason, c.Message = v1beta1.ReasonNoInterface, "the node has no Ethernet interface that is up and has an address, so the speaker can announce nothing on the local network"
	case len(r.Lost) > 0:
		c.Reason, c.Message = v1beta1.ReasonDatagramsLost, eligibility.Enumerate("no datagrams arrive from the speakers on", r.Lost)+
			": changes from these speakers arrive later, through other speakers, and failures are detected less reliably: allow UDP on the mesh port (spec.speaker.ports of the LoadBalancerStack) between the nodes"
	case len(r.Covered) > 0:
		c.Reason, c.Message = v1beta1.ReasonPeerNotAnnouncing, bounded.Message(coveredMessage(r.Covered))
	case len(r.Conflicts) > 0:
		c.Reason, c.Message = v1beta1.ReasonForeignHosts, bounded.Message(foreignHostsMessage(apiConflicts(r.Conflicts)))
	case r.Standby != "":
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonStandby
		c.Message = fmt.Sprintf("the node %s, so the speaker takes no further address, and announces each of its addresses until another node announces that address", r.Standby)
	case !r.MinoritySince.IsZero():
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonMinority
		c.Message = fmt.Sprintf("%s, whose Nodes are not ready. %s%s: repair the nodes, or delete the Nodes that will not return",
			missingClause(r), minorityRule, silentSentence(r.Silent))
	case r.Unselected && len(routing.Sessions) == 0:
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonNotSelected
		c.Message = "no L2Advertisement selects the node (spec.nodeSelectors), and the node has no BGPPeer, so the speaker announces nothing"
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonAnnouncing
		c.Message = "the speaker announces all addresses that this node owns"
	}
	return c
}

// coveredMessage returns a sentence about nodes that do not announce their addresses.
func coveredMessage(list []layer2.CoveredNode) string {
	var nodes []string
	for _, c := range list[:min(len(list), maxNamedItems)] {
		nodes = append(nodes, fmt.Sprintf("%s (%d addresses, the first is %s)", c.Node, c.Count, c.First))
	}
	if more := len(list) - len(nodes); more > 0 {
		nodes = append(nodes, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("since a speaker restarted, no announcements arrive for addresses that other nodes own: %s. This speaker answers ARP and NDP requests for these addresses on behalf of the owners, "+
		"so that traffic still reaches them: check the speakers on these nodes, and find out what drops their ARP and NDP frames", strings.Join(nodes, ", "))
}

// isolatedMessage returns a sentence about an isolated speaker: why it announces nothing.
func isolatedMessage(r layer2.Report) string {
	if len(r.Unreached) > 0 {
		return eligibility.Enumerate("nothing that the speaker sends arrives at", r.Unreached) + ", although messages from these nodes arrive here. The speaker announces nothing, since these nodes take over its addresses: " +
			"find out what drops the UDP datagrams that this node sends to the mesh port (spec.speaker.ports of the LoadBalancerStack)"
	}
	return fmt.Sprintf("the speaker receives %s, and no host answers on the interfaces on which it announces addresses. Other nodes may announce its addresses now, so it announces nothing until a host on such an interface answers or requests one of its addresses: "+
		"check the network connection of this node", eligibility.Enumerate("nothing from the speakers on", r.Missing))
}

// missingClause returns the first part of a sentence about a speaker in a minority. This part ends with the
// names of nodes.
func missingClause(r layer2.Report) string {
	return fmt.Sprintf("this speaker receives nothing from %d of the %d speakers that should run: %s",
		len(r.Missing), r.Live+len(r.Missing), eligibility.Enumerate("the speakers on", r.Missing))
}

// minorityRule is a sentence about what a speaker in a minority announces.
const minorityRule = "It goes on announcing its addresses, and takes over an address only if no host answers for it"

// minorityMessage returns a sentence about a speaker in a minority: what it announces, and why.
func minorityMessage(r layer2.Report) string {
	what := minorityRule
	if r.Partitioned {
		what = "It announces only addresses that none of the missing speakers may announce, since the missing speakers form a larger group"
	}
	what += silentSentence(r.Silent)
	if r.InUse.Count > 0 {
		what += ". Other hosts answer for " + usesText(r.InUse)
	}
	return fmt.Sprintf("%s. %s: check these nodes, and allow UDP on the mesh port (spec.speaker.ports of the LoadBalancerStack) between the nodes", missingClause(r), what)
}

// silentSentence returns a sentence, with a full stop before it, about the links on which a speaker in a
// minority announces nothing. The result is empty if there is no such link.
func silentSentence(links []string) string {
	if len(links) == 0 {
		return ""
	}
	return fmt.Sprintf(". On %s no host answers: the speaker announces nothing there until a host requests one of its addresses", bounded.Names(links, maxNamedItems))
}

// usesText names addresses, and the hosts that answer for them.
func usesText(u layer2.UsedAddresses) string {
	parts := make([]string, 0, len(u.First)+1)
	for _, use := range u.First {
		host := use.Hardware.String()
		if use.Node != "" {
			host += " of the node " + string(use.Node)
		}
		parts = append(parts, fmt.Sprintf("%s (%s, on the interface %s)", use.Address, host, use.Interface))
	}
	if more := u.Count - len(u.First); more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}

func unservedMessage(list []layer2.UnservedLink) string {
	parts := make([]string, 0, len(list))
	for _, u := range list {
		family := "IPv4"
		if u.IPv6 {
			family = "IPv6"
		}
		parts = append(parts, fmt.Sprintf("%s on %s (%s)", family, u.Interface, u.Problem))
	}
	return fmt.Sprintf("the speaker cannot announce addresses of these families: %s. Until it can, other nodes announce the addresses: check that the container of the speaker has the capability NET_RAW, and check the interface",
		strings.Join(parts, ", "))
}

func foreignHostsMessage(list []v1beta1.SpeakerConflict) string {
	parts := make([]string, 0, maxNamedItems)
	for _, c := range list[:min(len(list), maxNamedItems)] {
		announced := "not announced"
		if c.Announced {
			announced = "announced nevertheless"
		}
		host := c.HardwareAddress
		if c.HostNode != "" {
			host = fmt.Sprintf("the kernel of the node %s (%s)", c.HostNode, c.HardwareAddress)
		}
		parts = append(parts, fmt.Sprintf("%s (used by %s on %s; %s)", c.Address, host, c.Interface, announced))
	}
	more := ""
	if n := len(list) - len(parts); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("other hosts use addresses that this node owns: %s%s: if another load balancer, such as MetalLB, announces the addresses from nodes, turn that load balancer off; otherwise give these hosts other addresses, or exclude the addresses in the pool. If kube-proxy has added the addresses to interfaces of nodes, set ipvs.strictARP of kube-proxy",
		strings.Join(parts, ", "), more)
}
