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
	// maxProblemBytes is the maximum length, in bytes, of a text that a message quotes from the state of a
	// pod.
	maxProblemBytes = 512
	// failingRestarts is the number of restarts after which a container that has failed, and is not ready,
	// counts as failing repeatedly.
	failingRestarts = 2
)

// pullReasons are the reasons of a container whose image cannot be pulled. Messages do not name them, since
// the kubelet alternates between them every few seconds.
var pullReasons = []string{"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}

// createReasons are the reasons of a container that cannot be made from its image.
var createReasons = []string{"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}

// backOffPrefix precedes the error of the last attempt in the message of ImagePullBackOff.
var backOffPrefix = regexp.MustCompile(`^Back-off pulling image "[^"]*": (ErrImagePull: )?`)

// podProblem is a problem of one or more pods of a component.
type podProblem struct {
	text string
	// nodes are the nodes of these pods, in order; none if the problem does not depend on a node.
	nodes []string
}

func (p podProblem) String() string {
	if len(p.nodes) == 0 {
		return p.text
	}
	return fmt.Sprintf("on %s: %s", listNames(p.nodes), p.text)
}

// diagnosePods returns the problems of a component's pods, in the order of the nodes. It leaves out
// pods that are starting or being deleted, and pods on nodes that are down: their state is not known.
func diagnosePods(pods []corev1.Pod, down map[string]bool) []podProblem {
	nodes := map[string][]string{}
	for i := range pods {
		pod := &pods[i]
		node := nodeOf(pod)
		if down[node] || pod.DeletionTimestamp != nil {
			continue
		}
		if text := podProblemMessage(pod); text != "" {
			nodes[text] = append(nodes[text], cmp.Or(node, "no node"))
		}
	}
	return problemsOf(nodes)
}

// problemsOf returns a problem for each text, with its nodes.
func problemsOf(nodes map[string][]string) []podProblem {
	var list []podProblem
	for text, on := range nodes {
		slices.Sort(on)
		list = append(list, podProblem{text, slices.Compact(on)})
	}
	slices.SortFunc(list, func(x, y podProblem) int { return strings.Compare(x.String(), y.String()) })
	return list
}

// unreadyNodes returns, in order, the nodes that are not down and have a running pod that is not ready.
func unreadyNodes(pods []corev1.Pod, down map[string]bool) (nodes []string) {
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

// componentFaultMessages returns a sentence for each problem that several components have, such as an image
// that cannot be pulled. Then follows a sentence for each component with other problems.
func componentFaultMessages(components []componentState) (words []string) {
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
		words = append(words, strings.Join(who[p.text], " and ")+" fail"+problemSuffix(p))
	}
	for _, c := range components {
		var own []string
		for _, p := range c.failing {
			switch {
			case len(who[p.text]) > 1:
			case len(own) == 0:
				own = append(own, "the "+c.Name+" fails"+problemSuffix(p))
			default:
				own = append(own, p.String())
			}
		}
		if len(own) > 0 {
			words = append(words, joinWords(own, "; "))
		}
	}
	return words
}

// problemSuffix returns a problem as the end of a sentence about what fails.
func problemSuffix(p podProblem) string {
	if len(p.nodes) == 0 {
		return ": " + p.text
	}
	return " " + p.String()
}

// localAddress matches the node's address and port in a network error. The port changes with each attempt, and
// would change the message.
var localAddress = regexp.MustCompile(`\b(tcp|udp) \S+->`)

func podProblemMessage(pod *corev1.Pod) string {
	for i := range pod.Status.ContainerStatuses {
		if problem := containerProblemMessage(&pod.Status.ContainerStatuses[i]); problem != "" {
			return bounded.Cut(problem, maxProblemBytes)
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable {
			return bounded.Cut(unschedulableReason(condition.Message), maxProblemBytes)
		}
	}
	return ""
}

// hostPortMessage is a part of the scheduler's message about a node on which another pod uses a port of the
// host.
const hostPortMessage = "didn't have free ports"

func unschedulableReason(message string) string {
	if strings.Contains(message, hostPortMessage) {
		return "another pod on the node uses one of the ports in spec.speaker.ports: choose other ports, or remove that pod: Unschedulable: " + message
	}
	return "Unschedulable: " + message
}

func containerProblemMessage(c *corev1.ContainerStatus) string {
	waiting, last := c.State.Waiting, c.LastTerminationState.Terminated
	switch {
	case waiting != nil && slices.Contains(pullReasons, waiting.Reason):
		return appendText("the image cannot be pulled", localAddress.ReplaceAllString(backOffPrefix.ReplaceAllString(waiting.Message, ""), "$1 "))
	case waiting != nil && slices.Contains(createReasons, waiting.Reason):
		return appendText(waiting.Reason, waiting.Message)
	case waiting != nil && waiting.Reason == "CrashLoopBackOff" && last == nil:
		return appendText("the container keeps ending", waiting.Message)
	case waiting != nil && waiting.Reason == "CrashLoopBackOff",
		c.State.Running != nil && !c.Ready && c.RestartCount >= failingRestarts && last != nil && last.ExitCode != 0:
		return endReason(last)
	case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 && c.RestartCount >= failingRestarts:
		return endReason(c.State.Terminated)
	}
	return ""
}

// endReason returns why a container keeps ending: the last line that its program wrote, if there is one.
func endReason(t *corev1.ContainerStateTerminated) string {
	if t.Reason == "OOMKilled" {
		return "the container keeps ending: it uses more memory than resources.limits.memory in the spec allows"
	}
	if words := apiconv.TerminationLine(t); words != "" {
		return "the container keeps ending: " + words
	}
	return fmt.Sprintf("the container keeps ending (reason %s, exit code %d)", t.Reason, t.ExitCode)
}

func appendText(what, text string) string {
	if text == "" {
		return what
	}
	return what + ": " + text
}

// deniedProblem returns why pods of a component are not created, and what to do. nodes are the nodes that
// lack a pod.
func deniedProblem(c *componentState, nodes []string, namespace string) podProblem {
	advice := ""
	switch {
	case strings.Contains(c.refusal, "PodSecurity"):
		advice = fmt.Sprintf(": label the namespace %s with pod-security.kubernetes.io/enforce=privileged", namespace)
	case strings.Contains(c.refusal, "security context constraint"):
		advice = fmt.Sprintf(": grant the ServiceAccount lbstack-%s the SecurityContextConstraints that it needs", c.Name)
	case strings.Contains(c.refusal, "no PriorityClass with name"):
		advice = fmt.Sprintf(": create the PriorityClass, or correct spec.%s.priorityClassName", c.Name)
	case strings.Contains(c.refusal, "error looking up service account"):
		advice = ": apply the manifests of the installation again"
	case strings.Contains(c.refusal, "exceeded quota"):
		advice = fmt.Sprintf(": raise the ResourceQuota of the namespace %s", namespace)
	}
	return podProblem{fmt.Sprintf("%d pods are not created: %s%s", c.missing, bounded.Cut(c.refusal, maxProblemBytes), advice), nodes}
}

// speakerProblemMessages returns sentences about running speakers that cannot do all of their work. It leaves
// out problems that the conditions of pools, peers and advertisements report.
func speakerProblemMessages(states []v1beta1.SpeakerState, down map[string]bool) []string {
	nodes, message := map[string][]string{}, map[string]string{}
	for i := range states {
		ready := meta.FindStatusCondition(states[i].Status.Conditions, v1beta1.ConditionReady)
		if ready == nil || ready.Status != "False" || down[states[i].Name] || !slices.Contains(speakerReasons, ready.Reason) {
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
		words = append(words, fmt.Sprintf("%s: %s", speakersOn(on), bounded.Cut(message[reason], maxProblemBytes)))
	}
	slices.Sort(words)
	return words
}

// speakerReasons are the reasons of a SpeakerState that no other object reports.
var speakerReasons = []string{
	v1beta1.ReasonNoInterface, v1beta1.ReasonIsolated, v1beta1.ReasonMinority, v1beta1.ReasonAddressConceded, v1beta1.ReasonInterfaceFailed, v1beta1.ReasonDatagramsLost, v1beta1.ReasonPeerNotAnnouncing, v1beta1.ReasonCheckpointFailed,
}
