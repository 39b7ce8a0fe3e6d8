package stack

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/rollout"
)

const (
	// maxDecisions is the maximum number of decisions in one pass.
	maxDecisions = 10
	// stepDelay is the time until the pass that deletes pods if this pass wrote the DaemonSet.
	stepDelay = time.Second
	// maxRetryBytes is the maximum length of RolloutStatus.Retry, in bytes.
	maxRetryBytes = 256
)

// changePlan is what a pass has decided about a rollout.
type changePlan struct {
	rollout.Plan
	// revisions has the revisions whose templates are known: they are stored, or rendered in this pass.
	revisions map[rollout.Revision]podTemplates
	// pods are the names of the speakers' pods, by UID.
	pods map[string]string
}

// version returns the version of lbstack in a revision, or the name of the revision if its version is not
// known.
func (c *changePlan) version(r rollout.Revision) string {
	return cmp.Or(c.revisions[r].version, r.String())
}

// rollOut decides how the templates of the wanted workloads reach the nodes, and stores the decision in the
// status of the stack. It returns the wanted objects with the templates that they should have now, and with
// the ControllerRevisions. The parameter revisions has the stored revisions; rollOut adds the wanted one.
func (r *Reconciler) rollOut(ctx context.Context, stack *v1beta1.LoadBalancerStack, wanted []*unstructured.Unstructured, revisions map[rollout.Revision]podTemplates, around *clusterState, f *findings) (changePlan, []*unstructured.Unstructured, error) {
	given, err := podTemplatesOf(wanted, r.Version)
	if err != nil {
		return changePlan{}, nil, err
	}
	deployment, daemonSet, err := r.liveWorkloads(ctx)
	if err != nil {
		return changePlan{}, nil, err
	}
	given.Restart = restartOf(daemonSet, revisions[r.observed.stored.Revision])
	want, err := given.revision()
	if err != nil {
		return changePlan{}, nil, err
	}
	c := changePlan{pods: map[string]string{}, revisions: revisions}
	c.revisions[want] = given
	if err := r.readEndingPods(ctx, around); err != nil {
		return c, nil, err
	}
	state := r.rolloutFacts(around, deployment, daemonSet, templateAccountUID(given.Speaker), time.Now())
	for i := range around.pods {
		c.pods[string(around.pods[i].UID)] = around.pods[i].Name
	}
	state.Stored, state.Wanted, state.Generation, state.Retry = r.observed.stored, want, stack.Generation, retryToken(stack)
	state.Unapplied = r.observed.applied != stack.Generation
	state.Settings = apiconv.RolloutSettings(stack.Spec.Speaker.Rollout)
	if err := c.decideRollout(state); err != nil {
		return c, nil, err
	}
	f.rollout = c.finding()
	if err := r.storeRollout(ctx, stack, f.rollout.status); err != nil {
		return c, nil, err
	}
	live := rollout.Revision{
		Controller: rollout.Hash(deployment.Spec.Template.Labels[v1beta1.LabelRevision]), Speaker: rollout.Hash(daemonSet.Spec.Template.Labels[v1beta1.LabelRevision]),
	}
	objects, err := r.withTemplates(wanted, &c, live, f)
	return c, objects, err
}

// decideRollout decides again and again, each time from the state that the last decision returned, until the
// state no longer changes. The pass then stores this state before it acts on it, so that it deletes a pod
// only in a step that is stored.
func (c *changePlan) decideRollout(state rollout.State) error {
	for range maxDecisions {
		_, state.GoodStored = c.revisions[state.Stored.Good]
		before := state.Stored
		c.Plan = rollout.Decide(state)
		if c.Next.Equal(before) {
			return nil
		}
		if failed := c.Next.Failure; failed != before.Failure && failed.Node != "" {
			if pod := state.Nodes[failed.Node].Pod; pod != nil && c.pods[pod.ID] != "" {
				c.Next.Failure.Why = fmt.Sprintf("the pod %s: %s", c.pods[pod.ID], failed.Why)
			}
		}
		// The next decision starts from the state as it can be read from the status.
		state.Stored = apiconv.ParseRolloutStatus(apiconv.RolloutStatus(c.Next, c.Progress, ""))
	}
	return fmt.Errorf("the decision about the rollout of the revision %s has changed %d times in one pass, which is an error in the operator: the last decision is %+v", state.Wanted, maxDecisions, c.Next)
}

// retryToken returns the value of the annotation with which an administrator requests another attempt to roll
// out a failed revision.
func retryToken(stack *v1beta1.LoadBalancerStack) string {
	return bounded.Cut(stack.Annotations[v1beta1.AnnotationRetry], maxRetryBytes)
}

// loadRolloutState reads the stored state from the status, once for each stack. After that, the process uses
// the state that it stored last, since its cache may lack that write.
func (r *Reconciler) loadRolloutState(stack *v1beta1.LoadBalancerStack) {
	if o := &r.observed; o.stack != stack.UID {
		o.stack, o.stored, o.applied = stack.UID, apiconv.ParseRolloutStatus(stack.Status.Rollout), appliedGeneration(stack.Status.Conditions)
	}
}

// unappliedReasons are the reasons of the condition Ready after a pass that applied nothing, or not all
// objects. They take precedence over all other reasons of Ready, see faultsOf.
var unappliedReasons = []string{
	v1beta1.ReasonUnsupportedKubernetes, v1beta1.ReasonDowngradeRefused, v1beta1.ReasonCRDsOutdated,
	v1beta1.ReasonSpecInvalid, v1beta1.ReasonRenderFailed, v1beta1.ReasonReadFailed, v1beta1.ReasonApplyFailed,
}

// appliedGeneration returns the generation of the stack whose objects the last pass applied completely; 0:
// the conditions do not show that.
func appliedGeneration(conditions []metav1.Condition) int64 {
	ready := meta.FindStatusCondition(conditions, v1beta1.ConditionReady)
	if ready == nil || ready.Status == metav1.ConditionUnknown || slices.Contains(unappliedReasons, ready.Reason) {
		return 0
	}
	return ready.ObservedGeneration
}

// readEndingPods reads from the API server which pods in the cache are already deleted or being deleted. It
// does so after the start of the process, since the cache can be older than the last writes of the former
// process. It does so again after a failed deletion, since the API server may have deleted the pod although
// its answer was lost.
func (r *Reconciler) readEndingPods(ctx context.Context, around *clusterState) error {
	o := &r.observed
	if o.informed {
		return nil
	}
	pods, err := r.componentPods(ctx)
	if err != nil {
		return err
	}
	running := map[types.UID]bool{}
	for i := range pods {
		running[pods[i].UID] = pods[i].DeletionTimestamp == nil
	}
	o.ending, o.informed = map[types.UID]bool{}, true
	for i := range around.pods {
		if uid := around.pods[i].UID; !running[uid] {
			o.ending[uid] = true
		}
	}
	return nil
}

// storeRollout writes the state of a rollout to the status, before the pass acts on it.
func (r *Reconciler) storeRollout(ctx context.Context, stack *v1beta1.LoadBalancerStack, status *v1beta1.RolloutStatus) error {
	stored := apiconv.ParseRolloutStatus(status)
	if stored.Equal(apiconv.ParseRolloutStatus(stack.Status.Rollout)) {
		r.observed.stored = stored
		return nil
	}
	before := stack.DeepCopy()
	stack.Status.Rollout = status
	if err := r.Client.Status().Patch(ctx, stack, optimisticPatch(before)); err != nil {
		return stackWriteError{fmt.Errorf("storing the state of the rollout in the LoadBalancerStack %s: %w", stack.Name, err)}
	}
	ctrllog.FromContext(ctx).Info("the state of the rollout has changed", "phase", status.Phase, "revision", status.Revision, "message", status.Message)
	r.observed.stored = stored
	return nil
}

// withTemplates returns the wanted objects with the templates that the workloads should have, and with the
// ControllerRevisions that should exist. The ControllerRevisions come before the workloads. The parameter
// live has the hashes of the templates that the workloads have now.
func (r *Reconciler) withTemplates(wanted []*unstructured.Unstructured, c *changePlan, live rollout.Revision, f *findings) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	stored := false
	for _, object := range wanted {
		if !isWorkload(object) {
			objects = append(objects, object)
			continue
		}
		if !stored {
			objects, stored = append(objects, r.revisionObjects(c)...), true
		}
		objects = append(objects, object)
		template, hash := c.templateFor(object.GetKind(), live)
		if template == nil {
			f.leave = append(f.leave, object.GetKind())
			continue
		}
		if err := setTemplate(object, template, hash); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// revisionObjects returns the ControllerRevisions that should exist: that of the wanted revision, which may
// have failed, and that of the last good revision.
func (r *Reconciler) revisionObjects(c *changePlan) (objects []*unstructured.Unstructured) {
	for i, revision := range []rollout.Revision{c.Next.Revision, c.Next.Good} {
		if t, known := c.revisions[revision]; known && (i == 0 || revision != c.Next.Revision) {
			objects = append(objects, revisionObject(revision, t, r.Namespace))
		}
	}
	return objects
}

// templateFor returns the template that a workload should have, and its hash. This is the planned template
// or, if that is not known, the template that the workload has now; nil: neither is known.
func (c *changePlan) templateFor(kind string, live rollout.Revision) (map[string]any, rollout.Hash) {
	of := func(r rollout.Revision) (map[string]any, rollout.Hash) { return c.revisions[r].Speaker, r.Speaker }
	planned, has := c.Speaker, live.Speaker
	if kind == "Deployment" {
		of = func(r rollout.Revision) (map[string]any, rollout.Hash) {
			return c.revisions[r].Controller, r.Controller
		}
		planned, has = c.Controller, live.Controller
	}
	if planned == (rollout.Revision{}) && has == "" { // there is no workload
		planned = c.Next.Revision
	}
	if template, hash := of(planned); template != nil {
		return template, hash
	}
	for revision := range c.revisions {
		if template, hash := of(revision); hash == has {
			return template, hash
		}
	}
	return nil, ""
}

// deleteReplacedPods deletes the pods that the plan replaces. If the DaemonSet was written in this pass, the
// deletion waits for the next pass, so that the DaemonSet controller makes the new pods from the new
// template.
func (r *Reconciler) deleteReplacedPods(ctx context.Context, c *changePlan, steps passPlan, f *findings) error {
	if len(c.Delete) == 0 {
		return nil
	}
	isDaemonSet := func(ref v1beta1.ObjectReference) bool { return ref.Kind == "DaemonSet" }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(steps.unchanged)), isDaemonSet) {
		f.rollout.again = shorterWait(f.rollout.again, stepDelay)
		return nil
	}
	for _, d := range c.Delete {
		uid := types.UID(d.Pod)
		r.observed.ending[uid] = true
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: c.pods[d.Pod]}}
		err := r.Client.Delete(ctx, pod, client.Preconditions{UID: &uid})
		switch {
		case err == nil:
			ctrllog.FromContext(ctx).Info("deleted the pod of a speaker, so that the DaemonSet makes a new one", "node", d.Node, "pod", pod.Name)
		case apierrors.IsNotFound(err) || apierrors.IsConflict(err): // the pod is gone already
		default: // the pod may be deleted or not: the next pass reads that from the API server
			r.observed.informed = false
			return fmt.Errorf("deleting the pod %s to replace the speaker on %s: %w", pod.Name, d.Node, err)
		}
	}
	return nil
}
