// Package speakerstate writes two conditions of SpeakerStates: Current, whether the speaker that
// reported the status still runs, and Partitioned, whether it is isolated from a larger group of
// speakers. It is the only writer of these two; the speaker writes the rest of the status.
package speakerstate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/config"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// fieldManager is the field manager of the conditions.
const fieldManager = "lbstack-controller"

// Reconciler writes the conditions of all SpeakerStates. Make it with New.
type Reconciler struct {
	client   client.Client
	now      func() time.Time
	absent   absenceFinder // not locked, since Reconcile runs once at a time
	kubelets *kubeletChecker
	// restoreLimiter delays the writes that restore conditions which another writer overwrites.
	restoreLimiter retry.RestoreLimiter[string]
}

// New returns a Reconciler that reads from the cache of c.
func New(c client.Client) *Reconciler {
	return &Reconciler{client: c, now: time.Now, kubelets: newKubeletChecker()}
}

// SetupWithManager starts the controller with the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("speakerstate").
		Watches(&v1beta1.SpeakerState{}, request.OnAnyChange(), builder.WithPredicates(reportsChanged)).
		Watches(&corev1.Node{}, request.OnAnyChange(), builder.WithPredicates(config.NodeChanged)).
		Watches(&corev1.Pod{}, request.OnAnyChange(), builder.WithPredicates(podChanged)).
		WatchesRawSource(source.Channel(r.kubelets.ended, request.OnAnyChange())).
		WithOptions(controller.Options{RateLimiter: &retry.Limiter{}}).
		Complete(r)
}

// reportsChanged is a predicate for changes of the two conditions, or of the speaker's report about itself
// and about the speakers from which it receives nothing.
var reportsChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1beta1.SpeakerState)
	now, also := e.ObjectNew.(*v1beta1.SpeakerState)
	if !ok || !also {
		return true
	}
	return before.Status.Phase != now.Status.Phase || !before.Status.MinoritySince.Equal(now.Status.MinoritySince) ||
		!slices.Equal(before.Status.MissingSpeakers, now.Status.MissingSpeakers) || !conditionsOf(before).equal(conditionsOf(now))
}}

// Reconcile writes the conditions of all SpeakerStates together.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var states v1beta1.SpeakerStateList
	if err := r.client.List(ctx, &states, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the SpeakerStates: %w", err)
	}
	nodes, err := config.ReadNodes(ctx, r.client)
	if err != nil {
		return reconcile.Result{}, err
	}
	var pods corev1.PodList // of speakers: see CacheOptions
	if err := r.client.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the pods of speakers: %w", err)
	}
	absent, again := r.absent.findAbsent(r.now(), states.Items, pods.Items)
	unready, later := r.absent.findUnready(r.now(), pods.Items)
	again = backoff.ShorterWait(again, later)
	all := speakerReports(states.Items, absent, unready)
	down := notReadyChecker(all, nodes)
	doubts := reports.NodesToConfirm(all, down)
	answers, err := r.askKubelets(ctx, doubts)
	if err != nil {
		return reconcile.Result{}, err
	}
	if len(doubts) > 0 {
		again = backoff.ShorterWait(again, answerLifetime)
	}
	var failed []error
	exist := map[string]bool{}
	for i, next := range decideConditions(states.Items, reports.Confirm(all, doubts, answers, down), down, absent) {
		state := &states.Items[i]
		was := conditionsOf(state)
		exist[state.Name] = true
		if state.Status.Phase == "" {
			continue // the speaker has not reported yet
		}
		same, wanted := next.equal(was), fmt.Sprint(*next.current, *next.partitioned)
		undone := r.restoreLimiter.Compare(state.Name, wanted, same, r.now())
		again = backoff.ShorterWait(again, undone.Wait)
		if same || undone.Wait > 0 {
			continue
		}
		r.setTransition(was.current, next.current)
		r.setTransition(was.partitioned, next.partitioned)
		if err := r.applyConditions(ctx, state.Name, *next.current, *next.partitioned); err != nil {
			failed = append(failed, err)
			continue
		}
		r.restoreLimiter.NoteWrite(state.Name, wanted)
	}
	r.restoreLimiter.Retain(func(name string) bool { return exist[name] })
	return reconcile.Result{RequeueAfter: again}, errors.Join(failed...)
}

// speakerReports returns the reports of the speakers, and adds what the kubelets report: on which nodes no
// speaker runs, and on which nodes the speaker is not ready. If a speaker is not ready, this confirms the
// report of another speaker that receives nothing from it. The condition Current is not read, since this
// controller writes it.
func speakerReports(states []v1beta1.SpeakerState, absent map[lb.NodeName]string, unready map[lb.NodeName]bool) map[lb.NodeName]reports.Report {
	all := map[lb.NodeName]reports.Report{}
	for i := range states {
		if states[i].Status.Phase == "" {
			continue // the speaker has not reported yet, and its empty list of missing speakers must not count
		}
		report := apiconv.SpeakerReport(&states[i])
		_, report.Ended = absent[report.Node]
		report.Unready, report.Dead = unready[report.Node], false
		report.Confirmed = report.Unready
		all[report.Node] = report
	}
	return all
}

// askKubelets returns which kubelets answer, as far as that is known. The keys of doubts are nodes whose
// speakers are reported as missing; each value is a node whose speaker reports that. The kubelets of both are
// checked.
func (r *Reconciler) askKubelets(ctx context.Context, doubts map[lb.NodeName]lb.NodeName) (map[lb.NodeName]bool, error) {
	about := map[lb.NodeName]netip.AddrPort{}
	for missed, witness := range doubts {
		for _, name := range []lb.NodeName{missed, witness} {
			var node corev1.Node
			if err := r.client.Get(ctx, client.ObjectKey{Name: string(name)}, &node); client.IgnoreNotFound(err) != nil {
				return nil, fmt.Errorf("reading the node %s: %w", name, err)
			}
			if kubelet, has := apiconv.KubeletAddress(&node); has {
				about[name] = kubelet
			}
		}
	}
	return r.kubelets.ask(r.now(), about), nil
}

// notReadyChecker returns a function that reports whether a node is not ready. A node that has a report but
// does not exist counts as not ready.
func notReadyChecker(all map[lb.NodeName]reports.Report, nodes []eligibility.Node) func(lb.NodeName) bool {
	down := map[lb.NodeName]bool{}
	for node := range all {
		down[node] = true // unless the node exists and is ready
	}
	for i := range nodes {
		down[nodes[i].Name] = nodes[i].Down
	}
	return func(node lb.NodeName) bool { return down[node] }
}

// decideConditions returns the conditions of each state. all are the reports, down reports whether a node is
// not ready, and absent has the nodes on which no speaker runs, with the reason.
func decideConditions(states []v1beta1.SpeakerState, all map[lb.NodeName]reports.Report, down func(lb.NodeName) bool, absent map[lb.NodeName]string) []writtenConditions {
	stale := reports.StaleReports(all, down)
	cut := reports.PartitionedNodes(all, stale)
	list := make([]writtenConditions, 0, len(states))
	for i := range states {
		node := lb.NodeName(states[i].Name)
		current, partitioned := currentCondition(node, stale[node], absent[node]), partitionedCondition(all[node], cut[node])
		list = append(list, writtenConditions{&current, &partitioned})
	}
	return list
}

func currentCondition(node lb.NodeName, stale reports.Staleness, why string) metav1.Condition {
	c := metav1.Condition{Type: v1beta1.ConditionCurrent, Status: metav1.ConditionFalse}
	const consequence = "this status is the last one reported, and other nodes may announce the addresses in it"
	switch stale {
	case reports.SpeakerStopped:
		c.Reason, c.Message = v1beta1.ReasonStopped, "the speaker was stopped: see the condition Ready"
	case reports.SpeakerMissed:
		c.Reason = v1beta1.ReasonSpeakerMissing
		c.Message = fmt.Sprintf("the running speakers receive nothing from the speaker of the node %s: %s: look at the node, at the speaker's pod, and at the mesh port (spec.speaker.ports of the LoadBalancerStack) between the nodes", node, consequence)
	case reports.SpeakerDead:
		c.Reason = v1beta1.ReasonSpeakerMissing
		c.Message = fmt.Sprintf("the node %s is not ready, its kubelet does not answer, and another speaker receives nothing from its speaker: %s: look at the node", node, consequence)
	case reports.ContainerEnded:
		c.Reason = v1beta1.ReasonSpeakerEnded
		c.Message = fmt.Sprintf("the speaker of the node %s: %s: %s: look at the speaker's pod", node, why, consequence)
	case reports.NodeDown:
		c.Reason = v1beta1.ReasonNodeNotReady
		c.Message = fmt.Sprintf("the node %s is not ready, and no ready node has a speaker that could report whether the speaker of this node runs: %s: look at the node", node, consequence)
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1beta1.ReasonReporting, "the speaker runs"
	}
	return c
}

// applyConditions applies only these conditions: the speaker writes the others.
func (r *Reconciler) applyConditions(ctx context.Context, name string, list ...metav1.Condition) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("SpeakerState"))
	object.SetName(name)
	var applied []any
	for _, c := range list {
		applied = append(applied, map[string]any{
			"type": c.Type, "status": string(c.Status), "reason": c.Reason, "message": c.Message,
			"lastTransitionTime": c.LastTransitionTime.UTC().Format(time.RFC3339),
		})
	}
	object.Object["status"] = map[string]any{"conditions": applied}
	err := r.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(fieldManager), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the conditions of the SpeakerState %s: %w", name, err)
	}
	return nil
}
