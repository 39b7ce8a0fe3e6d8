package stack

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/internal/rollout"
)

// maxNodeMessageBytes is the maximum length of UnavailableNode.Message, in bytes.
const maxNodeMessageBytes = 512

// Keys of taints that Kubernetes sets by itself (well-known labels, annotations and taints).
const (
	taintNotReady    = "node.kubernetes.io/not-ready"
	taintUnreachable = "node.kubernetes.io/unreachable"
)

// placement is where speakers run, and where they do not.
type placement struct {
	// down are the selected nodes that are not ready, or from whose speaker no other speaker receives
	// anything.
	down map[string]bool
	// unavailable lists first the nodes that are down, and then the nodes that cannot run a speaker.
	unavailable []v1beta1.UnavailableNode
	// hosts are the selected nodes, without the pods and the reports of their speakers.
	hosts map[string]rollout.Node
	// counted are the nodes that are down and on which the DaemonSet controller wants a pod.
	counted map[string]bool
	// vacated are the ready nodes that should have no speaker, and that have no pod of a speaker.
	vacated map[string]bool
	// able is how many nodes can run a speaker. It includes nodes that are down.
	able int
	// selected is how many nodes the nodeSelector and the affinity select. It includes nodes that are down.
	selected int
	// lacking are the ready nodes that should have a pod of a speaker and have none.
	lacking []string
}

// newPlacement returns where the speakers of a DaemonSet run. The parameter pods has the pods of the
// DaemonSet.
func newPlacement(nodes []corev1.Node, pods []corev1.Pod, states []v1beta1.SpeakerState, template corev1.PodSpec) placement {
	p := placement{down: map[string]bool{}, counted: map[string]bool{}, vacated: map[string]bool{}, hosts: map[string]rollout.Node{}}
	at, silent := podsByNode(pods), silentSpeakers(states)
	for i := range nodes {
		p.addNode(&nodes[i], at[nodes[i].Name], silent[nodes[i].Name], template)
	}
	slices.SortFunc(p.unavailable, func(x, y v1beta1.UnavailableNode) int {
		return cmp.Or(cmp.Compare(rankOf(x), rankOf(y)), strings.Compare(string(x.Name), string(y.Name)))
	})
	slices.Sort(p.lacking)
	return p
}

func (p *placement) addNode(node *corev1.Node, pods []*corev1.Pod, silent bool, template corev1.PodSpec) {
	ready := isReady(node)
	available := slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return pod.DeletionTimestamp == nil && isPodReady(pod) })
	selected, os := selectsNode(template.NodeSelector, node)
	selected = selected && matchesAffinity(template.Affinity, node)
	taint := untoleratedTaint(template.Tolerations, node, true)
	wanted := selected && taint == ""
	p.selected += countIf(selected)
	p.able += countIf(selected && untoleratedTaint(template.Tolerations, node, false) == "")
	switch {
	case !ready || len(pods) > 0:
	case wanted:
		p.lacking = append(p.lacking, node.Name)
	case !selected || untoleratedTaint(template.Tolerations, node, false) != "": // the taint not-ready does not count: the node is ready
		p.vacated[node.Name] = true
	}
	note := func(reason, message string) {
		p.unavailable = append(p.unavailable, v1beta1.UnavailableNode{Name: v1beta1.NodeName(node.Name), Reason: reason, Message: bounded.Cut(message, maxNodeMessageBytes)})
	}
	taint = untoleratedTaint(template.Tolerations, node, false)
	if selected {
		p.hosts[node.Name] = rolloutNode(node, taint, silent)
	}
	switch {
	case os != "":
		note(v1beta1.ReasonOtherOperatingSystem, "the node runs "+os+", and speakers run only on Linux")
	case !selected:
	case taint != "" && !available:
		note(v1beta1.ReasonUntoleratedTaint, fmt.Sprintf("the node has the taint %s: to announce addresses from this node, add a toleration to spec.speaker.tolerations", taint))
	case !ready:
		p.addDown(node.Name, wanted)
		note(v1beta1.ReasonNodeNotReady, whyNotReady(node))
	case silent && available: // if no pod is available, the state of the pod shows why
		p.addDown(node.Name, wanted)
		note(v1beta1.ReasonSpeakerUnreachable, "no other speaker receives anything from the speaker on this node")
	}
}

func (p *placement) addDown(node string, wanted bool) {
	p.down[node] = true
	if wanted {
		p.counted[node] = true
	}
}

func countIf(is bool) int {
	if is {
		return 1
	}
	return 0
}

func isDown(n v1beta1.UnavailableNode) bool {
	return n.Reason == v1beta1.ReasonNodeNotReady || n.Reason == v1beta1.ReasonSpeakerUnreachable
}

func rankOf(n v1beta1.UnavailableNode) int { return countIf(!isDown(n)) }

func isReady(node *corev1.Node) bool {
	c := readyCondition(node)
	return c != nil && c.Status == corev1.ConditionTrue
}

func readyCondition(node *corev1.Node) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == corev1.NodeReady {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

func whyNotReady(node *corev1.Node) string {
	c := readyCondition(node)
	if c == nil {
		return "the node has no condition Ready"
	}
	return strings.TrimSpace(fmt.Sprintf("the condition Ready has been %s since %s: %s", c.Status, c.LastTransitionTime.UTC().Format("2006-01-02 15:04:05 MST"), c.Message))
}

// selectsNode reports whether a node selector selects a node. If only the operating system does not match,
// otherOS is the operating system of the node.
func selectsNode(selector map[string]string, node *corev1.Node) (selected bool, otherOS string) {
	for key, value := range selector {
		has, labelled := node.Labels[key]
		switch {
		case labelled && has == value:
		case key == corev1.LabelOSStable && labelled:
			otherOS = has
		default:
			return false, ""
		}
	}
	return otherOS == "", otherOS
}

// matchesAffinity reports whether a node matches the required node affinity of a pod template.
func matchesAffinity(affinity *corev1.Affinity, node *corev1.Node) bool {
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	selector, err := nodeaffinity.NewNodeSelector(affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
	return err == nil && selector.Match(node) // the API server refuses an invalid selector
}

// daemonTolerations are the tolerations that the DaemonSet controller adds to every pod. It adds the last
// one only to pods that use the network of the host.
var daemonTolerations = []corev1.Toleration{
	{Key: taintNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: taintUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: "node.kubernetes.io/disk-pressure", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: "node.kubernetes.io/memory-pressure", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: "node.kubernetes.io/pid-pressure", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: "node.kubernetes.io/unschedulable", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: "node.kubernetes.io/network-unavailable", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
}

// untoleratedTaint returns the first taint of a node that keeps the pods of a DaemonSet away. If the
// parameter all is false, it ignores the taints that Kubernetes sets on a node that is not ready.
func untoleratedTaint(tolerations []corev1.Toleration, node *corev1.Node, all bool) string {
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if taint.Effect == corev1.TaintEffectPreferNoSchedule || (!all && (taint.Key == taintNotReady || taint.Key == taintUnreachable)) {
			continue
		}
		tolerates := func(t corev1.Toleration) bool { return t.ToleratesTaint(logr.Discard(), taint, false) }
		if !slices.ContainsFunc(tolerations, tolerates) && !slices.ContainsFunc(daemonTolerations, tolerates) {
			return taint.ToString()
		}
	}
	return ""
}

// podsByNode groups pods by their nodes, without pods that have ended.
func podsByNode(pods []corev1.Pod) map[string][]*corev1.Pod {
	at := map[string][]*corev1.Pod{}
	for i := range pods {
		if phase := pods[i].Status.Phase; phase != corev1.PodSucceeded && phase != corev1.PodFailed {
			at[nodeOf(&pods[i])] = append(at[nodeOf(&pods[i])], &pods[i])
		}
	}
	return at
}

// nodeOf returns the node of a pod. Before a pod of a DaemonSet is scheduled, its affinity names the node.
func nodeOf(pod *corev1.Pod) string {
	if pod.Spec.NodeName != "" {
		return pod.Spec.NodeName
	}
	affinity := pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			if field.Key == "metadata.name" && len(field.Values) == 1 {
				return field.Values[0]
			}
		}
	}
	return ""
}

func isPodReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// silentSpeakers returns the nodes whose speakers do not run, see reports.SilentNodes.
func silentSpeakers(states []v1beta1.SpeakerState) map[string]bool {
	all := map[lb.NodeName]reports.Report{}
	for i := range states {
		all[lb.NodeName(states[i].Name)] = apiconv.SpeakerReport(&states[i])
	}
	silent := map[string]bool{}
	for node := range reports.SilentNodes(all) {
		silent[string(node)] = true
	}
	return silent
}

// downPods counts the pods of a workload on nodes that are down. The operator neither waits for these pods
// nor updates them.
type downPods struct{ desired, updated, ready int32 }

// countDownDaemonPods counts the pods of a DaemonSet on the nodes in p.counted.
func (p *placement) countDownDaemonPods(d *appsv1.DaemonSet, pods []corev1.Pod) downPods {
	var w downPods
	current := d.Annotations[appsv1.DeprecatedTemplateGeneration]
	for node := range p.counted {
		w.desired++
		for _, pod := range podsByNode(pods)[node] {
			if pod.DeletionTimestamp != nil {
				continue
			}
			w.updated += int32(countIf(current != "" && pod.Labels[labelTemplateGeneration] == current))
			w.ready += int32(countIf(isPodReady(pod)))
		}
	}
	return w
}

// labelTemplateGeneration is the label of a DaemonSet's pod with the generation of the template that the pod
// was made from.
const labelTemplateGeneration = "pod-template-generation"

// countDownDeploymentPods counts the pods of a Deployment on the nodes that are down. It does not count how
// many of them are up to date.
func (p *placement) countDownDeploymentPods(pods []corev1.Pod) downPods {
	var w downPods
	for i := range pods {
		if p.down[pods[i].Spec.NodeName] {
			w.desired++
			w.ready += int32(countIf(pods[i].DeletionTimestamp == nil && isPodReady(&pods[i])))
		}
	}
	return w
}
