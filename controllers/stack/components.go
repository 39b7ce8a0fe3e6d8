package stack

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
)

// maxComponentMessage is the bound of ComponentStatus.Message.
const maxComponentMessage = 1024

// workloadState reads the state of a workload from what the API server
// returned for it; ok is false for other kinds.
func workloadState(object *unstructured.Unstructured) (c component, ok bool, err error) {
	switch object.GetKind() {
	case "Deployment":
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
			return c, true, fmt.Errorf("reading the Deployment %s: %w", object.GetName(), err)
		}
		return ofDeployment(&d), true, nil
	case "DaemonSet":
		var d appsv1.DaemonSet
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
			return c, true, fmt.Errorf("reading the DaemonSet %s: %w", object.GetName(), err)
		}
		return ofDaemonSet(&d), true, nil
	}
	return c, false, nil
}

func ofDeployment(d *appsv1.Deployment) component {
	desired := int32(1)
	if d.Spec.Replicas != nil {
		desired = *d.Spec.Replicas
	}
	c := component{
		ComponentStatus: v1beta1.ComponentStatus{
			Name: d.Labels[v1beta1.LabelComponent], Kind: "Deployment",
			Desired: desired, Updated: d.Status.UpdatedReplicas, Ready: d.Status.ReadyReplicas,
		},
		available: d.Status.AvailableReplicas,
	}
	c.settle(d.Status.ObservedGeneration >= d.Generation)
	if c.settled && d.Status.Replicas > desired {
		c.settled, c.Message = false, "pods of the old template still run"
	}
	return c
}

func ofDaemonSet(d *appsv1.DaemonSet) component {
	c := component{
		ComponentStatus: v1beta1.ComponentStatus{
			Name: d.Labels[v1beta1.LabelComponent], Kind: "DaemonSet",
			Desired: d.Status.DesiredNumberScheduled, Updated: d.Status.UpdatedNumberScheduled, Ready: d.Status.NumberReady,
		},
		available: d.Status.NumberAvailable,
	}
	c.settle(d.Status.ObservedGeneration >= d.Generation)
	return c
}

// settle finds out whether a workload is where it should be, and what it
// waits for if not.
func (c *component) settle(observed bool) {
	switch {
	case !observed:
		c.Message = "the change has not been taken up yet"
	case c.Desired == 0:
		c.Message = "no node can run it"
	case c.Updated < c.Desired:
		c.Message = fmt.Sprintf("%d of %d pods are up to date", c.Updated, c.Desired)
	case c.Ready < c.Desired:
		c.Message = fmt.Sprintf("%d of %d pods are ready", c.Ready, c.Desired)
	default:
		c.settled = true
	}
}

// refused is a workload that could not be written.
func refused(object *unstructured.Unstructured, why string) component {
	return component{
		ComponentStatus: v1beta1.ComponentStatus{Name: object.GetLabels()[v1beta1.LabelComponent], Kind: object.GetKind(), Message: why},
		unknown:         true,
	}
}

// failingReasons are the reasons of a waiting container that do not mend
// themselves by waiting.
var failingReasons = []string{
	"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}

// diagnose says what is wrong with a component's pods; pods that only start are
// not worth a word. Equal problems are told once, with the number of pods.
func diagnose(name string, pods []corev1.Pod) string {
	count := map[string]int{}
	for i := range pods {
		if pods[i].Labels[v1beta1.LabelComponent] != name {
			continue
		}
		if problem := problemOf(&pods[i]); problem != "" {
			count[problem]++
		}
	}
	var words []string
	for problem, n := range count {
		words = append(words, fmt.Sprintf("%s (pods: %d)", problem, n))
	}
	slices.Sort(words)
	return bounded.Cut(strings.Join(words, ", "), maxComponentMessage)
}

func problemOf(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if waiting := c.State.Waiting; waiting != nil && slices.Contains(failingReasons, waiting.Reason) {
			problem := waiting.Reason
			if last := c.LastTerminationState.Terminated; waiting.Reason == "CrashLoopBackOff" && last != nil {
				problem = fmt.Sprintf("%s: it ended with %s, exit code %d", problem, last.Reason, last.ExitCode)
			} else if waiting.Message != "" {
				problem += ": " + waiting.Message
			}
			return problem
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable {
			return "Unschedulable: " + condition.Message
		}
	}
	return ""
}
