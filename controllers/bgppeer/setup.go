package bgppeer

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/config"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/reports"
)

// collectDelay delays a reconcile after a report, so that one reconcile covers the reports of all speakers:
// when a router fails, all speakers report it at about the same time.
const collectDelay = 500 * time.Millisecond

// SetupWithManager starts the controller with the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("bgppeer").
		Watches(&v1beta1.BGPPeer{}, request.OnAnyChange(), builder.WithPredicates(peerChanged)).
		Watches(&v1beta1.SpeakerState{}, request.OnAnyChangeLater(collectDelay), builder.WithPredicates(sessionsChanged)).
		Watches(&corev1.Node{}, request.OnAnyChange(), builder.WithPredicates(config.NodeChanged)).
		Watches(&v1beta1.BFDProfile{}, request.OnAnyChange(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, request.OnAnyChange()).
		WithOptions(controller.Options{RateLimiter: &retry.Limiter{}}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the controller of BGPPeers: %w", err)
	}
	return nil
}

// peerChanged is a predicate for changes of the spec or the status of a peer. The status is included, since
// the controller restores it after a change by another writer.
var peerChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1beta1.BGPPeer)
	now, also := e.ObjectNew.(*v1beta1.BGPPeer)
	return ok && also && (before.Generation != now.Generation || !equality.Semantic.DeepEqual(before.Status, now.Status))
}}

// sessionsChanged is a predicate for changes of a speaker's sessions, of the speakers that it reports as
// missing, or of whether the speaker runs.
var sessionsChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, now := reportOf(e.ObjectOld), reportOf(e.ObjectNew)
	return !slices.Equal(before.Sessions, now.Sessions) || !slices.Equal(before.Missing, now.Missing) || before.Stopped != now.Stopped ||
		before.Ended != now.Ended || before.Confirmed != now.Confirmed
}}

func reportOf(object client.Object) reports.Report {
	state, ok := object.(*v1beta1.SpeakerState)
	if !ok {
		return reports.Report{}
	}
	return apiconv.SpeakerReport(state)
}
