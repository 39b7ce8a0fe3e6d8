// Package bfdprofile says of each BFDProfile whether it can be used. It is the only
// writer of its status.
package bfdprofile

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/validity"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// New returns the controller of BFDProfiles.
func New(c client.Client, recorder events.EventRecorder) *validity.Reconciler[*v1beta1.BFDProfile] {
	return &validity.Reconciler[*v1beta1.BFDProfile]{
		Client: c, Events: recorder, Kind: "BFDProfile", Name: "bfdprofile", Action: "CheckProfile", Judge: judge,
		Status: func(p *v1beta1.BFDProfile) validity.Status {
			return validity.Status{ObservedGeneration: &p.Status.ObservedGeneration, Conditions: &p.Status.Conditions}
		},
	}
}

func judge(ctx context.Context, reader client.Reader) ([]validity.Judged[*v1beta1.BFDProfile], error) {
	var list v1beta1.BFDProfileList
	if err := reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing the BFDProfiles: %w", err)
	}
	var judged []validity.Judged[*v1beta1.BFDProfile]
	for i := range list.Items {
		judged = append(judged, validity.Judged[*v1beta1.BFDProfile]{Object: &list.Items[i], Verdict: verdict(&list.Items[i])})
	}
	return judged, nil
}

func verdict(profile *v1beta1.BFDProfile) validity.Verdict {
	p, err := apiconv.ParseBFDProfile(profile)
	if err != nil {
		return validity.Verdict{Reason: err.Reason, Message: err.Error() + ": until that is mended sessions that use the profile keep it as it was, and new ones run without BFD, or with strictBFD not at all"}
	}
	slowest := max(p.Receive, p.Transmit)
	return validity.Verdict{Ready: true, Reason: v1beta1.ReasonProfileValid, Message: fmt.Sprintf(
		"the profile can be used: with it on both sides a path that is lost is noticed within %s", slowest*time.Duration(p.Multiplier))}
}
