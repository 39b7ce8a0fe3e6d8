// Package kube connects the speaker with Kubernetes; the rest of the speaker does not use the Kubernetes API.
// It passes the objects of the cluster and their changes to the engine, and the addresses of the other
// speakers to the mesh, and writes the SpeakerState of this node. While the API server does not answer, the
// objects that were passed last stay in effect.
package kube

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/kube/informers"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// configurePlanner passes the objects that affect all addresses to the planner, and returns the snapshot
// without addresses. An invalid advertisement is left out and has a sentence in Problems.
func (w *Watcher) configurePlanner(changes informers.Changes) layer2.Snapshot {
	ads, problems := readAdvertisements(changes)
	w.advertised = len(ads)+len(problems) > 0
	nodes := changes.Nodes()
	// SetConfig recomputes all addresses. Most changes of Nodes do not affect which nodes may announce.
	if changes.HasChanged(&v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}) || !slices.EqualFunc(nodes, w.nodes, eligibility.HasSameCandidacy) {
		w.nodes = nodes
		w.planner.SetConfig(ads, changes.Pools(), nodes)
	}
	rest := layer2.Snapshot{Problems: problems, Detection: readDetection(changes), Draining: map[lb.NodeName]bool{}, Down: map[lb.NodeName]bool{}}
	for i := range nodes {
		node := &nodes[i]
		if node.IsOnStandby() {
			rest.Draining[node.Name] = true
		}
		if node.Name == w.Self {
			rest.Standby = whyStandby(node)
			rest.Unselected = len(ads) > 0 && !slices.ContainsFunc(ads, func(ad eligibility.Advertisement) bool { return ad.CoversNode(node.Labels) })
		}
		if node.Down {
			rest.Down[node.Name] = true
		}
	}
	for i := range ads {
		rest.Interfaces = append(rest.Interfaces, ads[i].Interfaces...)
	}
	slices.Sort(rest.Interfaces)
	rest.Interfaces = slices.Compact(rest.Interfaces)
	return rest
}

// readAdvertisements returns the valid L2Advertisements, and a sentence for each invalid one.
func readAdvertisements(changes informers.Changes) (ads []eligibility.Advertisement, problems []string) {
	for _, object := range informers.All[*v1beta1.L2Advertisement](changes) {
		ad, err := apiconv.ParseAdvertisement(object)
		if err != nil {
			problems = append(problems, fmt.Sprintf("the L2Advertisement %q is ignored: %v", object.Name, err))
			continue
		}
		ads = append(ads, ad)
	}
	return ads, problems
}

// readDetection returns what the speaker does about other hosts that use its addresses.
func readDetection(changes informers.Changes) layer2.Detection {
	stack := informers.Get[*v1beta1.LoadBalancerStack](changes, client.ObjectKey{Name: v1beta1.LoadBalancerStackName})
	switch {
	case stack != nil && stack.Spec.Layer2.ConflictDetection == v1beta1.ConflictDetectionReport:
		return layer2.DetectionReportOnly
	case stack != nil && stack.Spec.Layer2.ConflictDetection == v1beta1.ConflictDetectionOff:
		return layer2.DetectionOff
	}
	return layer2.DetectionEnforce
}

// whyStandby returns why a node takes no address. The text continues a sentence that begins with the name of
// the node. Empty: the node takes addresses.
func whyStandby(node *eligibility.Node) string {
	switch {
	case node.Excluded != "":
		return node.Excluded
	case node.Draining:
		return "is drained"
	}
	return ""
}

// speakerAddresses returns the addresses of the speakers on other nodes. All pods of a node have
// the same address.
func speakerAddresses(pods []*corev1.Pod, self lb.NodeName) map[lb.NodeName]netip.Addr {
	found := map[lb.NodeName]netip.Addr{}
	for _, pod := range pods {
		node := lb.NodeName(pod.Spec.NodeName)
		if node == "" || node == self || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if a, err := apiconv.ParseAddress(cmp.Or(pod.Status.HostIP, pod.Status.PodIP)); err == nil {
			found[node] = a
		}
	}
	return found
}
