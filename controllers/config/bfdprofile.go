package config

import (
	"context"
	"fmt"

	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/validity"
)

// bfdProfileReconciler returns the controller of BFDProfiles.
func bfdProfileReconciler(c client.Client, recorder events.EventRecorder) *Reconciler[*v1beta1.BFDProfile] {
	return &Reconciler[*v1beta1.BFDProfile]{
		Client: c, Events: recorder, Kind: "BFDProfile", Action: "CheckProfile", Check: checkBFDProfiles,
		Status: func(p *v1beta1.BFDProfile) StatusFields {
			return StatusFields{ObservedGeneration: &p.Status.ObservedGeneration, Conditions: &p.Status.Conditions}
		},
	}
}

func checkBFDProfiles(ctx context.Context, reader client.Reader) ([]CheckedObject[*v1beta1.BFDProfile], error) {
	var list v1beta1.BFDProfileList
	if err := reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing the BFDProfiles: %w", err)
	}
	return pairResults(list.Items, validity.BFDProfileResult), nil
}
