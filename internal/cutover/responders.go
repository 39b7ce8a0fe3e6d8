package cutover

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// Responder is whether a speaker of MetalLB had an NDP responder when it began to announce. The responder joins the multicast group
// of an IPv6 address only when the speaker begins to announce the address. MetalLB creates responders every 10 s, for the
// interfaces that it finds then, the first time right after its start. If that first search takes longer than the rest of the
// start, or finds no interface, the speaker never receives the solicitations for the addresses that it announces already
// (internal/layer2/announcer.go of MetalLB v0.16.1).
type Responder int

const (
	// ResponderUnknown: the log has neither a responder nor an announcement yet.
	ResponderUnknown Responder = iota
	// ResponderInTime: the speaker had a responder before it announced a Service.
	ResponderInTime
	// ResponderLate: the speaker announced a Service before it had a responder.
	ResponderLate
)

// ResponderInLog finds the state of the NDP responder in the beginning of the log of a speaker of MetalLB: one JSON object per
// line, with the level info or lower. It ignores other lines.
func ResponderInLog(log []byte) Responder {
	for line := range bytes.Lines(log) {
		var entry struct {
			Event string `json:"event"`
		}
		if json.Unmarshal(line, &entry) != nil {
			continue
		}
		switch entry.Event {
		case "createNDPResponder":
			return ResponderInTime
		case "serviceAnnounced":
			return ResponderLate
		}
	}
	return ResponderUnknown
}

// ShowsIPv6 reports whether a Service shows an IPv6 address.
func (c *Cluster) ShowsIPv6() bool {
	return slices.ContainsFunc(c.shownServices(c.servedClass()), func(s serviceAddresses) bool {
		return slices.ContainsFunc(s.addresses, func(address string) bool {
			ip, err := apiconv.ParseAddress(address)
			return err == nil && ip.Is6()
		})
	})
}

// MissingPodMessage returns a pod of MetalLB's speakers that is being deleted, or how many nodes have no pod yet, as a phrase; empty
// if all nodes have one. A deleted pod on a node that does not report is ignored.
func (c *Cluster) MissingPodMessage(set *appsv1.DaemonSet) string {
	for _, pod := range c.Pods {
		if pod.DeletionTimestamp != nil && !c.doesNotReport(pod.Spec.NodeName) {
			return fmt.Sprintf("Pod %s of MetalLB still runs on node %s", pod.Name, pod.Spec.NodeName)
		}
	}
	if missing := int(set.Status.DesiredNumberScheduled) - len(c.Pods); missing > 0 {
		return fmt.Sprintf("%d nodes have no pod of the DaemonSet %s/%s yet", missing, set.Namespace, set.Name)
	}
	return ""
}
