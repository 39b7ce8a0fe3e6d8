package stack

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func waitingPod(component, reason, message string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1beta1.LabelComponent: component}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}},
	}
}

func TestDiagnose(t *testing.T) {
	noImage := func(component string) corev1.Pod { return waitingPod(component, "ErrImagePull", "no such image") }
	tests := []struct {
		name string
		pods []corev1.Pod
		want string
	}{
		{name: "without pods there is nothing to say"},
		{name: "pods that only start are not worth a word", pods: []corev1.Pod{waitingPod("speaker", "ContainerCreating", ""), waitingPod("speaker", "PodInitializing", "")}},
		{name: "equal problems are told once and counted", pods: []corev1.Pod{noImage("speaker"), waitingPod("speaker", "ContainerCreating", ""), noImage("speaker")}, want: "ErrImagePull: no such image (pods: 2)"},
		{name: "pods of another component do not count", pods: []corev1.Pod{noImage("controller"), noImage("speaker")}, want: "ErrImagePull: no such image (pods: 1)"},
		{name: "pods of nobody do not count", pods: []corev1.Pod{noImage("")}},
		{name: "different problems are told in one order", pods: []corev1.Pod{waitingPod("speaker", "InvalidImageName", "c"), waitingPod("speaker", "CreateContainerError", "b"), waitingPod("speaker", "CreateContainerError", "a")},
			want: "CreateContainerError: a (pods: 1), CreateContainerError: b (pods: 1), InvalidImageName: c (pods: 1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := diagnose("speaker", tt.pods); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDiagnoseIsBounded(t *testing.T) {
	pods := []corev1.Pod{waitingPod("speaker", "ErrImagePull", strings.Repeat("long ", maxComponentMessage))}
	if got := diagnose("speaker", pods); len(got) != maxComponentMessage {
		t.Errorf("got %d bytes, want %d", len(got), maxComponentMessage)
	}
}

func TestProblemOf(t *testing.T) {
	ended := func(pod corev1.Pod) corev1.Pod {
		pod.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}
		return pod
	}
	after := func(pod corev1.Pod, first corev1.ContainerState) corev1.Pod {
		pod.Status.ContainerStatuses = append([]corev1.ContainerStatus{{State: first}}, pod.Status.ContainerStatuses...)
		return pod
	}
	placed := func(kind corev1.PodConditionType, reason string) corev1.Pod {
		return corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: kind, Reason: reason, Message: "0/3 nodes are available"}}}}
	}
	type test struct {
		name string
		pod  corev1.Pod
		want string
	}
	tests := []test{
		{name: "a pod that falls again and again says how it ended", pod: ended(waitingPod("", "CrashLoopBackOff", "back-off 10s")), want: "CrashLoopBackOff: it ended with OOMKilled, exit code 137"},
		{name: "if nobody knows how it ended the message must do", pod: waitingPod("", "CrashLoopBackOff", "back-off 10s"), want: "CrashLoopBackOff: back-off 10s"},
		{name: "an image that is missing is told in its own words, whatever ran before", pod: ended(waitingPod("", "ImagePullBackOff", "no such image")), want: "ImagePullBackOff: no such image"},
		{name: "a reason without a message stands alone", pod: waitingPod("", "CreateContainerError", ""), want: "CreateContainerError"},
		{name: "a pod that starts has no problem", pod: waitingPod("", "ContainerCreating", "")},
		{name: "a pod without a status has no problem"},
		{name: "a pod that runs has no problem with how it ended before", pod: corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1}}}}}}},
		{name: "the second container is looked at when the first runs", pod: after(waitingPod("", "InvalidImageName", "bad"), corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}), want: "InvalidImageName: bad"},
		{name: "the second container is looked at when the first only starts", pod: after(waitingPod("", "InvalidImageName", "bad"), corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}), want: "InvalidImageName: bad"},
		{name: "a pod that fits no node says why", pod: placed(corev1.PodScheduled, corev1.PodReasonUnschedulable), want: "Unschedulable: 0/3 nodes are available"},
		{name: "a pod that the scheduler has to wait with has no problem", pod: placed(corev1.PodScheduled, corev1.PodReasonSchedulingGated)},
		{name: "only the scheduler says what fits no node", pod: placed(corev1.PodReady, corev1.PodReasonUnschedulable)},
	}
	for _, reason := range []string{
		"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull",
		"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
	} {
		tests = append(tests, test{name: reason + " does not mend itself", pod: waitingPod("", reason, "why"), want: reason + ": why"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := problemOf(&tt.pod); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
