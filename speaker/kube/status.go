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
	// maxNamedItems is how many items of a kind a sentence names at most.
	maxNamedItems = 3
)

// desiredStatus returns the status for a report. It has the conditions of state, with a new Ready condition.
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

// setStopped sets the phase and the Ready condition of a speaker that has ended. The transition time of
// Ready is then the time of the end, even if Ready was False before for another reason.
func setStopped(s *v1beta1.SpeakerStateStatus) {
	s.Phase = v1beta1.SpeakerStopped
	if c := meta.FindStatusCondition(s.Conditions, v1beta1.ConditionReady); c != nil && c.Reason != v1beta1.ReasonStopped {
		meta.RemoveStatusCondition(&s.Conditions, v1beta1.ConditionReady)
	}
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonStopped,
		Message: "the speaker was stopped; its last status stays until the next speaker on this node has started: if none starts soon, look at the pod of the speaker on this node",
	})
}

// apiPhase returns a phase of the engine in the form of the API. It is empty for an unknown phase, with
// which the API server would refuse the whole status.
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

// readyCondition returns the Ready condition. The condition names only the first problem in this order:
// the speaker is isolated, in a minority, or has conceded addresses; failures that no other object shows;
// invalid objects; problems with sessions, interfaces, the mesh and other hosts. Without a problem it is
// True.
func readyCondition(r layer2.Report, routing RoutingState, checkpoint error) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse}
	switch {
	case apiPhase(r.Phase) == v1beta1.SpeakerIsolated:
		c.Reason, c.Message = v1beta1.ReasonIsolated, bounded.Message(isolatedMessage(r))
	case !r.MinoritySince.IsZero() && !r.Alone:
		c.Reason, c.Message = v1beta1.ReasonMinority, bounded.Message(minorityMessage(r))
	case r.Conceded.Count > 0:
		c.Reason, c.Message = v1beta1.ReasonAddressConceded, fmt.Sprintf("hosts answer for %d addresses that this node has or is to have; they are, or may be, nodes whose speakers this one never received from. "+
			"This node does not announce these addresses until no host answers: look at the speakers there, their version and key, and at the mesh port (UDP, spec.speaker.ports of the LoadBalancerStack)%s",
			r.Conceded.Count, inUseClause(r.Conceded))
		// Failures that no other object shows come before failures that another object shows too.
	case len(r.Unserved) > 0:
		c.Reason, c.Message = v1beta1.ReasonInterfaceFailed, bounded.Message(unservedMessage(r.Unserved))
	case checkpoint != nil:
		c.Reason, c.Message = v1beta1.ReasonCheckpointFailed, bounded.Message("the speaker cannot write its checkpoint: "+
			"a speaker that starts on this node while the API server is away announces nothing: "+termination.ExplainError(checkpoint))
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
		c.Reason, c.Message = v1beta1.ReasonDatagramsLost, eligibility.Enumerate("no datagrams arrive from", r.Lost)+
			": changes from the speakers there arrive later, through other speakers, and failures are detected less reliably: allow UDP on the mesh port (spec.speaker.ports of the LoadBalancerStack) between the nodes"
	case len(r.Covered) > 0:
		c.Reason, c.Message = v1beta1.ReasonPeerNotAnnouncing, bounded.Message(coveredMessage(r.Covered))
	case len(r.Conflicts) > 0:
		c.Reason, c.Message = v1beta1.ReasonForeignHosts, bounded.Message(foreignHostsMessage(apiConflicts(r.Conflicts)))
	case r.Standby != "":
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonStandby
		c.Message = fmt.Sprintf("the node %s, so the speaker takes no address, and announces its addresses until other nodes announce them", r.Standby)
	case !r.MinoritySince.IsZero():
		c.Status, c.Reason = metav1.ConditionTrue, v1beta1.ReasonMinority
		c.Message = fmt.Sprintf("the speaker receives from %d of %d speakers that should be there, %s, whose nodes are not ready: "+
			"it announces what it has, and takes an address only when no host answers for it%s: bring the nodes back, or delete those Nodes that do not come back",
			r.Live, r.Live+len(r.Missing), eligibility.Enumerate("and not from", r.Missing), silentClause(r.Silent))
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
	return fmt.Sprintf("no announcement arrives from %d nodes whose speakers run again and have addresses: %s. This speaker answers for these addresses with the hardware addresses of the nodes, "+
		"so that traffic still goes there: look at the speakers there, and at what drops their ARP and NDP frames", len(list), strings.Join(nodes, ", "))
}

// isolatedMessage returns a sentence about an isolated speaker: why it announces nothing.
func isolatedMessage(r layer2.Report) string {
	if len(r.Unreached) > 0 {
		return eligibility.Enumerate("nothing that the speaker sends arrives at", r.Unreached) + ", from which it receives. It announces nothing, since these nodes take over its addresses: " +
			"look at what drops UDP that the node sends to the mesh port (spec.speaker.ports of the LoadBalancerStack)"
	}
	return fmt.Sprintf("the speaker receives %s, and no answer from any host on the links of its addresses. It announces nothing until a host there answers or asks for one of its addresses, since other nodes may have them: "+
		"look at the network of the node", eligibility.Enumerate("nothing from", r.Missing))
}

// minorityMessage returns a sentence about a speaker in a minority: what it announces, and why.
func minorityMessage(r layer2.Report) string {
	what := "it announces what it has, and takes an address only when no host answers for it"
	if r.Partitioned {
		what = "it announces only addresses that none of the missing speakers may announce, since these form a larger group"
	}
	what += silentClause(r.Silent)
	return fmt.Sprintf("the speaker receives from %d of %d speakers that should be there, %s: %s%s: "+
		"look at these nodes, and at the mesh port there (UDP, spec.speaker.ports of the LoadBalancerStack)", r.Live, r.Live+len(r.Missing), eligibility.Enumerate("and not from", r.Missing), what, inUseClause(r.InUse))
}

// silentClause returns the end of a clause: it names links on which nothing is announced in a minority.
func silentClause(links []string) string {
	if len(links) == 0 {
		return ""
	}
	return fmt.Sprintf("; on %s, where no host answers, it announces nothing until a host asks for an address", strings.Join(links[:min(len(links), maxNamedItems)], ", "))
}

// inUseClause returns the end of a sentence: it names addresses that are not taken, since hosts answer
// for them.
func inUseClause(u layer2.UsedAddresses) string {
	if u.Count == 0 {
		return ""
	}
	parts := make([]string, 0, len(u.First))
	for _, use := range u.First {
		host := use.Hardware.String()
		if use.Node != "" {
			host += " of the node " + string(use.Node)
		}
		parts = append(parts, fmt.Sprintf("%s (%s on %s)", use.Address, host, use.Interface))
	}
	if more := u.Count - len(u.First); more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return "; hosts answer for " + strings.Join(parts, ", ")
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
	return fmt.Sprintf("the speaker cannot announce %s. It tries again every few seconds, and other nodes have the addresses meanwhile: check whether its container may open raw sockets (NET_RAW), and check the interface",
		strings.Join(parts, ", "))
}

func foreignHostsMessage(list []v1beta1.SpeakerConflict) string {
	parts := make([]string, 0, maxNamedItems)
	for _, c := range list[:min(len(list), maxNamedItems)] {
		announced := "not announced"
		if c.Announced {
			announced = "announced all the same"
		}
		host := c.HardwareAddress
		if c.HostNode != "" {
			host = fmt.Sprintf("the kernel of the node %s (%s)", c.HostNode, c.HardwareAddress)
		}
		parts = append(parts, fmt.Sprintf("%s by %s on %s (%s)", c.Address, host, c.Interface, announced))
	}
	more := ""
	if n := len(list) - len(parts); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("other hosts use addresses that this node owns: %s%s; if another load balancer, such as MetalLB, announces them from nodes, turn that off; otherwise give these hosts other addresses, or exclude the addresses in the pool; if kube-proxy has added them to interfaces of nodes, set ipvs.strictARP of kube-proxy",
		strings.Join(parts, ", "), more)
}
