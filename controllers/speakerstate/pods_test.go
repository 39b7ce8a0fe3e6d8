package speakerstate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/lb"
)

var (
	running  = corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	creating = corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}
	killed   = corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error"}}}
	crashing = corev1.ContainerStatus{
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error"}},
	}
)

func pod(node string, containers ...corev1.ContainerStatus) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "lbstack-speaker-" + node}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{ContainerStatuses: containers},
	}
}

func TestEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		pods []corev1.Pod
		want map[lb.NodeName]string
	}{
		"runs":                               {[]corev1.Pod{pod("a", running)}, nil},
		"was killed":                         {[]corev1.Pod{pod("a", killed), pod("b", running)}, map[lb.NodeName]string{"a": "Error"}},
		"ends again and again":               {[]corev1.Pod{pod("a", crashing)}, map[lb.NodeName]string{"a": "CrashLoopBackOff"}},
		"starts for the first time":          {[]corev1.Pod{pod("a", creating)}, nil},
		"one has ended, and the next runs":   {[]corev1.Pod{pod("a", killed), pod("a", running)}, nil},
		"one has ended, and the next starts": {[]corev1.Pod{pod("a", killed), pod("a", creating)}, map[lb.NodeName]string{"a": "Error"}},
		"the kubelet has said nothing yet":   {[]corev1.Pod{pod("a")}, nil},
	} {
		got := ended(tt.pods)
		if diff := cmp.Diff(tt.want, got); diff != "" && len(tt.want)+len(got) > 0 {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPodChanged(t *testing.T) {
	for name, tt := range map[string]struct {
		before, now corev1.ContainerStatus
		want        bool
	}{
		"nothing":                {running, running, false},
		"it was killed":          {running, killed, true},
		"it ends again":          {killed, crashing, true},
		"it runs again":          {crashing, running, true},
		"it runs for once":       {creating, running, false},
		"a restart is counted":   {running, corev1.ContainerStatus{State: running.State, RestartCount: 7}, false},
		"it has still not begun": {creating, creating, false},
	} {
		before, now := pod("a", tt.before), pod("a", tt.now)
		if got := podChanged.Update(event.UpdateEvent{ObjectOld: &before, ObjectNew: &now}); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

// The kubelet of a node that lives says that the speaker there has ended, also where no other
// speaker is left that could miss it.
func TestDecide_SpeakerThatHasEnded(t *testing.T) {
	list := decide([]v1beta1.SpeakerState{state("a")}, []advertise.Node{{Name: "a"}}, map[lb.NodeName]string{"a": "CrashLoopBackOff"})
	want := metav1.Condition{
		Type: v1beta1.ConditionCurrent, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonSpeakerEnded,
		Message: "the speaker of the node a: its container does not run (CrashLoopBackOff): this status is as it was reported last, and other nodes may announce its addresses: look at the speaker's pod",
	}
	if diff := cmp.Diff([]metav1.Condition{want}, list); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
