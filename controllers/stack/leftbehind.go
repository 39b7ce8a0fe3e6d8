package stack

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// vacatedLifetime is how long the SpeakerState of a stopped speaker stays if its node should no longer have a
// speaker. Meanwhile other speakers cover for the stopped one, for up to 30 s, and routers may keep its
// routes.
const vacatedLifetime = 2 * time.Minute

// vacatedStates returns the SpeakerStates to delete: those of vacated nodes with the condition Current=False.
// The state of a stopped speaker is among them only after vacatedLifetime. again is the time until the next
// SpeakerState must be deleted; 0: there is none.
func (s *clusterState) vacatedStates(now time.Time) (list []*v1beta1.SpeakerState, again time.Duration) {
	for i := range s.states {
		state := &s.states[i]
		if !s.vacated[state.Name] || !meta.IsStatusConditionFalse(state.Status.Conditions, v1beta1.ConditionCurrent) {
			continue
		}
		ready := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionReady)
		if state.Status.Phase == v1beta1.SpeakerStopped && ready != nil {
			if left := vacatedLifetime - now.Sub(ready.LastTransitionTime.Time); left > 0 {
				again = shorterWait(again, min(left, vacatedLifetime))
				continue
			}
		}
		list = append(list, state)
	}
	return list, again
}

// deleteVacatedReports deletes what the speakers of vacated nodes have reported.
func (r *Reconciler) deleteVacatedReports(ctx context.Context, around *clusterState, f *findings) error {
	list, again := around.vacatedStates(time.Now())
	f.leftBehind = again
	for _, state := range list {
		err := r.deleteSpeakerReports(ctx, state)
		switch {
		case apierrors.IsConflict(err): // a speaker reports again, or the cache is old
			f.leftBehind = shorterWait(f.leftBehind, gatherDelay)
		case err != nil:
			return fmt.Errorf("deleting the reports of the former speaker on the node %s, on which no speaker is to run any more: %w", state.Name, err)
		}
	}
	return nil
}

// deleteSpeakerReports deletes the SpeakerRouteSlices of a node and then its SpeakerState. The SpeakerState
// comes last: if the deletion of a slice fails, the next attempt starts from the SpeakerState again. The API
// server does not delete an object that was written since it was read, since the speaker may have come back.
func (r *Reconciler) deleteSpeakerReports(ctx context.Context, state *v1beta1.SpeakerState) error {
	slices := &metav1.PartialObjectMetadataList{}
	slices.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("SpeakerRouteSliceList"))
	if err := r.Reader.List(ctx, slices, client.MatchingFields{"node": state.Name}); err != nil {
		return fmt.Errorf("listing the SpeakerRouteSlices: %w", err)
	}
	for i := range slices.Items {
		object := &slices.Items[i]
		object.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("SpeakerRouteSlice")) // items of a list have no kind
		if err := r.Client.Delete(ctx, object, preconditionsOf(&object.ObjectMeta)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting the SpeakerRouteSlice %s: %w", object.GetName(), err)
		}
	}
	if err := r.Client.Delete(ctx, state.DeepCopy(), preconditionsOf(&state.ObjectMeta)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the SpeakerState %s: %w", state.Name, err)
	}
	return nil
}

// preconditionsOf returns the precondition that an object has not been written since it was read.
func preconditionsOf(of *metav1.ObjectMeta) client.Preconditions {
	return client.Preconditions{UID: &of.UID, ResourceVersion: &of.ResourceVersion}
}
