package stack

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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

// gatherDelay delays a pass after a change of an object that shows the state of the components. One pass then
// covers several changes, since such changes often follow each other closely.
const gatherDelay = time.Second

// observedKinds returns the kinds that show the state of the components. The cache keeps only the parts of
// these objects that a pass reads.
func observedKinds(namespace string) map[client.Object]cache.ByObject {
	components := labels.SelectorFromSet(labels.Set{"app.kubernetes.io/name": "lbstack"})
	balanced := fields.OneTermEqualSelector("spec.type", string(corev1.ServiceTypeLoadBalancer))
	return map[client.Object]cache.ByObject{
		&corev1.Node{}:            {Transform: stripTransform(stripNode)},
		&corev1.Pod{}:             {Namespaces: map[string]cache.Config{namespace: {}}, Label: components, Transform: stripTransform(stripPod)},
		&corev1.Service{}:         {Field: balanced, Transform: stripTransform(stripService)},
		&v1beta1.SpeakerState{}:   {Transform: stripTransform(stripState)},
		&v1beta1.IPAddressClaim{}: {Transform: stripTransform(stripClaim)},
	}
}

// watchObserved requests a pass gatherDelay after a change of an object of these kinds.
func (r *Reconciler) watchObserved(b *builder.Builder, request reconcile.Request) *builder.Builder {
	later := func(queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		queue.AddAfter(request, gatherDelay)
	}
	for object := range observedKinds(r.Namespace) {
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
		}, builder.WithPredicates(predicate.Funcs{UpdateFunc: requiresPass}))
	}
	return b
}

// requiresPass reports whether a change requires a pass. The number of addresses and routes that a speaker
// announces, and the time of the last edit of a Service, change often and require none.
func requiresPass(e event.UpdateEvent) bool {
	before, now := e.ObjectOld.DeepCopyObject().(client.Object), e.ObjectNew.DeepCopyObject().(client.Object)
	for _, o := range []client.Object{before, now} {
		o.SetResourceVersion("")
		o.SetManagedFields(nil)
		if state, is := o.(*v1beta1.SpeakerState); is {
			state.Status.AddressCount, state.Status.RouteCount = 0, 0
		}
	}
	return !equality.Semantic.DeepEqual(before, now)
}
