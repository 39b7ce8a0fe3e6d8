package stack

import (
	"fmt"
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
	// maxProblem bounds what a sentence takes from the state of a pod.
	maxProblem = 512
	// restarts is from how many restarts on a container that runs and is not ready counts
	// as one that keeps ending.
	restarts = 2
)

// pulling are the reasons of a container whose image cannot be had: the kubelet changes
// between them every few seconds.
var pulling = []string{"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}

// creating are the reasons of a container that cannot be made from its image.
var creating = []string{"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}

// backOff precedes the error of the last attempt in the message of ImagePullBackOff.
var backOff = regexp.MustCompile(`^Back-off pulling image "[^"]*": (ErrImagePull: )?`)

// diagnose says what is wrong with a component's pods, and on which nodes; pods that only
// start are not worth a word, and nobody knows how those on nodes that are down are. Equal
// problems are told once.
func diagnose(pods []corev1.Pod, down map[string]bool) string {
	nodes := map[string][]string{}
	for i := range pods {
		pod := &pods[i]
		node := nodeOf(pod)
		if down[node] || pod.DeletionTimestamp != nil {
			continue
		}
		if problem := problemOf(pod); problem != "" {
			if node == "" {
				node = "no node"
			}
			nodes[problem] = append(nodes[problem], node)
		}
	}
	var words []string
	for problem, on := range nodes {
		slices.Sort(on)
		words = append(words, fmt.Sprintf("on %s: %s", listed(slices.Compact(on)), problem))
	}
	slices.Sort(words)
	return separated(words, "; ")
}

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

// portsTaken is what the scheduler says of a node where another pod has a port of the host.
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
		return withText("the image cannot be pulled", backOff.ReplaceAllString(waiting.Message, ""))
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

// ended says why a container keeps ending: in the last words of its program, if it left any.
func ended(t *corev1.ContainerStateTerminated) string {
	if t.Reason == "OOMKilled" {
		return "it keeps ending: it takes more memory than resources.limits.memory in the spec allows"
	}
	if words := apiconv.LastWords(t); words != "" {
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

// denied says why pods of a component are not made, and what to do.
func denied(c *component, namespace string) string {
	advice := ""
	switch {
	case strings.Contains(c.refusal, "PodSecurity"):
		advice = fmt.Sprintf(": label the namespace %s pod-security.kubernetes.io/enforce=privileged", namespace)
	case strings.Contains(c.refusal, "security context constraint"):
		advice = fmt.Sprintf(": grant the ServiceAccount lbstack-%s the SecurityContextConstraints that it needs", c.Name)
	case strings.Contains(c.refusal, "exceeded quota"):
		advice = fmt.Sprintf(": raise the ResourceQuota of the namespace %s", namespace)
	}
	return fmt.Sprintf("%d of its pods are not made: %s%s", c.missing, bounded.Cut(c.refusal, maxProblem), advice)
}

// speakerProblems says what speakers that run cannot do, as far as no other object of the
// stack says it: what is wrong with peers, advertisements and pools stands there.
func speakerProblems(states []v1beta1.SpeakerState, down map[string]bool) []string {
	nodes, message := map[string][]string{}, map[string]string{}
	for i := range states {
		ready := meta.FindStatusCondition(states[i].Status.Conditions, v1beta1.ConditionReady)
		if ready == nil || ready.Status != "False" || down[states[i].Name] || !slices.Contains(ofTheNode, ready.Reason) {
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

// ofTheNode are the reasons of a SpeakerState that no other object shows.
var ofTheNode = []string{
	v1beta1.ReasonNoInterface, v1beta1.ReasonIsolated, v1beta1.ReasonMinority, v1beta1.ReasonInterfaceFailed, v1beta1.ReasonDatagramsLost, v1beta1.ReasonCheckpointFailed,
}
