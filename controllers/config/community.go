package config

import (
	"context"
	"fmt"

	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// communities returns the controller of Communities.
func communities(c client.Client, recorder events.EventRecorder) *Reconciler[*v1beta1.Community] {
	return &Reconciler[*v1beta1.Community]{
		Client: c, Events: recorder, Kind: "Community", Name: "community", Action: "CheckCommunity", Check: checkCommunities,
		Status: func(o *v1beta1.Community) Status {
			return Status{ObservedGeneration: &o.Status.ObservedGeneration, Conditions: &o.Status.Conditions}
		},
	}
}

func checkCommunities(ctx context.Context, reader client.Reader) ([]Checked[*v1beta1.Community], error) {
	var list v1beta1.CommunityList
	if err := reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing the Communities: %w", err)
	}
	results := communityResults(list.Items)
	var checked []Checked[*v1beta1.Community]
	for i := range list.Items {
		checked = append(checked, Checked[*v1beta1.Community]{Object: &list.Items[i], Result: results[list.Items[i].Name]})
	}
	return checked, nil
}

// communityResults are by the name of the object: whether a name is one's own depends on all.
func communityResults(objects []v1beta1.Community) map[string]Result {
	_, wrong := apiconv.ParseCommunities(objects)
	results := map[string]Result{}
	for i := range objects {
		name := objects[i].Name
		results[name] = Result{Ready: true, Reason: v1beta1.ReasonCommunityValid, Message: "all names can be used"}
		if err := wrong[name]; err != nil {
			results[name] = Result{Reason: err.Reason, Message: err.Error() + "; the other names of the object count"}
		}
	}
	return results
}
