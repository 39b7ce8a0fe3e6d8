package stack

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
)

const (
	// maxProblem bounds the text in a sentence that comes from the state of a pod.
	maxProblem = 512
	// restarts is the number of restarts from which a container that has failed, and is not
	// ready, counts as one that keeps ending.
	restarts = 2
)

// pulling are the reasons of a container whose image cannot be pulled: the kubelet alternates
// between them every few seconds.
var pulling = []string{"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}

// creating are the reasons of a container that cannot be made from its image.
var creating = []string{"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}

// backOff precedes the error of the last attempt in the message of ImagePullBackOff.
var backOff = regexp.MustCompile(`^Back-off pulling image "[^"]*": (ErrImagePull: )?`)

// problem is what is wrong with pods of a component.
type problem struct {
	text string
	// nodes of those pods, in order; none if the problem is not one of nodes.
	nodes []string
}

func (p problem) String() string {
	if len(p.nodes) == 0 {
		return p.text
	}
	return fmt.Sprintf("on %s: %s", listed(p.nodes), p.text)
}

// diagnose returns the problems of a component's pods, in the order of the nodes. It leaves out
// pods that are starting or being deleted, and pods on nodes that are down: their state is not known.
func diagnose(pods []corev1.Pod, down map[string]bool) []problem {
	nodes := map[string][]string{}
	for i := range pods {
		pod := &pods[i]
		node := nodeOf(pod)
		if down[node] || pod.DeletionTimestamp != nil {
			continue
		}
		if text := problemOf(pod); text != "" {
			nodes[text] = append(nodes[text], cmp.Or(node, "no node"))
		}
	}
	return problemsOf(nodes)
}

// problemsOf returns one problem for each text.
func problemsOf(nodes map[string][]string) []problem {
	var list []problem
	for text, on := range nodes {
		slices.Sort(on)
		list = append(list, problem{text, slices.Compact(on)})
	}
	slices.SortFunc(list, func(x, y problem) int { return strings.Compare(x.String(), y.String()) })
	return list
}

// unready names the nodes whose pods run and are not ready, in order, without those that are down.
func unready(pods []corev1.Pod, down map[string]bool) (nodes []string) {
	for i := range pods {
		pod := &pods[i]
		if down[nodeOf(pod)] || pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		if slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue }) {
			nodes = append(nodes, nodeOf(pod))
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// componentFaults returns a sentence for each problem that components have in common, such as an
// image that cannot be pulled, and then one for each component with other problems.
func componentFaults(components []component) (words []string) {
	who := map[string][]string{}
	nodes := map[string][]string{}
	for _, c := range components {
		for _, p := range c.failing {
			who[p.text] = append(who[p.text], "the "+c.Name)
			nodes[p.text] = append(nodes[p.text], p.nodes...)
		}
	}
	maps.DeleteFunc(nodes, func(text string, _ []string) bool { return len(who[text]) < 2 })
	for _, p := range problemsOf(nodes) {
		words = append(words, fmt.Sprintf("%s fail: %s", strings.Join(who[p.text], " and "), p))
	}
	for _, c := range components {
		var own []string
		for _, p := range c.failing {
			if len(who[p.text]) < 2 {
				own = append(own, p.String())
			}
		}
		if len(own) > 0 {
			words = append(words, fmt.Sprintf("the %s fails: %s", c.Name, separated(own, "; ")))
		}
	}
	return words
}

// ownPort matches the node's address in a network error. Its port changes with each attempt, and
// would change the message.
var ownPort = regexp.MustCompile(`\b(tcp|udp) \S+->`)

func problemOf(pod *corev1.Pod) string {
	for i := range pod.Status.ContainerStatuses {
		if problem := containerProblem(&pod.Status.ContainerStatuses[i]); problem != "" {
			return bounded.Cut(problem, maxProblem)
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable {
			return bounded.Cut(unschedulable(condition.Message), maxProblem)
		}
	}
	return ""
}

// portsTaken is in the scheduler's message about a node where another pod uses a port of the host.
const portsTaken = "didn't have free ports"

func unschedulable(message string) string {
	if strings.Contains(message, portsTaken) {
		return "another pod on the node has one of the ports in spec.speaker.ports: choose other ports there, or remove that pod: Unschedulable: " + message
	}
	return "Unschedulable: " + message
}

func containerProblem(c *corev1.ContainerStatus) string {
	waiting, last := c.State.Waiting, c.LastTerminationState.Terminated
	switch {
	case waiting != nil && slices.Contains(pulling, waiting.Reason):
		return withText("the image cannot be pulled", ownPort.ReplaceAllString(backOff.ReplaceAllString(waiting.Message, ""), "$1 "))
	case waiting != nil && slices.Contains(creating, waiting.Reason):
		return withText(waiting.Reason, waiting.Message)
	case waiting != nil && waiting.Reason == "CrashLoopBackOff" && last == nil:
		return withText("it keeps ending", waiting.Message)
	case waiting != nil && waiting.Reason == "CrashLoopBackOff",
		c.State.Running != nil && !c.Ready && c.RestartCount >= restarts && last != nil && last.ExitCode != 0:
		return ended(last)
	case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 && c.RestartCount >= restarts:
		return ended(c.State.Terminated)
	}
	return ""
}

// ended returns why a container keeps ending: the last words of its program, if there are any.
func ended(t *corev1.ContainerStateTerminated) string {
	if t.Reason == "OOMKilled" {
		return "it keeps ending: it takes more memory than resources.limits.memory in the spec allows"
	}
	if words := apiconv.TerminationLine(t); words != "" {
		return "it keeps ending: " + words
	}
	return fmt.Sprintf("it keeps ending, with %s, exit code %d", t.Reason, t.ExitCode)
}

func withText(what, text string) string {
	if text == "" {
		return what
	}
	return what + ": " + text
}

// denied returns why pods of a component are not created, and what to do. nodes are those that
// lack a pod.
func denied(c *component, nodes []string, namespace string) problem {
	advice := ""
	switch {
	case strings.Contains(c.refusal, "PodSecurity"):
		advice = fmt.Sprintf(": label the namespace %s pod-security.kubernetes.io/enforce=privileged", namespace)
	case strings.Contains(c.refusal, "security context constraint"):
		advice = fmt.Sprintf(": grant the ServiceAccount lbstack-%s the SecurityContextConstraints that it needs", c.Name)
	case strings.Contains(c.refusal, "no PriorityClass with name"):
		advice = fmt.Sprintf(": create the PriorityClass, or correct spec.%s.priorityClassName", c.Name)
	case strings.Contains(c.refusal, "error looking up service account"):
		advice = ": apply the manifests of the installation again"
	case strings.Contains(c.refusal, "exceeded quota"):
		advice = fmt.Sprintf(": raise the ResourceQuota of the namespace %s", namespace)
	}
	return problem{fmt.Sprintf("%d of its pods are not made: %s%s", c.missing, bounded.Cut(c.refusal, maxProblem), advice), nodes}
}

// speakerProblems returns sentences about what running speakers cannot do. It leaves out problems
// that the conditions of pools, peers and advertisements report.
func speakerProblems(states []v1beta1.SpeakerState, down map[string]bool) []string {
	nodes, message := map[string][]string{}, map[string]string{}
	for i := range states {
		ready := meta.FindStatusCondition(states[i].Status.Conditions, v1beta1.ConditionReady)
		if ready == nil || ready.Status != "False" || down[states[i].Name] || !slices.Contains(nodeReasons, ready.Reason) {
			continue
		}
		nodes[ready.Reason] = append(nodes[ready.Reason], states[i].Name)
		if message[ready.Reason] == "" {
			message[ready.Reason] = ready.Message
		}
	}
	var words []string
	for reason, on := range nodes {
		slices.Sort(on)
		words = append(words, fmt.Sprintf("the speaker on %s: %s", listed(on), bounded.Cut(message[reason], maxProblem)))
	}
	slices.Sort(words)
	return words
}

// nodeReasons are the reasons of a SpeakerState that no other object reports.
var nodeReasons = []string{
	v1beta1.ReasonNoInterface, v1beta1.ReasonIsolated, v1beta1.ReasonMinority, v1beta1.ReasonAddressConceded, v1beta1.ReasonInterfaceFailed, v1beta1.ReasonDatagramsLost, v1beta1.ReasonPeerNotAnnouncing, v1beta1.ReasonCheckpointFailed,
}
