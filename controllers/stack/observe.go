package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
)

const (
	// announceDelay is how long the condition Announced of a Service may be False before the Service counts
	// as not announced.
	announceDelay = 3 * time.Second
	// creationTimeout is how long a container may take to be created before the events of its pod are read.
	creationTimeout = 20 * time.Second
	// maxEventAge is the age up to which an event explains a present problem: a controller that backs off
	// tries again within a quarter of an hour.
	maxEventAge = 20 * time.Minute
	// maxEvents is how many events are read at once.
	maxEvents = 100
)

// clusterState has the objects in the cache that show the state of the components.
type clusterState struct {
	placement
	pods     []corev1.Pod // of the components, also on nodes that are down
	states   []v1beta1.SpeakerState
	services []corev1.Service
	claims   []v1beta1.IPAddressClaim
	pools    map[v1beta1.ObjectName]bool
}

// podsOf returns the pods of a component.
func (s *clusterState) podsOf(component string) []corev1.Pod {
	var pods []corev1.Pod
	for i := range s.pods {
		if s.pods[i].Labels[v1beta1.LabelComponent] == component {
			pods = append(pods, s.pods[i])
		}
	}
	return pods
}

// observe reads the cache. The objects that it returns are shared with the cache: never change them.
func (r *Reconciler) observe(ctx context.Context, wanted []*unstructured.Unstructured) (*clusterState, error) {
	speakers, err := speakerTemplate(wanted)
	if err != nil {
		return nil, err
	}
	var nodes corev1.NodeList
	var pods corev1.PodList
	var states v1beta1.SpeakerStateList
	var services corev1.ServiceList
	var claims v1beta1.IPAddressClaimList
	var pools v1beta1.IPAddressPoolList
	for _, list := range []client.ObjectList{&nodes, &pods, &states, &services, &claims, &pools} {
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("reading a %T from the cache: %w", list, err)
		}
	}
	s := &clusterState{pods: pods.Items, states: states.Items, services: services.Items, claims: claims.Items, pools: map[v1beta1.ObjectName]bool{}}
	for i := range pools.Items {
		s.pools[v1beta1.ObjectName(pools.Items[i].Name)] = true
	}
	s.placement = newPlacement(nodes.Items, s.podsOf("speaker"), s.states, speakers)
	return s, nil
}

// speakerTemplate returns the pod template of the DaemonSet.
func speakerTemplate(wanted []*unstructured.Unstructured) (corev1.PodSpec, error) {
	for _, object := range wanted {
		if object.GetKind() == "DaemonSet" {
			var d appsv1.DaemonSet
			err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d)
			return d.Spec.Template.Spec, err
		}
	}
	return corev1.PodSpec{}, errors.New("the manifests have no DaemonSet")
}

// examineProblems records in f the problems of components, speakers and Services. If events cannot be read,
// it records that as another failure, and all other findings stay.
func (r *Reconciler) examineProblems(ctx context.Context, stack *v1beta1.LoadBalancerStack, around *clusterState, f *findings) error {
	var failed []error
	now := time.Now()
	f.nodes = around.unavailable
	f.speakers = speakerProblemMessages(around.states, around.down)
	f.services = countServices(around.services, stack.Spec.LoadBalancerClass, now)
	f.orphans = orphansSentence(around.claims, around.pools)
	for i := range f.components {
		c := &f.components[i]
		if c.unknown {
			continue
		}
		if c.nowhere && c.Kind == "DaemonSet" {
			f.noNodes = noNodesReason(around.placement, stack.Spec.Speaker.ComponentSpec)
		}
		pods := around.podsOf(c.Name)
		if c.failing = diagnosePods(pods, around.down); len(c.failing) > 0 || c.settled {
			continue
		}
		if nodes := unreadyNodes(pods, around.down); len(nodes) > 0 {
			c.Message = bounded.Cut(c.Message+": not ready on "+listNames(nodes), maxProblemBytes)
		}
		failed = append(failed, f.addFailure(v1beta1.ReasonReportFailed, r.readEvents(ctx, c, pods, around, now)))
	}
	return errors.Join(failed...)
}

// readEvents reads the events of a component that is not settled: only events show why its pods or their
// containers are not created.
func (r *Reconciler) readEvents(ctx context.Context, c *componentState, pods []corev1.Pod, around *clusterState, now time.Time) error {
	var lacking []string
	if c.missing > 0 && c.Kind == "DaemonSet" {
		lacking = around.lacking
		note, err := r.lastWarning(ctx, fields.Set{"involvedObject.kind": c.Kind, "involvedObject.name": "lbstack-" + c.Name, "reason": "FailedCreate"}, now)
		if err != nil {
			return err
		}
		c.refusal = note
	}
	if c.missing > 0 && c.refusal != "" {
		c.failing = []podProblem{deniedProblem(c, lacking, r.Namespace)}
		return nil
	}
	pod, node := stuckPod(pods, around.down, now)
	if pod == "" {
		return nil
	}
	note, err := r.lastWarning(ctx, fields.Set{"involvedObject.kind": "Pod", "involvedObject.name": pod, "type": corev1.EventTypeWarning}, now)
	if note != "" {
		c.failing = []podProblem{{"the container is not created: " + bounded.Cut(note, maxProblemBytes), []string{node}}}
	}
	return err
}

// stuckPod returns the first pod, by name, for which no container has been created within creationTimeout.
func stuckPod(pods []corev1.Pod, down map[string]bool, now time.Time) (name, node string) {
	for i := range pods {
		pod := &pods[i]
		if pod.DeletionTimestamp != nil || pod.Spec.NodeName == "" || pod.Status.Phase != corev1.PodPending || down[pod.Spec.NodeName] ||
			now.Sub(pod.CreationTimestamp.Time) < creationTimeout {
			continue
		}
		if name == "" || pod.Name < name {
			name, node = pod.Name, pod.Spec.NodeName
		}
	}
	return name, node
}

// lastWarning returns the message of the latest event with these fields within maxEventAge; empty:
// there is none.
func (r *Reconciler) lastWarning(ctx context.Context, about fields.Set, now time.Time) (string, error) {
	var list corev1.EventList
	err := r.Reader.List(ctx, &list, client.InNamespace(r.Namespace), client.MatchingFieldsSelector{Selector: about.AsSelector()}, client.Limit(maxEvents))
	if err != nil {
		return "", fmt.Errorf("reading the events of %s in the namespace %s: %w", about["involvedObject.name"], r.Namespace, err)
	}
	note, latest := "", now.Add(-maxEventAge)
	for i := range list.Items {
		if at := eventTime(&list.Items[i]); at.After(latest) {
			note, latest = list.Items[i].Message, at
		}
	}
	return note, nil
}

// eventTime returns when an event was last seen. The event may have been written with the API core/v1 or
// events.k8s.io.
func eventTime(e *corev1.Event) time.Time {
	latest := e.CreationTimestamp.Time
	for _, at := range []time.Time{e.EventTime.Time, e.LastTimestamp.Time} {
		if at.After(latest) {
			latest = at
		}
	}
	if e.Series != nil && e.Series.LastObservedTime.After(latest) {
		latest = e.Series.LastObservedTime.Time
	}
	return latest
}

// noNodesReason returns why no node can run a speaker; empty: at least one node can.
func noNodesReason(p placement, spec v1beta1.ComponentSpec) string {
	const consequence = "no address is announced"
	selector := spec.NodeSelector
	switch {
	case p.able > 0:
		return ""
	case p.selected > 0:
		return fmt.Sprintf("all %d nodes that spec.speaker.nodeSelector selects have taints that speakers do not tolerate: %s: add tolerations to spec.speaker.tolerations", p.selected, consequence)
	case spec.Affinity != nil && spec.Affinity.NodeAffinity != nil:
		return "spec.speaker.nodeSelector and spec.speaker.affinity select no Linux node: " + consequence + ": correct these fields, or label nodes"
	case len(selector) > 0:
		return fmt.Sprintf("spec.speaker.nodeSelector (%s) selects no Linux node: %s: correct the selector, or label nodes", fields.Set(selector), consequence)
	}
	return "the cluster has no Linux node: " + consequence
}

// countServices counts the Services with an address of lbstack: those with the condition Announced. A Service
// that is not announced counts only after announceDelay, so that there is time to announce a new address.
func countServices(services []corev1.Service, class string, now time.Time) serviceCounts {
	s := serviceCounts{class: class}
	for i := range services {
		announced := meta.FindStatusCondition(services[i].Status.Conditions, v1beta1.ServiceAnnounced)
		if announced == nil || services[i].DeletionTimestamp != nil {
			continue
		}
		if !apiconv.IsServedBy(&services[i], class) {
			s.otherClass = append(s.otherClass, fmt.Sprintf("%s/%s", services[i].Namespace, services[i].Name))
		}
		left := announceDelay - now.Sub(announced.LastTransitionTime.Time)
		switch {
		case announced.Status == metav1.ConditionTrue:
			s.announced++
		case announced.Reason == v1beta1.ReasonNoEndpoints:
			s.idle++
		case left > 0:
			s.again = max(s.again, left)
			continue
		default:
			s.why = append(s.why, fmt.Sprintf("%s/%s (%s)", services[i].Namespace, services[i].Name, announced.Reason))
		}
		s.addressed++
	}
	slices.Sort(s.why)
	slices.Sort(s.otherClass)
	return s
}

// orphansSentence returns a sentence about the addresses in use whose pools do not exist.
func orphansSentence(claims []v1beta1.IPAddressClaim, pools map[v1beta1.ObjectName]bool) string {
	var list []string
	for i := range claims {
		c := &claims[i]
		if c.Spec.State == v1beta1.ClaimInUse && !pools[c.Spec.Pool] {
			list = append(list, fmt.Sprintf("%s (pool %s)", c.Spec.Address, c.Spec.Pool))
		}
	}
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return fmt.Sprintf("%d addresses in use are from pools that do not exist: %s: their Services keep these addresses; create the pools again, or give the Services other addresses",
		len(list), listNames(list))
}
