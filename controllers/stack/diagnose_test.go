package stack

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func waitingPod(node, reason, message string) corev1.Pod {
	return podWith(node, corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}})
}

func podWith(node string, c corev1.ContainerStatus) corev1.Pod {
	return corev1.Pod{Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c}}}
}

func terminated(reason string, code int32, message string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, Message: message}
}

func problemText(list []podProblem) string {
	var words []string
	for _, p := range list {
		words = append(words, p.String())
	}
	return strings.Join(words, "; ")
}

func TestDiagnose(t *testing.T) {
	noImage := func(node string) corev1.Pod { return waitingPod(node, "ErrImagePull", "no such image") }
	pending := corev1.Pod{
		Spec: corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"n4"}}}}}}}}},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: corev1.PodReasonUnschedulable, Message: "no free ports"}}},
	}
	deleted := noImage("n1")
	deleted.DeletionTimestamp = &metav1.Time{}
	tests := []struct {
		name string
		pods []corev1.Pod
		want string
	}{
		{name: "no pods"},
		{name: "pods that only start", pods: []corev1.Pod{waitingPod("n1", "ContainerCreating", ""), waitingPod("n2", "PodInitializing", "")}},
		{name: "equal problems are reported once, with the nodes", pods: []corev1.Pod{noImage("n2"), waitingPod("n3", "ContainerCreating", ""), noImage("n1")},
			want: "on n1 and n2: the image cannot be pulled: no such image"},
		{name: "both reasons of one image are one problem", pods: []corev1.Pod{noImage("n1"), waitingPod("n2", "ImagePullBackOff", `Back-off pulling image "a/b:1": ErrImagePull: no such image`)},
			want: "on n1 and n2: the image cannot be pulled: no such image"},
		{name: "errors of the network differ by the port of the node alone",
			pods: []corev1.Pod{
				waitingPod("n1", "ErrImagePull", "dial tcp: lookup r.example on 10.0.0.9:53: read udp 10.0.0.1:38744->10.0.0.9:53: i/o timeout"),
				waitingPod("n2", "ErrImagePull", "dial tcp: lookup r.example on 10.0.0.9:53: read udp [fd00::2]:40001->10.0.0.9:53: i/o timeout")},
			want: "on n1 and n2: the image cannot be pulled: dial tcp: lookup r.example on 10.0.0.9:53: read udp 10.0.0.9:53: i/o timeout"},
		{name: "pods on nodes that are down and pods that end do not count", pods: []corev1.Pod{noImage("down"), deleted}},
		{name: "different problems are reported in one order", pods: []corev1.Pod{waitingPod("n3", "CreateContainerError", "b"), waitingPod("n2", "CreateContainerError", "a")},
			want: "on n2: CreateContainerError: a; on n3: CreateContainerError: b"},
		{name: "pod of a DaemonSet that fits its node not", pods: []corev1.Pod{pending}, want: "on n4: Unschedulable: no free ports"},
		{name: "many nodes are counted", pods: []corev1.Pod{noImage("n1"), noImage("n2"), noImage("n3"), noImage("n4"), noImage("n5"), noImage("n6"), noImage("n7")},
			want: "on n1, n2, n3, n4, n5 and 2 more: the image cannot be pulled: no such image"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := problemText(diagnosePods(tt.pods, map[string]bool{"down": true})); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUnready(t *testing.T) {
	pod := func(node string, phase corev1.PodPhase, ready corev1.ConditionStatus) corev1.Pod {
		return corev1.Pod{Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
	}
	deleted := pod("n5", corev1.PodRunning, corev1.ConditionFalse)
	deleted.DeletionTimestamp = &metav1.Time{}
	got := unreadyNodes([]corev1.Pod{
		pod("n3", corev1.PodRunning, corev1.ConditionFalse), pod("n1", corev1.PodRunning, corev1.ConditionFalse), pod("n2", corev1.PodRunning, corev1.ConditionTrue),
		pod("n4", corev1.PodPending, corev1.ConditionFalse), pod("down", corev1.PodRunning, corev1.ConditionFalse), deleted,
	}, map[string]bool{"down": true})
	if diff := cmp.Diff([]string{"n1", "n3"}, got); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

func TestDiagnoseIsBounded(t *testing.T) {
	pods := []corev1.Pod{waitingPod("n1", "ErrImagePull", strings.Repeat("long ", maxProblemBytes))}
	if got := problemText(diagnosePods(pods, nil)); len(got) != len("on n1: ")+maxProblemBytes {
		t.Errorf("got %d bytes, want %d", len(got), len("on n1: ")+maxProblemBytes)
	}
}

func TestProblemOf(t *testing.T) {
	crashing := func(last *corev1.ContainerStateTerminated) corev1.Pod {
		pod := waitingPod("", "CrashLoopBackOff", "back-off 10s")
		pod.Status.ContainerStatuses[0].LastTerminationState.Terminated = last
		return pod
	}
	running := func(restarts int32, ready bool, last *corev1.ContainerStateTerminated) corev1.Pod {
		return podWith("", corev1.ContainerStatus{Ready: ready, RestartCount: restarts, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			LastTerminationState: corev1.ContainerState{Terminated: last}})
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
	port := terminated("Error", 1, "log line\nport 7946 (udp) is in use by another program\n")
	tests := []test{
		{name: "crash loop has the last words of the program", pod: crashing(port), want: "the container keeps ending: port 7946 (udp) is in use by another program"},
		{name: "crash loop of a program that panics", pod: crashing(terminated("Error", 2, "log\npanic: no map\n\ngoroutine 1:\n\tmain.go:7")), want: "the container keeps ending: panic: no map"},
		{name: "crash loop of a program that left no words", pod: crashing(terminated("Error", 2, "")), want: "the container keeps ending (reason Error, exit code 2)"},
		{name: "crash loop for lack of memory", pod: crashing(terminated("OOMKilled", 137, "log")), want: "the container keeps ending: it uses more memory than resources.limits.memory in the spec allows"},
		{name: "crash loop of which nobody knows the end", pod: crashing(nil), want: "the container keeps ending: back-off 10s"},
		{name: "container that runs between two ends", pod: running(3, false, port), want: "the container keeps ending: port 7946 (udp) is in use by another program"},
		{name: "container that ended once", pod: running(1, false, port)},
		{name: "container that is ready again", pod: running(9, true, port)},
		{name: "container that was stopped", pod: running(9, false, terminated("Completed", 0, ""))},
		{name: "a pod that starts has no problem", pod: waitingPod("", "ContainerCreating", "")},
		{name: "a pod without a status has no problem"},
		{name: "a pod that runs has no problem with how it ended before", pod: corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1}}}}}}},
		{name: "the second container is looked at when the first runs", pod: after(waitingPod("", "InvalidImageName", "bad"), corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}), want: "the image cannot be pulled: bad"},
		{name: "the second container is looked at when the first only starts", pod: after(waitingPod("", "InvalidImageName", "bad"), corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}), want: "the image cannot be pulled: bad"},
		{name: "a pod that fits no node has the reason", pod: placed(corev1.PodScheduled, corev1.PodReasonUnschedulable), want: "Unschedulable: 0/3 nodes are available"},
		{name: "a pod whose port another pod has reports the port", pod: func() corev1.Pod {
			pod := placed(corev1.PodScheduled, corev1.PodReasonUnschedulable)
			pod.Status.Conditions[0].Message += ": 1 node(s) didn't have free ports for the requested pod ports"
			return pod
		}(), want: "another pod on the node uses one of the ports in spec.speaker.ports: choose other ports, or remove that pod: " +
			"Unschedulable: 0/3 nodes are available: 1 node(s) didn't have free ports for the requested pod ports"},
		{name: "a pod that the scheduler has to wait with has no problem", pod: placed(corev1.PodScheduled, corev1.PodReasonSchedulingGated)},
		{name: "the scheduler alone reports pods that fit no node", pod: placed(corev1.PodReady, corev1.PodReasonUnschedulable)},
	}
	for _, reason := range pullReasons {
		tests = append(tests, test{name: reason, pod: waitingPod("", reason, "why"), want: "the image cannot be pulled: why"})
	}
	for _, reason := range createReasons {
		tests = append(tests, test{name: reason, pod: waitingPod("", reason, "why"), want: reason + ": why"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := podProblemMessage(&tt.pod); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
