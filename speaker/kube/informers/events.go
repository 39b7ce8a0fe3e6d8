package informers

import (
	"maps"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// Handler returns a handler that records the events of an informer in the store.
func (s *Store) Handler() cache.ResourceEventHandler {
	note := func(event any, exists bool) {
		if unknown, is := event.(cache.DeletedFinalStateUnknown); is {
			event = unknown.Obj
		}
		if object, is := event.(client.Object); is {
			s.Note(object, exists)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { note(object, true) },
		UpdateFunc: func(before, now any) {
			if !isRelevantChange(before, now) {
				return
			}
			if hasChangedService(before, now) {
				note(before, false)
			}
			note(now, true)
		},
		DeleteFunc: func(object any) { note(object, false) },
	}
}

// hasChangedService reports whether an EndpointSlice now belongs to another Service than before.
func hasChangedService(before, now any) bool {
	x, is := before.(*discoveryv1.EndpointSlice)
	y, alike := now.(*discoveryv1.EndpointSlice)
	return is && alike && serviceOf(x) != serviceOf(y)
}

// isRelevantChange reports whether two versions of an object differ in anything that the speaker uses. It
// compares the generations and labels of lbstack's own objects, since the speaker does not use their status.
// Other objects are compared whole, since the cache stores only the parts of them that the speaker uses. A
// kubelet updates its Node often, mostly without a change of these parts.
func isRelevantChange(before, now any) bool {
	x, isObject := before.(client.Object)
	y, alike := now.(client.Object)
	if !isObject || !alike {
		return true
	}
	if x.GetUID() != y.GetUID() {
		return true // the object was deleted and created again between the two events
	}
	if isOwnAPI(y) && y.GetGeneration() > 0 {
		return x.GetGeneration() != y.GetGeneration() || !maps.Equal(x.GetLabels(), y.GetLabels())
	}
	x = x.DeepCopyObject().(client.Object) // objects of the cache must not be changed
	x.SetResourceVersion(y.GetResourceVersion())
	return !equality.Semantic.DeepEqual(x, y)
}

// isOwnAPI reports whether the kind of an object is part of the lbstack API. The generation of such an object
// changes with each change of its spec. Only claims have no generation in the cache (stripClaim), so
// isRelevantChange compares them whole.
func isOwnAPI(object client.Object) bool {
	switch object.(type) {
	case *v1beta1.IPAddressClaim, *v1beta1.IPAddressPool, *v1beta1.L2Advertisement,
		*v1beta1.BGPAdvertisement, *v1beta1.BGPPeer, *v1beta1.BFDProfile, *v1beta1.Community,
		*v1beta1.LoadBalancerStack:
		return true
	}
	return false
}
