package stack

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// gathering is how long changes around the components are gathered before a pass looks at
// them: they come in groups.
const gathering = time.Second

// around are the kinds that tell how the components are, as far as a pass reads them: the
// operator keeps no more of Nodes, Pods, Services and claims than that.
func around() map[client.Object]cache.ByObject {
	components := labels.SelectorFromSet(labels.Set{"app.kubernetes.io/name": "lbstack"})
	balanced := fields.OneTermEqualSelector("spec.type", string(corev1.ServiceTypeLoadBalancer))
	return map[client.Object]cache.ByObject{
		&corev1.Node{}:            {Transform: stripped(stripNode)},
		&corev1.Pod{}:             {Label: components, Transform: stripped(stripPod)},
		&corev1.Service{}:         {Field: balanced, Transform: stripped(stripService)},
		&v1beta1.SpeakerState{}:   {Transform: stripped(stripState)},
		&v1beta1.IPAddressClaim{}: {Transform: stripped(stripClaim)},
	}
}

// watchAround has a pass look at changes around the components, a moment later.
func watchAround(b *builder.Builder, request reconcile.Request) *builder.Builder {
	later := func(queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		queue.AddAfter(request, gathering)
	}
	for object := range around() {
		b = b.Watches(object, handler.Funcs{
			CreateFunc: func(_ context.Context, _ event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
				later(q)
			},
			UpdateFunc: func(_ context.Context, _ event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
				later(q)
			},
			DeleteFunc: func(_ context.Context, _ event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
				later(q)
			},
		}, builder.WithPredicates(predicate.Funcs{UpdateFunc: differs}))
	}
	return b
}

// differs says whether anything is different that a pass reads.
func differs(e event.UpdateEvent) bool {
	before, now := e.ObjectOld.DeepCopyObject().(client.Object), e.ObjectNew.DeepCopyObject().(client.Object)
	before.SetResourceVersion("")
	now.SetResourceVersion("")
	return !equality.Semantic.DeepEqual(before, now)
}

// stripped makes a transform of a function that leaves in an object what is read.
func stripped[T client.Object](strip func(T) T) func(any) (any, error) {
	return func(in any) (any, error) {
		if object, ok := in.(T); ok {
			return strip(object), nil
		}
		return in, nil // a tombstone
	}
}

// metaOnly is what a pass reads of the metadata of objects that it does not write.
func metaOnly(from metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: from.Namespace, Name: from.Name, UID: from.UID, ResourceVersion: from.ResourceVersion,
		CreationTimestamp: from.CreationTimestamp, DeletionTimestamp: from.DeletionTimestamp,
	}
}

func stripNode(from *corev1.Node) *corev1.Node {
	to := &corev1.Node{TypeMeta: from.TypeMeta, ObjectMeta: metaOnly(from.ObjectMeta)}
	to.Labels, to.Spec.Taints = from.Labels, from.Spec.Taints
	for i := range to.Spec.Taints {
		to.Spec.Taints[i].TimeAdded = nil
	}
	if ready := readyOf(from); ready != nil {
		to.Status.Conditions = []corev1.NodeCondition{*ready}
		to.Status.Conditions[0].LastHeartbeatTime = metav1.Time{}
	}
	return to
}

func stripPod(from *corev1.Pod) *corev1.Pod {
	to := &corev1.Pod{TypeMeta: from.TypeMeta, ObjectMeta: metaOnly(from.ObjectMeta)}
	to.Labels, to.Spec.NodeName, to.Spec.Affinity = from.Labels, from.Spec.NodeName, from.Spec.Affinity
	to.Status.Phase = from.Status.Phase
	for _, c := range from.Status.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled {
			to.Status.Conditions = append(to.Status.Conditions, c)
		}
	}
	to.Status.ContainerStatuses = from.Status.ContainerStatuses
	return to
}

func stripService(from *corev1.Service) *corev1.Service {
	to := &corev1.Service{TypeMeta: from.TypeMeta, ObjectMeta: metaOnly(from.ObjectMeta)}
	to.Spec.Type, to.Spec.LoadBalancerClass = from.Spec.Type, from.Spec.LoadBalancerClass
	if c := meta.FindStatusCondition(from.Status.Conditions, v1beta1.ServiceAnnounced); c != nil {
		to.Status.Conditions = []metav1.Condition{{Type: c.Type, Status: c.Status, Reason: c.Reason, LastTransitionTime: c.LastTransitionTime}}
	}
	return to
}

func stripState(from *v1beta1.SpeakerState) *v1beta1.SpeakerState {
	to := &v1beta1.SpeakerState{TypeMeta: from.TypeMeta, ObjectMeta: metaOnly(from.ObjectMeta)}
	to.Status.Phase, to.Status.MissingSpeakers = from.Status.Phase, slices.Clone(from.Status.MissingSpeakers)
	if c := meta.FindStatusCondition(from.Status.Conditions, v1beta1.ConditionReady); c != nil {
		to.Status.Conditions = []metav1.Condition{*c}
	}
	return to
}

func stripClaim(from *v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim {
	to := &v1beta1.IPAddressClaim{TypeMeta: from.TypeMeta, ObjectMeta: metaOnly(from.ObjectMeta)}
	to.Spec.Address, to.Spec.Pool, to.Spec.State = from.Spec.Address, from.Spec.Pool, from.Spec.State
	return to
}
