package maintenance

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/internal/lanprobe"
)

// ProbeDeadline is how long a pod that probes the local network may run, in seconds. The pod needs only a few seconds: its image is
// already on the node, and it waits 3 s for answers (lanprobe.AnswerTimeout).
const ProbeDeadline = 60

// probeComponent is the name of the container, and the value of the component label of the pod. No Service, network policy or
// disruption budget of lbstack selects this value.
const probeComponent = "probe"

// ProbePod returns the pod that probes the local network from a node. The pod has the image of the speakers, the network of the node
// and the capability NET_RAW, and neither a token nor a volume. It is bound to the node without the scheduler, so that cordoned
// and tainted nodes can be used. Its result is the termination message of its container.
func ProbePod(speakers *appsv1.DaemonSet, node string, request lanprobe.Request) (*corev1.Pod, error) {
	template := &speakers.Spec.Template.Spec
	i := slices.IndexFunc(template.Containers, func(c corev1.Container) bool { return c.Name == "speaker" })
	if i < 0 {
		return nil, fmt.Errorf("the DaemonSet %s/%s has no container named speaker, whose image the probe needs", speakers.Namespace, speakers.Name)
	}
	speaker := &template.Containers[i]
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: speakers.Namespace, GenerateName: "lbstack-probe-",
			Labels: map[string]string{"app.kubernetes.io/name": "lbstack", "app.kubernetes.io/component": probeComponent},
		},
		Spec: corev1.PodSpec{
			NodeName: node, HostNetwork: true, RestartPolicy: corev1.RestartPolicyNever,
			ActiveDeadlineSeconds: new(int64(ProbeDeadline)), TerminationGracePeriodSeconds: new(int64(1)),
			// OpenShift lets the account of the speakers run pods in the network of the node. The pod
			// gets no token of this account.
			ServiceAccountName: template.ServiceAccountName, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
			ImagePullSecrets: template.ImagePullSecrets,
			Tolerations:      []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			SecurityContext:  &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: probeComponent, Image: speaker.Image, ImagePullPolicy: speaker.ImagePullPolicy,
				Command: []string{"/speaker"}, Args: request.Args(), TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
				},
				// Only root gets the capability that is added.
				SecurityContext: &corev1.SecurityContext{
					RunAsUser: new(int64(0)), AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_RAW"}},
				},
			}},
		},
	}
	return pod, nil
}

// ProbeResult returns the result of the pod. done is false until the pod has ended; err is why an ended pod has no result.
func ProbeResult(pod *corev1.Pod) (result lanprobe.Result, done bool, err error) {
	var state corev1.ContainerState
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == probeComponent {
			state = status.State
		}
	}
	ended := state.Terminated
	switch {
	case ended != nil && ended.ExitCode == 0:
		result, err = lanprobe.Decode(ended.Message)
		return result, true, err
	case ended != nil && ended.Message != "":
		return result, true, fmt.Errorf("the program in the pod %s on the node %s ended: %s: if the installation is older than the plugin, its image cannot probe the network", pod.Name, pod.Spec.NodeName, ended.Message)
	case pod.Status.Phase == corev1.PodFailed || ended != nil:
		return result, true, fmt.Errorf("the pod %s on the node %s failed: %s", pod.Name, pod.Spec.NodeName, ProbeState(pod))
	}
	return result, false, nil
}

// ProbeState returns the phase of a pod, and the reasons in its status for a wait or an end, as a phrase.
func ProbeState(pod *corev1.Pod) string {
	text := string(pod.Status.Phase)
	add := func(words ...string) {
		for _, w := range words {
			if w != "" {
				text += ", " + w
			}
		}
	}
	add(pod.Status.Reason, pod.Status.Message)
	for _, status := range pod.Status.ContainerStatuses {
		if w := status.State.Waiting; w != nil {
			add(w.Reason, w.Message)
		}
		if e := status.State.Terminated; e != nil {
			add(e.Reason, e.Message)
		}
	}
	if text == "" {
		return "the kubelet has reported nothing"
	}
	return text
}
