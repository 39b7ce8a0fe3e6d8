package cutover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// Functions of this file that return a string return what a step still waits for, as a phrase. The string is empty if the step is done.

// UnpreparedReason returns what is missing before nodes can switch to lbstack. The stack must be Ready,
// unless the only reasons are Services that it does not announce yet, or pools with addresses that other
// hosts use. Each address in the status of a Service must have a claim for the Service. Each of the nodes
// must have a speaker that receives messages from all other speakers.
func (c *Cluster) UnpreparedReason(stack *v1beta1.LoadBalancerStack, nodes []Node) string {
	ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
	switch {
	case ready == nil || ready.ObservedGeneration < stack.Generation:
		return "the operator has not processed the current spec of LoadBalancerStack default yet: if this lasts, look at the pods of the operator"
	case ready.Status != metav1.ConditionTrue && ready.Reason != v1beta1.ReasonServicesNotAnnounced && (ready.Reason != v1beta1.ReasonPoolNotReady || !c.poolsLackOnlyHosts()):
		return fmt.Sprintf("LoadBalancerStack default is not Ready (%s): %s", ready.Reason, ready.Message)
	}
	for _, svc := range c.shownServices(stack.Spec.LoadBalancerClass) {
		for _, address := range svc.addresses {
			if !c.isClaimed(svc.name, address) {
				return fmt.Sprintf("Service %s has %s in its status, but no IPAddressClaim of this address names the Service: kubectl lbstack why %s shows the reason", svc.name, address, svc.name)
			}
		}
	}
	for _, node := range nodes {
		state := c.stateOf(node.Name)
		if state == nil || isGone(state) {
			return fmt.Sprintf("node %s has a speaker of MetalLB and none of lbstack: look at spec.speaker.nodeSelector, spec.speaker.affinity and spec.speaker.tolerations of the stack, and at the pods of the DaemonSet lbstack-speaker", node.Name)
		}
		if missing := state.Status.MissingSpeakers; len(missing) > 0 {
			return fmt.Sprintf("the speaker of node %s receives nothing from the speaker of node %s: check whether a firewall between the nodes drops packets to the mesh port, UDP 7575 by default", node.Name, missing[0])
		}
	}
	return ""
}

// poolsLackOnlyHosts reports whether the only pools that are not Ready are pools with addresses that other
// hosts use. If lbstack announced while MetalLB's speakers ran, these hosts are the nodes with MetalLB's
// speakers. The status of a pool lists such hosts until lbstack announces the addresses, or for some minutes.
func (c *Cluster) poolsLackOnlyHosts() bool {
	return !slices.ContainsFunc(c.Pools, func(p v1beta1.IPAddressPool) bool {
		ready := meta.FindStatusCondition(p.Status.Conditions, v1beta1.ConditionReady)
		return ready == nil || ready.Status != metav1.ConditionTrue && ready.Reason != v1beta1.ReasonForeignHost
	})
}

func (c *Cluster) isClaimed(service, address string) bool {
	return slices.ContainsFunc(c.Claims, func(claim v1beta1.IPAddressClaim) bool {
		return claim.Spec.Address == address && slices.ContainsFunc(claim.Spec.Holders, func(h v1beta1.ClaimHolder) bool {
			return apiconv.HolderKey(h).String() == service
		})
	})
}

func (c *Cluster) stateOf(node string) *v1beta1.SpeakerState {
	for i := range c.States {
		if c.States[i].Name == node {
			return &c.States[i]
		}
	}
	return nil
}

// isGone reports whether a SpeakerState is out of date: its speaker was stopped, or the controller has found that it does not
// run or cannot be reached.
func isGone(state *v1beta1.SpeakerState) bool {
	return meta.IsStatusConditionFalse(state.Status.Conditions, v1beta1.ConditionCurrent)
}

// MissingSessionMessage returns a phrase about the first session that a node should have according to the
// stack, and that is not established.
func (c *Cluster) MissingSessionMessage(stack *v1beta1.LoadBalancerStack, node Node) string {
	state, labels := c.stateOf(node.Name), c.nodeLabels(node.Name)
	for i := range stack.Spec.BGPPeers {
		wanted := &stack.Spec.BGPPeers[i]
		peer, err := apiconv.ParseBGPPeer(&v1beta1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: string(wanted.Name)}, Spec: wanted.BGPPeerSpec})
		if err != nil {
			return fmt.Sprintf("spec.bgpPeers[%s] is invalid: %v", wanted.Name, err)
		}
		if !peer.SelectsNode(labels) {
			continue
		}
		if state == nil || isGone(state) {
			return fmt.Sprintf("no speaker of lbstack runs on node %s", node.Name)
		}
		at := slices.IndexFunc(state.Status.BGPPeers, func(p v1beta1.SpeakerBGPPeer) bool { return p.Name == wanted.Name })
		if at < 0 {
			return fmt.Sprintf("the speaker of node %s has no session with BGPPeer %s yet", node.Name, wanted.Name)
		}
		if p := &state.Status.BGPPeers[at]; p.State != v1beta1.BGPEstablished {
			words := fmt.Sprintf("the session of node %s with BGPPeer %s is %s", node.Name, wanted.Name, p.State)
			if p.LastError != "" {
				words += ": " + p.LastError
			}
			return words
		}
	}
	return ""
}

func (c *Cluster) nodeLabels(node string) map[string]string {
	for i := range c.Nodes {
		if c.Nodes[i].Name == node {
			return c.Nodes[i].Labels
		}
	}
	return nil
}

// AnnouncingNodesMessage returns the nodes from which lbstack still announces addresses on the local network, and those of the given
// nodes on which it still has sessions with routers.
func (c *Cluster) AnnouncingNodesMessage(nodes []Node) string {
	var words []string
	for i := range c.States {
		if n := c.States[i].Status.AddressCount; n > 0 && !isGone(&c.States[i]) {
			words = append(words, fmt.Sprintf("node %s still announces %d addresses on the local network", c.States[i].Name, n))
		}
	}
	if sessions := c.SessionNodesMessage(nodes); sessions != "" {
		words = append(words, sessions)
	}
	return strings.Join(words, ", and ")
}

// SessionNodesMessage returns which of the given nodes have sessions of lbstack with routers.
func (c *Cluster) SessionNodesMessage(nodes []Node) string {
	var words []string
	for i := range c.States {
		state := &c.States[i]
		if n := len(state.Status.BGPPeers); n > 0 && !isGone(state) && slices.ContainsFunc(nodes, func(n Node) bool { return n.Name == state.Name }) {
			words = append(words, fmt.Sprintf("node %s still has %d sessions with routers", state.Name, n))
		}
	}
	return strings.Join(words, ", and ")
}

// RunningPodMessage returns a phrase about a pod of MetalLB's speakers that runs on one of the given nodes, or on any node if nodes is
// nil. It is empty if there is none. A deleted pod on a node that does not report is ignored: the API server is not informed of its end.
func (c *Cluster) RunningPodMessage(nodes []Node) string {
	for _, pod := range c.podsOn(nodes) {
		if pod.DeletionTimestamp == nil || !c.doesNotReport(pod.Spec.NodeName) {
			return fmt.Sprintf("Pod %s of MetalLB still runs on node %s", pod.Name, pod.Spec.NodeName)
		}
	}
	return ""
}

// UndeletedPods returns the pods of MetalLB's speakers on the given nodes, or on all nodes if nodes is nil.
// It leaves out pods that are already being deleted.
func (c *Cluster) UndeletedPods(nodes []Node) []corev1.Pod {
	return slices.DeleteFunc(c.podsOn(nodes), func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

func (c *Cluster) podsOn(nodes []Node) (pods []corev1.Pod) {
	for _, pod := range c.Pods {
		if nodes == nil || slices.ContainsFunc(nodes, func(n Node) bool { return n.Name == pod.Spec.NodeName }) {
			pods = append(pods, pod)
		}
	}
	return pods
}

// HasOverduePod reports whether a pod still exists after its grace period: its node may have stopped reporting.
func (c *Cluster) HasOverduePod(now time.Time) bool {
	return slices.ContainsFunc(c.Pods, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil && now.After(p.DeletionTimestamp.Time) })
}

// UnreachableNodeMessage returns a node that does not report and has a pod of MetalLB's speakers: the end of that pod cannot be
// observed.
func (c *Cluster) UnreachableNodeMessage() string {
	for _, pod := range c.Pods {
		if node := pod.Spec.NodeName; c.doesNotReport(node) {
			return fmt.Sprintf("node %s does not report (its condition Ready is Unknown), and has Pod %s of MetalLB: it is not known whether the pod announces addresses, or when the pod ends. Repair the kubelet of the node, or delete the Node once the machine is off", node, pod.Name)
		}
	}
	return ""
}

// doesNotReport reports whether the condition Ready of a node is Unknown: its kubelet has stopped reporting
// to the API server.
func (c *Cluster) doesNotReport(node string) bool {
	return c.readyStatus(node) == corev1.ConditionUnknown
}

// readyStatus returns the status of the condition Ready of a node; empty if the node has no such condition.
func (c *Cluster) readyStatus(node string) (status corev1.ConditionStatus) {
	for i := range c.Nodes {
		for _, condition := range c.Nodes[i].Status.Conditions {
			if c.Nodes[i].Name == node && condition.Type == corev1.NodeReady {
				status = condition.Status
			}
		}
	}
	return status
}

// UnstartedSpeakersMessage returns how many of MetalLB's speakers are ready, and how many have the current template. It is empty if all
// are ready and have this template. A pod on a node that is not Ready does not count, since the node may not become Ready for a long
// time. While there is such a pod, the other pods may have an earlier template: the DaemonSet controller counts the pod as unavailable,
// and so may not replace others. Templates differ only in the nodes on which pods may run. With the update strategy OnDelete, templates
// are not compared.
func (c *Cluster) UnstartedSpeakersMessage(set *appsv1.DaemonSet) string {
	st, want := &set.Status, set.Status.DesiredNumberScheduled
	for i := range c.Pods {
		if ready := c.readyStatus(c.Pods[i].Spec.NodeName); ready != corev1.ConditionTrue && ready != "" {
			want--
		}
	}
	replaced := set.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType || want < st.DesiredNumberScheduled || st.UpdatedNumberScheduled >= want
	if st.ObservedGeneration >= set.Generation && st.NumberReady >= want && replaced {
		return ""
	}
	return fmt.Sprintf("%d of %d speakers of MetalLB are ready, and %d have the current template of the DaemonSet %s/%s", st.NumberReady, want, st.UpdatedNumberScheduled, set.Namespace, set.Name)
}

// UnannouncedServiceMessage returns a phrase about a Service that had addresses before the switch and is not
// announced now. The receiver c is the state of the cluster before the switch, and the parameter now is the
// current state. Services without endpoints are ignored, since MetalLB did not announce them either.
func (c *Cluster) UnannouncedServiceMessage(now *Cluster, class string) string {
	before := c.shownServices(class)
	for _, svc := range now.shownServices(class) {
		switch announced := svc.announced; {
		case !slices.ContainsFunc(before, func(s serviceAddresses) bool { return s.name == svc.name }):
		case announced == nil:
			return fmt.Sprintf("Service %s has no condition %s yet", svc.name, v1beta1.ServiceAnnounced)
		case announced.Status != metav1.ConditionTrue && announced.Reason != v1beta1.ReasonNoEndpoints:
			return fmt.Sprintf("Service %s is not announced (%s): %s", svc.name, announced.Reason, announced.Message)
		}
	}
	return ""
}

// LostAddressMessage returns a phrase about a Service that has lost an address from its status during a
// rollback. The receiver c is the state of the cluster before the rollback, and the parameter now is the
// current state. Services that have since been deleted, or have another type or class now, are ignored.
func (c *Cluster) LostAddressMessage(now *Cluster) string {
	has := map[string][]string{}
	class := c.servedClass()
	for _, svc := range now.shownServices(class) {
		has[svc.name] = svc.addresses
	}
	for _, svc := range c.shownServices(class) {
		if !slices.ContainsFunc(now.Services, func(s corev1.Service) bool {
			return apiconv.KeyOf(&s).String() == svc.name && apiconv.IsServedBy(&s, class)
		}) {
			continue
		}
		for _, address := range svc.addresses {
			if !slices.Contains(has[svc.name], address) {
				return fmt.Sprintf("Service %s no longer has %s in its status", svc.name, address)
			}
		}
	}
	return ""
}
