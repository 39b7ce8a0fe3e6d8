package stack

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
)

// Bounds of the cached parts of objects that tenants may have written.
const (
	maxOwnedKeys     = 64      // labels, or annotations, of an object that the operator made
	maxOwnedBytes    = 4 << 10 // bytes of the metadata of such an object
	maxNodeNameBytes = 253     // bytes
	maxContainers    = 4       // containers of a Pod that the cache keeps
	maxRestartBytes  = 64      // bytes
	maxWaitingBytes  = 1 << 10 // bytes: the message of a waiting container has the name of its image
)

// stripTransform returns a transform of the cache that applies the function strip to objects of one type. The
// function returns the parts of an object that the operator reads.
func stripTransform[T client.Object](strip func(T) T) func(any) (any, error) {
	return func(in any) (any, error) {
		if object, ok := in.(T); ok {
			return strip(object), nil
		}
		return in, nil // a tombstone
	}
}

// stripMeta returns what a pass reads of the metadata of objects that it does not write.
func stripMeta(from metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: from.Namespace, Name: from.Name, UID: from.UID, ResourceVersion: from.ResourceVersion,
		CreationTimestamp: from.CreationTimestamp, DeletionTimestamp: from.DeletionTimestamp,
	}
}

func stripNode(from *corev1.Node) *corev1.Node {
	to := &corev1.Node{TypeMeta: from.TypeMeta, ObjectMeta: stripMeta(from.ObjectMeta)}
	to.Labels, to.Spec.Taints = from.Labels, from.Spec.Taints
	for i := range to.Spec.Taints {
		to.Spec.Taints[i].TimeAdded = nil
	}
	if ready := readyCondition(from); ready != nil {
		to.Status.Conditions = []corev1.NodeCondition{*ready}
		to.Status.Conditions[0].LastHeartbeatTime = metav1.Time{}
	}
	return to
}

// stripPod keeps the node of a Pod, three labels, the port of the mesh, and the parts of the status that show
// problems. Of a Pod that is not scheduled yet, it keeps the node that the affinity names.
func stripPod(from *corev1.Pod) *corev1.Pod {
	to := &corev1.Pod{TypeMeta: from.TypeMeta, ObjectMeta: stripMeta(from.ObjectMeta)}
	for _, key := range []string{v1beta1.LabelComponent, labelTemplateGeneration, v1beta1.LabelRevision} {
		if value, ok := from.Labels[key]; ok {
			metav1.SetMetaDataLabel(&to.ObjectMeta, key, value)
		}
	}
	if to.Spec.NodeName = from.Spec.NodeName; to.Spec.NodeName == "" {
		to.Spec.Affinity = affinityToNode(bounded.Cut(nodeOf(from), maxNodeNameBytes))
	}
	for i := range from.Spec.Containers[:min(len(from.Spec.Containers), maxContainers)] {
		for _, port := range from.Spec.Containers[i].Ports {
			if port.Name == meshPortName {
				to.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: port.Name, HostPort: port.HostPort}}}}
			}
		}
	}
	to.Status.Phase = from.Status.Phase
	for _, c := range from.Status.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled {
			to.Status.Conditions = append(to.Status.Conditions, corev1.PodCondition{
				Type: c.Type, Status: c.Status, Reason: c.Reason, Message: bounded.Message(c.Message), LastTransitionTime: c.LastTransitionTime})
		}
	}
	for _, c := range from.Status.ContainerStatuses[:min(len(from.Status.ContainerStatuses), maxContainers)] {
		to.Status.ContainerStatuses = append(to.Status.ContainerStatuses, corev1.ContainerStatus{
			Ready: c.Ready, RestartCount: c.RestartCount, State: stripContainer(c.State), LastTerminationState: stripContainer(c.LastTerminationState)})
	}
	return to
}

// affinityToNode returns an affinity in which nodeOf finds the node; nil: there is no node.
func affinityToNode(node string) *corev1.Affinity {
	if node == "" {
		return nil
	}
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
			{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}},
	}}}
}

func stripContainer(from corev1.ContainerState) corev1.ContainerState {
	to := corev1.ContainerState{Running: from.Running}
	if w := from.Waiting; w != nil {
		to.Waiting = &corev1.ContainerStateWaiting{Reason: w.Reason, Message: bounded.Cut(w.Message, maxWaitingBytes)}
	}
	if t := from.Terminated; t != nil {
		to.Terminated = &corev1.ContainerStateTerminated{ExitCode: t.ExitCode, Reason: t.Reason, Message: bounded.Message(t.Message)}
	}
	return to
}

func stripService(from *corev1.Service) *corev1.Service {
	to := &corev1.Service{TypeMeta: from.TypeMeta, ObjectMeta: stripMeta(from.ObjectMeta)}
	to.Spec.Type, to.Spec.LoadBalancerClass = from.Spec.Type, from.Spec.LoadBalancerClass
	if at := lastEditTime(from.ManagedFields); !at.IsZero() {
		to.ManagedFields = []metav1.ManagedFieldsEntry{{Time: &metav1.Time{Time: at}}}
	}
	if c := meta.FindStatusCondition(from.Status.Conditions, v1beta1.ServiceAnnounced); c != nil {
		to.Status.Conditions = []metav1.Condition{{Type: c.Type, Status: c.Status, Reason: c.Reason, LastTransitionTime: c.LastTransitionTime}}
	}
	return to
}

func stripState(from *v1beta1.SpeakerState) *v1beta1.SpeakerState {
	to := &v1beta1.SpeakerState{TypeMeta: from.TypeMeta, ObjectMeta: stripMeta(from.ObjectMeta)}
	to.Status.Phase, to.Status.MissingSpeakers = from.Status.Phase, slices.Clone(from.Status.MissingSpeakers)
	to.Status.MeshKeys = slices.Clone(from.Status.MeshKeys)
	for i := range from.Status.CoveredNodes {
		to.Status.CoveredNodes = append(to.Status.CoveredNodes, v1beta1.CoveredNode{Name: from.Status.CoveredNodes[i].Name})
	}
	to.Status.StartedAt, to.Status.AddressCount, to.Status.RouteCount = from.Status.StartedAt, from.Status.AddressCount, from.Status.RouteCount
	for i := range from.Status.BGPPeers {
		p := v1beta1.SpeakerBGPPeer{Name: from.Status.BGPPeers[i].Name}
		if from.Status.BGPPeers[i].State == v1beta1.BGPEstablished {
			p.State = v1beta1.BGPEstablished
		}
		to.Status.BGPPeers = append(to.Status.BGPPeers, p)
	}
	if c := meta.FindStatusCondition(from.Status.Conditions, v1beta1.ConditionReady); c != nil {
		to.Status.Conditions = []metav1.Condition{*c}
	}
	if c := meta.FindStatusCondition(from.Status.Conditions, v1beta1.ConditionCurrent); c != nil {
		to.Status.Conditions = append(to.Status.Conditions, metav1.Condition{Type: c.Type, Status: c.Status, Reason: c.Reason})
	}
	return to
}

func stripClaim(from *v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim {
	to := &v1beta1.IPAddressClaim{TypeMeta: from.TypeMeta, ObjectMeta: stripMeta(from.ObjectMeta)}
	to.Spec.Address, to.Spec.Pool, to.Spec.State = from.Spec.Address, from.Spec.Pool, from.Spec.State
	return to
}

// stripOwned returns a transform for objects of a built-in kind that have the operator's label. It keeps the
// metadata that show whether anybody changed the object, and the state of a workload. If an object has more
// metadata than the operator writes, the transform keeps only what identifies it. Such an object never counts
// as unchanged: if the operator made it, a pass reads it from the API server.
func stripOwned(kind client.Object) func(any) (any, error) {
	return func(in any) (any, error) {
		from, ok := in.(client.Object)
		if !ok {
			return in, nil // a tombstone
		}
		var to client.Object
		switch o := from.(type) {
		case *appsv1.Deployment:
			to = stripDeployment(o)
		case *appsv1.DaemonSet:
			to = stripDaemonSet(o)
		case *appsv1.ControllerRevision:
			to = &appsv1.ControllerRevision{Data: o.Data}
		default:
			to = kind.DeepCopyObject().(client.Object)
		}
		of, is := from.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta)
		kept, are := to.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta)
		if !is || !are {
			return nil, fmt.Errorf("a %T has no metadata", in)
		}
		*kept = stripOwnedMeta(*of)
		return to, nil
	}
}

// stripOwnedMeta returns the metadata that identify a state of an object, within bounds.
func stripOwnedMeta(from metav1.ObjectMeta) metav1.ObjectMeta {
	from.ManagedFields = nil
	if len(from.Labels) > maxOwnedKeys || len(from.Annotations) > maxOwnedKeys || from.Size() > maxOwnedBytes {
		return metav1.ObjectMeta{Namespace: from.Namespace, Name: from.Name, UID: from.UID, ResourceVersion: from.ResourceVersion}
	}
	return from
}

func stripDeployment(from *appsv1.Deployment) *appsv1.Deployment {
	status := from.Status
	to := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: from.Spec.Replicas, Template: stripTemplate(from.Spec.Template)}, Status: appsv1.DeploymentStatus{
		ObservedGeneration: status.ObservedGeneration, Replicas: status.Replicas, UpdatedReplicas: status.UpdatedReplicas,
		ReadyReplicas: status.ReadyReplicas, AvailableReplicas: status.AvailableReplicas,
	}}
	for _, c := range status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure {
			to.Status.Conditions = []appsv1.DeploymentCondition{{Type: c.Type, Status: c.Status, Message: bounded.Message(c.Message)}}
		}
	}
	return to
}

func stripDaemonSet(from *appsv1.DaemonSet) *appsv1.DaemonSet {
	status := from.Status
	status.CollisionCount, status.Conditions = nil, nil
	return &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: stripTemplate(from.Spec.Template)}, Status: status}
}

// stripTemplate keeps the label with the hash of a pod template, and the annotation that kubectl rollout
// restart sets.
func stripTemplate(from corev1.PodTemplateSpec) (to corev1.PodTemplateSpec) {
	if value, ok := from.Labels[v1beta1.LabelRevision]; ok {
		metav1.SetMetaDataLabel(&to.ObjectMeta, v1beta1.LabelRevision, value)
	}
	if value, ok := from.Annotations[annotationRestarted]; ok {
		metav1.SetMetaDataAnnotation(&to.ObjectMeta, annotationRestarted, bounded.Cut(value, maxRestartBytes))
	}
	return to
}
