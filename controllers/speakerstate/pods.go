package speakerstate

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
)

const (
	// restartTimeout is how long the next speaker on a node may take to report after a speaker was stopped there.
	// The other speakers cover for the node for the same time.
	restartTimeout = 30 * time.Second
	// startTolerance is the longest time that may pass from the first report of a speaker until its kubelet
	// reports that the container runs.
	startTolerance = 3 * time.Second
	// unreadyPeriod is how long a kubelet must have reported that a speaker runs and is not ready. A kubelet
	// that starts reports all containers as not ready until it has probed them, which it does every 2 s.
	unreadyPeriod = 5 * time.Second
)

// absenceFinder finds the nodes on which no speaker runs, from what the kubelets report.
type absenceFinder struct {
	// unstarted has the nodes whose speaker has reported, but that have no pod with a started container. The
	// value is the time since which a node has had no such pod.
	unstarted map[lb.NodeName]time.Time
	// unready has the nodes on which the container of a speaker runs and is not ready, with the time since
	// which it has not been ready.
	unready map[lb.NodeName]time.Time
}

// findAbsent returns the nodes on which no speaker runs, with the reason as part of a sentence. again is the
// time until the result can change although no object changes; 0: it cannot. If a kubelet does not report,
// for example on a dead node, findAbsent does not notice that the speaker ended. Only the other speakers
// notice it then.
func (a *absenceFinder) findAbsent(now time.Time, states []v1beta1.SpeakerState, pods []corev1.Pod) (why map[lb.NodeName]string, again time.Duration) {
	runs, ended := speakerContainers(pods)
	why, unstarted := map[lb.NodeName]string{}, map[lb.NodeName]time.Time{}
	wait := func(left time.Duration) bool {
		again = backoff.ShorterWait(again, left)
		return left > 0
	}
	for i := range states {
		node := lb.NodeName(states[i].Name)
		switch how, has := ended[node]; {
		case states[i].Status.Phase == v1beta1.SpeakerStopped:
			if ready := meta.FindStatusCondition(states[i].Status.Conditions, v1beta1.ConditionReady); ready != nil && !wait(ready.LastTransitionTime.Add(restartTimeout).Sub(now)) {
				why[node] = "it was stopped, and no speaker has started there since"
			}
		case runs[node] || states[i].Status.Phase == "":
		case has:
			why[node] = "its container does not run" + how
		case len(pods) > 0: // otherwise the pods are not known
			since, was := a.unstarted[node]
			if !was {
				since = now
			}
			if unstarted[node] = since; !wait(since.Add(startTolerance).Sub(now)) {
				why[node] = "no pod of the speaker runs there"
			}
		}
	}
	a.unstarted = unstarted
	return why, again
}

// findUnready returns the nodes whose speaker runs and has not been ready for unreadyPeriod. again is the
// time until the result can change although no object changes; 0: it cannot.
func (a *absenceFinder) findUnready(now time.Time, pods []corev1.Pod) (found map[lb.NodeName]bool, again time.Duration) {
	since := map[lb.NodeName]time.Time{}
	found = map[lb.NodeName]bool{}
	for node, ready := range speakerReadiness(pods) {
		if ready {
			continue
		}
		if since[node] = now; !a.unready[node].IsZero() {
			since[node] = a.unready[node]
		}
		left := since[node].Add(unreadyPeriod).Sub(now)
		if left <= 0 {
			found[node] = true
		}
		again = backoff.ShorterWait(again, left)
	}
	a.unready = since
	return found, again
}

// speakerReadiness returns the nodes on which the container of a speaker runs, and whether such a container
// is ready.
func speakerReadiness(pods []corev1.Pod) map[lb.NodeName]bool {
	ready := map[lb.NodeName]bool{}
	for i := range pods {
		node := lb.NodeName(pods[i].Spec.NodeName)
		for _, c := range pods[i].Status.ContainerStatuses {
			if c.State.Running != nil {
				ready[node] = ready[node] || c.Ready
			}
		}
	}
	return ready
}

// speakerContainers returns the nodes on which the container of a speaker runs. It also returns the nodes on
// which such a container has ended, with the reason as the end of a sentence.
func speakerContainers(pods []corev1.Pod) (runs map[lb.NodeName]bool, ended map[lb.NodeName]string) {
	runs, ended = map[lb.NodeName]bool{}, map[lb.NodeName]string{}
	for i := range pods {
		node := lb.NodeName(pods[i].Spec.NodeName)
		for _, c := range pods[i].Status.ContainerStatuses {
			switch {
			case c.State.Running != nil:
				runs[node] = true
			case c.State.Terminated != nil:
				ended[node] = whyEnded(c.State.Terminated, c.State.Terminated.Reason)
			case c.State.Waiting != nil && c.LastTerminationState.Terminated != nil:
				ended[node] = whyEnded(c.LastTerminationState.Terminated, c.State.Waiting.Reason)
			}
		}
	}
	return runs, ended
}

// maxLastLineBytes is the maximum length, in bytes, of the last line of a program in a message.
const maxLastLineBytes = 512

// whyEnded returns the reason that the kubelet reports and, if there is one, the last line that the program
// wrote: it names, for example, a port that is in use.
func whyEnded(t *corev1.ContainerStateTerminated, reason string) string {
	if words := apiconv.TerminationLine(t); words != "" {
		return fmt.Sprintf(" (%s): %s", reason, bounded.Cut(words, maxLastLineBytes))
	}
	return fmt.Sprintf(" (%s)", reason)
}

// podChanged is a predicate for changes of the state, or of the readiness, of a pod's containers.
var podChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Pod)
	now, also := e.ObjectNew.(*corev1.Pod)
	if !ok || !also {
		return true
	}
	runs, ended := speakerContainers([]corev1.Pod{*before})
	runNow, endedNow := speakerContainers([]corev1.Pod{*now})
	node := lb.NodeName(now.Spec.NodeName)
	ready, readyNow := speakerReadiness([]corev1.Pod{*before}), speakerReadiness([]corev1.Pod{*now})
	return ready[node] != readyNow[node] || runs[node] != runNow[node] || ended[node] != endedNow[node]
}}
