package config

import (
	"context"
	"fmt"

	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/validity"
)

// communityReconciler returns the controller of Communities.
func communityReconciler(c client.Client, recorder events.EventRecorder) *Reconciler[*v1beta1.Community] {
	return &Reconciler[*v1beta1.Community]{
		Client: c, Events: recorder, Kind: "Community", Action: "CheckCommunity", Check: checkCommunities,
		Status: func(o *v1beta1.Community) StatusFields {
			return StatusFields{ObservedGeneration: &o.Status.ObservedGeneration, Conditions: &o.Status.Conditions}
		},
	}
}

func checkCommunities(ctx context.Context, reader client.Reader) ([]CheckedObject[*v1beta1.Community], error) {
	var list v1beta1.CommunityList
	if err := reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing the Communities: %w", err)
	}
	results := validity.CommunityResults(list.Items)
	return pairResults(list.Items, func(o *v1beta1.Community) validity.Result { return results[o.Name] }), nil
}
