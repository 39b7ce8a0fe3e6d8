package cutover

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// Responder is whether a speaker of MetalLB had an NDP responder when it began to announce. The responder
// joins the multicast group of an IPv6 address only when the speaker begins to announce the address. MetalLB
// searches for interfaces every 10 s, the first time right after its start, and creates responders for new
// ones. The first search can end after the first announcement, or find no interface. The speaker then never
// receives the solicitations for addresses that it announced before (internal/layer2/announcer.go of MetalLB
// v0.16.1).
type Responder int

const (
	// ResponderUnknown: the log has neither a responder nor an announcement yet.
	ResponderUnknown Responder = iota
	// ResponderInTime: the speaker had a responder before it announced a Service.
	ResponderInTime
	// ResponderLate: the speaker announced a Service before it had a responder.
	ResponderLate
)

// ResponderInLog finds the state of the NDP responder in the beginning of the log of a speaker of MetalLB. The log has one JSON
// object per line; other lines are ignored. The speaker must log messages of the level info.
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

// ShowsIPv6 reports whether a Service that MetalLB serves has an IPv6 address in its status.
func (c *Cluster) ShowsIPv6() bool {
	return slices.ContainsFunc(c.shownServices(c.servedClass()), func(s serviceAddresses) bool {
		return slices.ContainsFunc(s.addresses, func(address string) bool {
			ip, err := apiconv.ParseAddress(address)
			return err == nil && ip.Is6()
		})
	})
}

// MissingPodMessage returns a phrase about a pod of MetalLB's speakers that is still being deleted. If there
// is none, it returns a phrase with the number of nodes that have no pod yet. The phrase is empty if each
// node has a pod and none is being deleted. A pod that is being deleted on a node that does not report is
// ignored.
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
