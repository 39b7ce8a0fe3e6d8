package config

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/validity"
)

// l2AdvertisementReconciler returns the controller of L2Advertisements.
func l2AdvertisementReconciler(c client.Client, recorder events.EventRecorder) *Reconciler[*v1beta1.L2Advertisement] {
	return &Reconciler[*v1beta1.L2Advertisement]{
		Client: c, Events: recorder, Kind: "L2Advertisement", Action: "CheckAdvertisement", Check: checkL2Advertisements,
		Status: func(o *v1beta1.L2Advertisement) StatusFields {
			return StatusFields{ObservedGeneration: &o.Status.ObservedGeneration, Conditions: &o.Status.Conditions}
		},
		Watches: []WatchedKind{
			{Object: &v1beta1.IPAddressPool{}, Changed: predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{})},
			{Object: &corev1.Node{}, Changed: NodeChanged},
			{Object: &v1beta1.SpeakerState{}, Changed: interfacesChanged},
			{Object: &v1beta1.LoadBalancerStack{}, Changed: predicate.GenerationChangedPredicate{}},
		},
	}
}

// interfacesChanged is a predicate for updates of SpeakerStates: interfaces or their subnets changed,
// or the speaker stopped or started.
var interfacesChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1beta1.SpeakerState)
	now, also := e.ObjectNew.(*v1beta1.SpeakerState)
	return ok && also && ((before.Status.Phase == v1beta1.SpeakerStopped) != (now.Status.Phase == v1beta1.SpeakerStopped) ||
		!slices.EqualFunc(before.Status.Interfaces, now.Status.Interfaces, func(x, y v1beta1.SpeakerInterface) bool {
			return x.Name == y.Name && slices.Equal(x.Subnets, y.Subnets)
		}))
}}

func checkL2Advertisements(ctx context.Context, reader client.Reader) ([]CheckedObject[*v1beta1.L2Advertisement], error) {
	var ads v1beta1.L2AdvertisementList
	if err := reader.List(ctx, &ads); err != nil {
		return nil, fmt.Errorf("listing the L2Advertisements: %w", err)
	}
	if len(ads.Items) == 0 {
		return nil, nil
	}
	var pools v1beta1.IPAddressPoolList
	var states v1beta1.SpeakerStateList
	for _, list := range []client.ObjectList{&pools, &states} {
		if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	nodes, err := ReadNodes(ctx, reader)
	if err != nil {
		return nil, err
	}
	results := validity.L2AdvertisementResults(&validity.Objects{L2Advertisements: ads.Items, Pools: pools.Items, States: states.Items, Nodes: nodes})
	return pairResults(ads.Items, func(o *v1beta1.L2Advertisement) validity.Result { return results[o.Name] }), nil
}
