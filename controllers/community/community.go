// Package community says of each Community whether its names can be used. It is the
// only writer of its status.
package community

import (
	"context"
	"fmt"

	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/validity"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// New returns the controller of Communities.
func New(c client.Client, recorder events.EventRecorder) *validity.Reconciler[*v1beta1.Community] {
	return &validity.Reconciler[*v1beta1.Community]{
		Client: c, Events: recorder, Kind: "Community", Name: "community", Action: "CheckCommunity", Judge: judge,
		Status: func(o *v1beta1.Community) validity.Status {
			return validity.Status{ObservedGeneration: &o.Status.ObservedGeneration, Conditions: &o.Status.Conditions}
		},
	}
}

func judge(ctx context.Context, reader client.Reader) ([]validity.Judged[*v1beta1.Community], error) {
	var list v1beta1.CommunityList
	if err := reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing the Communities: %w", err)
	}
	verdicts := verdicts(list.Items)
	var judged []validity.Judged[*v1beta1.Community]
	for i := range list.Items {
		judged = append(judged, validity.Judged[*v1beta1.Community]{Object: &list.Items[i], Verdict: verdicts[list.Items[i].Name]})
	}
	return judged, nil
}

// verdicts are by the name of the object: whether a name is one's own depends on all.
func verdicts(objects []v1beta1.Community) map[string]validity.Verdict {
	_, wrong := apiconv.ParseCommunities(objects)
	verdicts := map[string]validity.Verdict{}
	for i := range objects {
		name := objects[i].Name
		verdicts[name] = validity.Verdict{Ready: true, Reason: v1beta1.ReasonCommunityValid, Message: "all names can be used"}
		if err := wrong[name]; err != nil {
			verdicts[name] = validity.Verdict{Reason: err.Reason, Message: err.Error() + "; the other names of the object count"}
		}
	}
	return verdicts
}
