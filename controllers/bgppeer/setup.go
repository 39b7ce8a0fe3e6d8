package bgppeer

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/config"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/reports"
)

// collect is how long reports of speakers are collected: all lose a router at once.
const collect = 500 * time.Millisecond

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// SetupWithManager starts the controller with the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("bgppeer").
		Watches(&v1beta1.BGPPeer{}, config.OnAny(), builder.WithPredicates(peerChanged)).
		Watches(&v1beta1.SpeakerState{}, onState(), builder.WithPredicates(sessionsChanged)).
		Watches(&corev1.Node{}, config.OnAny(), builder.WithPredicates(config.NodeChanged)).
		Watches(&v1beta1.BFDProfile{}, config.OnAny(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, config.OnAny()).
		WithOptions(controller.Options{RateLimiter: &retry.Limiter{}}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("watching what BGPPeers depend on: %w", err)
	}
	return nil
}

// peerChanged lets a peer pass whose spec has changed, or whose status somebody edited.
var peerChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1beta1.BGPPeer)
	now, also := e.ObjectNew.(*v1beta1.BGPPeer)
	return ok && also && (before.Generation != now.Generation || !equality.Semantic.DeepEqual(before.Status, now.Status))
}}

// sessionsChanged lets the state of a speaker pass of whose sessions one is in another
// state, or has ended with another error, that misses other speakers, or that the controller
// found to run or not to run.
var sessionsChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, now := report(e.ObjectOld), report(e.ObjectNew)
	return !slices.Equal(before.Sessions, now.Sessions) || !slices.Equal(before.Missing, now.Missing) || before.Stopped != now.Stopped ||
		before.Ended != now.Ended || before.Confirmed != now.Confirmed
}}

func report(object client.Object) reports.Report {
	state, ok := object.(*v1beta1.SpeakerState)
	if !ok {
		return reports.Report{}
	}
	return apiconv.SpeakerReport(state)
}

// onState asks for a look at all peers, a little later.
func onState() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, _ event.CreateEvent, q queue) { q.AddAfter(config.All, collect) },
		UpdateFunc: func(_ context.Context, _ event.UpdateEvent, q queue) { q.AddAfter(config.All, collect) },
		DeleteFunc: func(_ context.Context, _ event.DeleteEvent, q queue) { q.AddAfter(config.All, collect) },
	}
}
