package stack

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/rollout"
)

// startSlack is a tolerance: according to its report, a speaker may have started up to startSlack before its
// container. Both times are from the clock of the node, in full seconds.
const startSlack = time.Second

// meshPortName is the name of the port of the mesh in the pod template of the speakers.
const meshPortName = "mesh"

// rolloutObservations is what a process of the operator has observed for its rollouts. It is not safe for
// concurrent use.
type rolloutObservations struct {
	since    time.Time // the time since which the API server has answered; zero: it did not answer the last request
	pods     map[types.UID]podReadiness
	ending   map[types.UID]bool // pods that are deleted or being deleted, although the cache may not show it yet
	informed bool               // readEndingPods has run
	stack    types.UID
	stored   rollout.Stored // the state that was last stored in the status; the status in the cache may be older
	applied  int64          // the last generation of the stack whose objects were all applied; 0: not known
}

// podReadiness is whether a pod is ready, and the time since which it has been so.
type podReadiness struct {
	ready    bool
	restarts int32
	since    time.Time
}

// noteAnswer records whether the API server answered the requests of a pass. The time in which it does not
// answer does not count towards the time limits of a rollout. An answer that reports a conflict is ignored.
func (o *rolloutObservations) noteAnswer(err error, now time.Time) {
	switch {
	case apierrors.IsConflict(err):
	case err != nil:
		o.since = time.Time{}
	case o.since.IsZero():
		o.since = now
	}
}

// readinessOf returns whether a pod is ready, its number of restarts, and the time since which both have not
// changed.
func (o *rolloutObservations) readinessOf(pod *corev1.Pod, now time.Time) podReadiness {
	is := podReadiness{ready: isPodReady(pod), since: now}
	for i := range pod.Status.ContainerStatuses {
		is.restarts += pod.Status.ContainerStatuses[i].RestartCount
	}
	if was, known := o.pods[pod.UID]; known && was.ready == is.ready && was.restarts == is.restarts {
		is.since = was.since
	}
	return is
}

// liveWorkloads reads the Deployment and the DaemonSet from the cache. An object that does not exist is
// empty.
func (r *Reconciler) liveWorkloads(ctx context.Context) (*appsv1.Deployment, *appsv1.DaemonSet, error) {
	deployment, daemonSet := &appsv1.Deployment{}, &appsv1.DaemonSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: "lbstack-controller"}, deployment); client.IgnoreNotFound(err) != nil {
		return nil, nil, fmt.Errorf("reading the Deployment of the controller from the cache: %w", err)
	}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: "lbstack-speaker"}, daemonSet); client.IgnoreNotFound(err) != nil {
		return nil, nil, fmt.Errorf("reading the DaemonSet of the speakers from the cache: %w", err)
	}
	return deployment, daemonSet, nil
}

// rolloutFacts gathers the facts on which the decision about a rollout depends. The parameter account is the
// UID of the ServiceAccount of the speakers; empty: not known.
func (r *Reconciler) rolloutFacts(around *clusterState, deployment *appsv1.Deployment, daemonSet *appsv1.DaemonSet, account string, now time.Time) rollout.State {
	s := rollout.State{Nodes: map[lb.NodeName]rollout.Node{}, SeenSince: r.observed.since, Now: now, Outages: outagesOf(around.services)}
	s.Controller = controllerFacts(deployment, problemsSentence(diagnosePods(around.podsOf("controller"), around.down)))
	if daemonSet.Status.ObservedGeneration >= daemonSet.Generation {
		s.Template = rollout.Hash(daemonSet.Spec.Template.Labels[v1beta1.LabelRevision])
	}
	pods := podsByNode(around.podsOf("speaker"))
	states := map[string]*v1beta1.SpeakerState{}
	for i := range around.states {
		states[around.states[i].Name] = &around.states[i]
	}
	seen := map[types.UID]podReadiness{}
	for name, node := range around.hosts {
		if pod := r.speakerPod(pods[name]); pod != nil {
			seen[pod.UID] = r.observed.readinessOf(pod, now)
			node.Pod = podFacts(pod, seen[pod.UID], r.observed.ending[pod.UID])
			of := pod.Annotations[v1beta1.AnnotationServiceAccount] // empty: not known
			node.Pod.Unauthorized = of != "" && account != "" && of != account
			if state := states[name]; state != nil && isReportOf(state, pod) {
				node.Report = apiconv.RolloutReport(state)
			}
		}
		s.Nodes[lb.NodeName(name)] = node
	}
	r.observed.pods = seen
	for uid := range r.observed.ending {
		if !hasPod(around.pods, uid) {
			delete(r.observed.ending, uid)
		}
	}
	return s
}

// speakerPod returns the pod of a node. If there are several, it prefers one that is not ending.
func (r *Reconciler) speakerPod(pods []*corev1.Pod) *corev1.Pod {
	var chosen *corev1.Pod
	for _, pod := range pods {
		if chosen == nil || pod.DeletionTimestamp == nil && !r.observed.ending[pod.UID] {
			chosen = pod
		}
	}
	return chosen
}

func hasPod(pods []corev1.Pod, uid types.UID) bool {
	for i := range pods {
		if pods[i].UID == uid {
			return true
		}
	}
	return false
}

// controllerFacts returns the state of the controller. The controller is ready if a pod is available, and all
// pods are from the present template.
func controllerFacts(d *appsv1.Deployment, problem string) rollout.Workload {
	if d.Status.ObservedGeneration < d.Generation {
		return rollout.Workload{Problem: problem}
	}
	return rollout.Workload{
		Template: rollout.Hash(d.Spec.Template.Labels[v1beta1.LabelRevision]), Problem: problem,
		Ready: d.Status.AvailableReplicas > 0 && d.Status.UpdatedReplicas == d.Status.Replicas,
	}
}

func podFacts(pod *corev1.Pod, is podReadiness, ending bool) *rollout.Pod {
	p := &rollout.Pod{
		ID: string(pod.UID), Revision: rollout.Hash(pod.Labels[v1beta1.LabelRevision]), Ready: is.ready, Since: is.since, Restarts: int(is.restarts),
		Ending: ending || pod.DeletionTimestamp != nil, Problem: podProblemMessage(pod),
	}
	for i := range pod.Spec.Containers {
		for _, port := range pod.Spec.Containers[i].Ports {
			if port.Name == meshPortName {
				p.Mesh = int(port.HostPort)
			}
		}
	}
	return p
}

// isReportOf reports whether a SpeakerState is from the process that now runs in a pod.
func isReportOf(state *v1beta1.SpeakerState, pod *corev1.Pod) bool {
	if state.Status.Phase == "" || state.Status.Phase == v1beta1.SpeakerStopped {
		return false
	}
	for i := range pod.Status.ContainerStatuses {
		running := pod.Status.ContainerStatuses[i].State.Running
		if started := state.Status.StartedAt; running != nil && started != nil {
			return !started.Time.Before(running.StartedAt.Add(-startSlack))
		}
	}
	return state.Status.StartedAt == nil
}

// outagesOf returns the Services that have endpoints and that no node announces, although nodes may announce them.
func outagesOf(services []corev1.Service) []rollout.Outage {
	var list []rollout.Outage
	for i := range services {
		svc := &services[i]
		c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
		if c == nil || c.Status != metav1.ConditionFalse || c.Reason != v1beta1.ReasonNotAnnounced || svc.DeletionTimestamp != nil {
			continue
		}
		o := rollout.Outage{Service: lb.ServiceKey{Namespace: svc.Namespace, Name: svc.Name}, Since: c.LastTransitionTime.Time, Changed: svc.CreationTimestamp.Time}
		if at := lastEditTime(svc.ManagedFields); at.After(o.Changed) {
			o.Changed = at
		}
		list = append(list, o)
	}
	return list
}

// lastEditTime returns when a writer other than lbstack last changed an object, except its status.
func lastEditTime(entries []metav1.ManagedFieldsEntry) time.Time {
	var latest time.Time
	for _, entry := range entries {
		if entry.Subresource == "" && entry.Manager != fieldOwner && entry.Manager != v1beta1.ManagedByController && entry.Time != nil && entry.Time.After(latest) {
			latest = entry.Time.Time
		}
	}
	return latest
}

// rolloutNode returns the facts about a node that a rollout depends on, without its pod and its report.
func rolloutNode(node *corev1.Node, taint string, silent bool) rollout.Node {
	n := rollout.Node{Silent: silent}
	ready := readyCondition(node)
	if ready != nil {
		n.UpSince = ready.LastTransitionTime.Time
	}
	switch {
	case ready == nil || ready.Status != corev1.ConditionTrue:
		n.Skip, n.Down = "NotReady", true
	case taint != "":
		n.Skip = "tainted with " + taint
	}
	return n
}

// problemsSentence returns one sentence with all problems.
func problemsSentence(list []podProblem) string {
	var words []string
	for _, p := range list {
		words = append(words, p.String())
	}
	return joinWords(words, "; ")
}
