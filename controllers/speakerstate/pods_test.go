package speakerstate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
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

// taken is what a speaker leaves that cannot open the port of the mesh.
const taken = "port 7575 (udp) is in use by another program: end that program"

// withWords returns a status of which the program has left words when it ended last.
func withWords(s corev1.ContainerStatus) corev1.ContainerStatus {
	s = *s.DeepCopy()
	for _, state := range []*corev1.ContainerState{&s.State, &s.LastTerminationState} {
		if state.Terminated != nil {
			state.Terminated.Message = "a line of the log\n" + taken + "\n"
		}
	}
	return s
}

func pod(node string, containers ...corev1.ContainerStatus) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "lbstack-speaker-" + node}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{ContainerStatuses: containers},
	}
}

// stoppedAt is when the speaker was stopped, by its state.
func stoppedAt(at time.Time) func(*v1beta1.SpeakerStateStatus) {
	return func(s *v1beta1.SpeakerStateStatus) {
		stops(s)
		s.Conditions = []metav1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonStopped, LastTransitionTime: metav1.NewTime(at)}}
	}
}

func TestAbsences(t *testing.T) {
	now := time.Unix(10000, 0)
	const crashed, stopped, none = "its container does not run (Error)", "it was stopped, and no speaker has started there since", "no pod of the speaker runs there"
	for name, tt := range map[string]struct {
		state v1beta1.SpeakerState
		pods  []corev1.Pod
		waits time.Duration // before it is looked
		want  string
		again time.Duration
	}{
		"runs":                                     {state("a"), []corev1.Pod{pod("a", running)}, 0, "", 0},
		"was killed":                               {state("a"), []corev1.Pod{pod("a", killed)}, 0, crashed, 0},
		"ends again and again":                     {state("a"), []corev1.Pod{pod("a", crashing)}, 0, "its container does not run (CrashLoopBackOff)", 0},
		"could not open a port":                    {state("a"), []corev1.Pod{pod("a", withWords(killed))}, 0, "its container does not run (Error): " + taken, 0},
		"cannot open a port again and again":       {state("a"), []corev1.Pod{pod("a", withWords(crashing))}, 0, "its container does not run (CrashLoopBackOff): " + taken, 0},
		"one was killed, and the next runs":        {state("a"), []corev1.Pod{pod("a", killed), pod("a", running)}, 0, "", 0},
		"the kubelet is late to report it running": {state("a"), []corev1.Pod{pod("a", creating)}, 0, "", startTolerance},
		"the next one cannot start":                {state("a"), []corev1.Pod{pod("a", creating)}, startTolerance, none, 0},
		"its pod was deleted by force":             {state("a"), []corev1.Pod{pod("b", running)}, startTolerance, none, 0},
		"no pods are known":                        {state("a"), nil, startTolerance, "", 0},
		"was stopped a moment ago":                 {state("a", stoppedAt(now.Add(-time.Second))), []corev1.Pod{pod("a", killed)}, 0, "", restartTimeout - time.Second},
		"was stopped, and none has started":        {state("a", stoppedAt(now.Add(-restartTimeout))), nil, 0, stopped, 0},
		"has not reported yet":                     {state("a", func(s *v1beta1.SpeakerStateStatus) { s.Phase = "" }), []corev1.Pod{pod("a", killed)}, startTolerance, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var a absenceFinder
			why, again := a.findAbsent(now, []v1beta1.SpeakerState{tt.state}, tt.pods)
			if tt.waits > 0 {
				why, again = a.findAbsent(now.Add(tt.waits), []v1beta1.SpeakerState{tt.state}, tt.pods)
			}
			if why["a"] != tt.want || again != tt.again {
				t.Errorf("got %q, again after %s, want %q and %s", why["a"], again, tt.want, tt.again)
			}
		})
	}
}

func TestFindUnready(t *testing.T) {
	now := time.Unix(10000, 0)
	ready := *running.DeepCopy()
	ready.Ready = true
	for name, tt := range map[string]struct {
		first, then []corev1.Pod
		waits       time.Duration // between the two
		want        bool
		again       time.Duration
	}{
		"it answers":                                   {[]corev1.Pod{pod("a", running)}, []corev1.Pod{pod("a", ready)}, unreadyPeriod, false, 0},
		"it has not answered for a moment":             {[]corev1.Pod{pod("a", ready)}, []corev1.Pod{pod("a", running)}, unreadyPeriod, false, unreadyPeriod},
		"nor for almost as long as counts":             {[]corev1.Pod{pod("a", running)}, []corev1.Pod{pod("a", running)}, unreadyPeriod - time.Second, false, time.Second},
		"it has not for as long":                       {[]corev1.Pod{pod("a", running)}, []corev1.Pod{pod("a", running)}, unreadyPeriod, true, 0},
		"it has ended":                                 {[]corev1.Pod{pod("a", running)}, []corev1.Pod{pod("a", killed)}, unreadyPeriod, false, 0},
		"another one on the node answers":              {[]corev1.Pod{pod("a", running)}, []corev1.Pod{pod("a", running), pod("a", ready)}, unreadyPeriod, false, 0},
		"one on another node has not for a moment":     {[]corev1.Pod{pod("a", running)}, []corev1.Pod{pod("a", running), pod("b", running)}, unreadyPeriod, true, unreadyPeriod},
		"no pods are known":                            {[]corev1.Pod{pod("a", running)}, nil, unreadyPeriod, false, 0},
		"it answered meanwhile, for once, and not now": {nil, []corev1.Pod{pod("a", running)}, unreadyPeriod, false, unreadyPeriod},
	} {
		t.Run(name, func(t *testing.T) {
			var a absenceFinder
			_, _ = a.findUnready(now, tt.first)
			found, again := a.findUnready(now.Add(tt.waits), tt.then)
			if found["a"] != tt.want || again != tt.again {
				t.Errorf("got %v, again after %s, want %v and %s", found["a"], again, tt.want, tt.again)
			}
		})
	}
}

func TestPodChanged(t *testing.T) {
	for name, tt := range map[string]struct {
		before, now corev1.ContainerStatus
		want        bool
	}{
		"nothing":                {running, running, false},
		"it was killed":          {running, killed, true},
		"it answers no more":     {corev1.ContainerStatus{State: running.State, Ready: true}, running, true},
		"it ends again":          {killed, crashing, true},
		"it runs again":          {crashing, running, true},
		"it ends for a reason":   {crashing, withWords(crashing), true},
		"it runs for once":       {creating, running, true},
		"a restart is counted":   {running, corev1.ContainerStatus{State: running.State, RestartCount: 7}, false},
		"it has still not begun": {creating, creating, false},
	} {
		before, now := pod("a", tt.before), pod("a", tt.now)
		if got := podChanged.Update(event.UpdateEvent{ObjectOld: &before, ObjectNew: &now}); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

// The kubelet of a healthy node reports that the speaker there has ended, also where no other
// speaker is left that could miss it.
func TestDecide_SpeakerThatHasEnded(t *testing.T) {
	states, absent := []v1beta1.SpeakerState{state("a")}, map[lb.NodeName]string{"a": "its container does not run (CrashLoopBackOff)"}
	list := decideOf(states, []eligibility.Node{{Name: "a"}}, absent)
	want := metav1.Condition{
		Type: v1beta1.ConditionCurrent, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonSpeakerEnded,
		Message: "the speaker of the node a: its container does not run (CrashLoopBackOff): this status is the last one reported, and other nodes may announce the addresses in it: look at the speaker's pod",
	}
	if diff := cmp.Diff(&want, list[0].current); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
