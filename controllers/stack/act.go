package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
)

// recordInventory writes the inventory to the status if it has changed, before the objects in it
// are written.
func (r *Reconciler) recordInventory(ctx context.Context, stack *v1beta1.LoadBalancerStack, inventory []v1beta1.ObjectReference) error {
	if slices.Equal(stack.Status.Inventory, inventory) {
		return nil
	}
	before := stack.DeepCopy()
	stack.Status.Inventory = inventory
	if err := r.Client.Status().Patch(ctx, stack, optimisticPatch(before)); err != nil {
		return stackWriteError{fmt.Errorf("recording the inventory of the LoadBalancerStack %s: %w", stack.Name, err)}
	}
	return nil
}

// applyObjects applies the wanted objects that differ from their wanted state, and records the state of every
// wanted object in f. If an object cannot be applied, the others are applied nevertheless. applyObjects
// returns the errors after which another attempt may succeed.
func (r *Reconciler) applyObjects(ctx context.Context, stack *v1beta1.LoadBalancerStack, steps passPlan, wanted []*unstructured.Unstructured, around *clusterState, f *findings, stored storedKeySecret) []error {
	var failed []error
	for _, object := range wanted {
		live, why, err := r.applyPlanned(ctx, stack, steps, object, stored, f)
		if err == nil && live != nil {
			err = f.addStatus(live, around)
			stored.valid = stored.valid || isKeySecret(object)
		}
		f.unapplied = f.unapplied || live == nil && object.GroupVersionKind().Group == v1beta1.GroupVersion.Group
		f.unstored = f.unstored || object.GetKind() == "ControllerRevision" && live == nil
		switch {
		case err == nil && live != nil:
			continue
		case err != nil && isFinal(err):
			f.addRefusal(object, err)
		case err != nil:
			failed = append(failed, f.addFailure(v1beta1.ReasonApplyFailed, err))
		}
		if isWorkload(object) {
			f.components = append(f.components, unknownState(object, firstNonEmpty(why, "it was not written")))
		}
	}
	return failed
}

// applyPlanned applies an object if the plan requires it, and returns the object as the cluster then has it;
// nil: the cluster has no such object of the operator, or its state is not known. why is set if the object
// was not applied although it should be. The DaemonSet waits until the Secret has a key of the mesh: pods of
// speakers cannot start without a key.
func (r *Reconciler) applyPlanned(ctx context.Context, stack *v1beta1.LoadBalancerStack, steps passPlan, object *unstructured.Unstructured, stored storedKeySecret, f *findings) (live *unstructured.Unstructured, why string, err error) {
	ref := refOf(object)
	switch {
	case steps.unread[ref] != nil:
		return nil, "", steps.unread[ref]
	case steps.unchanged[ref] != nil:
		r.applied.setUnchanged(object, time.Now())
		return steps.unchanged[ref], "", nil
	case slices.Contains(f.leave, object.GetKind()):
		live, err := r.cachedObject(ctx, ref)
		return live, "the ControllerRevision with its pod template does not exist", err
	case isWorkload(object) && f.unstored:
		return nil, "it waits for the ControllerRevision with its pod template", nil
	case object.GetKind() == "DaemonSet" && !stored.valid:
		return nil, "it waits for the Secret with the keys of the mesh", nil
	case !slices.Contains(steps.apply, object):
		return nil, fmt.Sprintf("a %s of this name exists already, and lbstack did not make it", ref.Kind), nil
	}
	if wait := r.applied.restoreWait(object, time.Now()); wait > 0 {
		f.restore = shorterWait(f.restore, wait)
		if isKeySecret(object) {
			return nil, "", nil // the cached Secret lacks the keys
		}
		live, err := r.cachedObject(ctx, ref)
		return live, "another writer deletes it repeatedly: the operator makes it again within seconds", err
	}
	if isKeySecret(object) {
		stored.setPreconditions(object)
	}
	if err := r.applyObject(ctx, stack, object, steps.read[ref], f); err != nil {
		return nil, "", err
	}
	return object, "", nil
}

// isWorkload reports whether an object runs pods.
func isWorkload(object *unstructured.Unstructured) bool {
	return object.GetKind() == "Deployment" || object.GetKind() == "DaemonSet"
}

// isFinal reports whether the API server refuses a request in such a way that every further attempt fails
// until a person changes something.
func isFinal(err error) bool {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return false
	}
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}

// applyObject applies an object, and replaces its content by what the cluster then has. before is the metadata
// of the object before the apply; nil: it did not exist.
func (r *Reconciler) applyObject(ctx context.Context, stack *v1beta1.LoadBalancerStack, object *unstructured.Unstructured, before *metav1.PartialObjectMetadata, f *findings) error {
	wanted := object.DeepCopy()
	storedKeySecret{}.setPreconditions(wanted) // without the UID and the version, which are no part of the wanted state
	was := r.applied.historyOf(wanted)
	r.reportTemplateChanges(ctx, stack, wanted)
	if err := r.applyAndClean(ctx, object, wanted); err != nil {
		r.applied.forgetObject(wanted)
		return err
	}
	r.applied.recordApply(wanted, object)
	r.reportDrift(stack, object, before, was, f)
	return nil
}

// reportTemplateChanges sends an event that names the fields of a workload's pod template which the next
// apply changes. It compares the present workload with the result of a dry run, since the API server has set
// the defaults in both. If the dry run fails, there is no event: an object that the API server refuses fails
// in the apply as well.
func (r *Reconciler) reportTemplateChanges(ctx context.Context, stack *v1beta1.LoadBalancerStack, wanted *unstructured.Unstructured) {
	former := r.formerWorkload(ctx, wanted)
	if former == nil {
		return
	}
	next := wanted.DeepCopy()
	if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(next), client.FieldOwner(fieldOwner), client.ForceOwnership, client.DryRunAll); err != nil {
		ctrllog.FromContext(ctx).V(1).Info("the dry run of a workload failed", "object", describeObject(refOf(wanted)), "error", err.Error())
		return
	}
	if fields := templateChanges(former, next); len(fields) > 0 {
		note := fmt.Sprintf("the pods of the %s are replaced, since these fields of the pod template change: %s", describeObject(refOf(wanted)), listNames(fields))
		r.Events.Eventf(stack, next, corev1.EventTypeNormal, v1beta1.ReasonTemplateChanged, eventAction, "%s", bounded.Note(note))
	}
}

// formerWorkload returns a workload as the cluster has it; nil for an object of another kind, and if the
// workload cannot be read: only an event depends on it.
func (r *Reconciler) formerWorkload(ctx context.Context, wanted *unstructured.Unstructured) *unstructured.Unstructured {
	if !isWorkload(wanted) {
		return nil
	}
	former := &unstructured.Unstructured{}
	former.SetGroupVersionKind(wanted.GroupVersionKind())
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(wanted), former); err != nil {
		return nil
	}
	return former
}

// applyAndClean applies object, a copy of wanted, and removes what other writers have added to it.
func (r *Reconciler) applyAndClean(ctx context.Context, object, wanted *unstructured.Unstructured) error {
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(fieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying the %s: %w", describeObject(refOf(object)), err)
	}
	field := ""
	switch {
	case isKeySecret(wanted):
		field = "data"
	case slices.Contains([]string{v1beta1.GroupVersion.Group, admissionv1.GroupName, policyv1.GroupName}, wanted.GroupVersionKind().Group):
		field = "spec" // the wanted spec has all defaults that the API server sets
	default:
		return r.takeOver(ctx, object, wanted)
	}
	live, _ := object.Object[field].(map[string]any)
	value, _ := wanted.Object[field].(map[string]any)
	if equality.Semantic.DeepEqual(live, value) {
		return nil
	}
	// Another writer has added items to a list that server-side apply merges, or also owns an entry of the
	// field.
	patch, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/" + field, "value": value}})
	if err != nil {
		return fmt.Errorf("restoring the %s of the %s: %w", field, describeObject(refOf(object)), err)
	}
	if err := r.Client.Patch(ctx, object, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(fieldOwner)); err != nil {
		return fmt.Errorf("restoring the %s of the %s: %w", field, describeObject(refOf(object)), err)
	}
	return nil
}

// addStatus adds to the findings what the status of an object reports.
func (f *findings) addStatus(object *unstructured.Unstructured, around *clusterState) error {
	c, ok, err := workloadState(object, around)
	if err != nil {
		return err
	}
	if ok {
		f.components = append(f.components, c)
	}
	conditions, err := conditionsOf(object)
	if err != nil {
		return err
	}
	name := object.GetName()
	ready, isUnready := conditions.withStatus(v1beta1.ConditionReady, metav1.ConditionFalse)
	if isUnready && ready.Reason != v1beta1.ReasonForeignHost {
		f.addFieldProblem(object, ready.Message)
	}
	switch object.GetKind() {
	case "IPAddressPool":
		conflict, isConflict := conditions.withStatus(v1beta1.ConditionConflict, metav1.ConditionTrue)
		if isConflict && isUnready && ready.Reason == conflict.Reason {
			ready, isConflict = conflict, false // the message of Ready only refers to the condition Conflict
		}
		if isUnready {
			f.pools = append(f.pools, fmt.Sprintf("the pool %s: %s", name, ready.Message))
		}
		if isConflict {
			f.conflicts = append(f.conflicts, fmt.Sprintf("the pool %s: %s", name, conflict.Message))
		}
	case "BGPPeer", "BFDProfile":
		if isUnready {
			f.peers = append(f.peers, fmt.Sprintf("the %s %s: %s", object.GetKind(), name, ready.Message))
		}
		down, isDown := conditions.withStatus(v1beta1.ConditionEstablished, metav1.ConditionFalse)
		switch sentence := fmt.Sprintf("the BGPPeer %s: %s", name, down.Message); {
		case isDown && down.Reason == v1beta1.ReasonNoSession:
			f.peersDown = append(f.peersDown, sentence)
		case isDown && down.Reason == v1beta1.ReasonNoSpeaker:
			f.noSpeaker = append(f.noSpeaker, sentence)
		case isDown && down.Reason == v1beta1.ReasonFlapping:
			f.flapping = append(f.flapping, sentence)
		}
	case "L2Advertisement", "BGPAdvertisement", "Community":
		if isUnready {
			f.advertisements = append(f.advertisements, fmt.Sprintf("the %s %s: %s", object.GetKind(), name, ready.Message))
		}
	}
	return nil
}

// downReasons are the reasons of the condition Established=False of a BGPPeer with which its router receives
// no addresses, or soon loses them again. If only some nodes have no session, the router receives the
// addresses from other nodes.
var downReasons = []string{v1beta1.ReasonNoSession, v1beta1.ReasonNoSpeaker, v1beta1.ReasonFlapping}

// objectConditions are the conditions of an object of lbstack, with the present generation of the object.
type objectConditions struct {
	list       []metav1.Condition
	generation int64
}

func conditionsOf(object *unstructured.Unstructured) (objectConditions, error) {
	c := objectConditions{generation: object.GetGeneration()}
	if object.GroupVersionKind().Group != v1beta1.GroupVersion.Group {
		return c, nil
	}
	raw, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err == nil {
		var text []byte
		if text, err = json.Marshal(raw); err == nil {
			err = json.Unmarshal(text, &c.list)
		}
	}
	if err != nil {
		return c, fmt.Errorf("reading the status of the %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return c, nil
}

// withStatus returns a condition if it has the status. A condition of an older generation does not count.
func (c objectConditions) withStatus(kind string, status metav1.ConditionStatus) (metav1.Condition, bool) {
	condition := meta.FindStatusCondition(c.list, kind)
	if condition == nil || condition.Status != status || condition.ObservedGeneration != c.generation {
		return metav1.Condition{}, false
	}
	return *condition, true
}

// deleteUnwanted deletes objects that are no longer wanted and returns those that are
// gone, or no longer have the operator's label.
func (r *Reconciler) deleteUnwanted(ctx context.Context, list []v1beta1.ObjectReference) (gone []v1beta1.ObjectReference, err error) {
	for _, ref := range slices.Backward(list) {
		isGone, err := r.deleteLabelled(ctx, ref)
		if err != nil {
			return gone, err
		}
		if isGone {
			gone = append(gone, ref)
		}
	}
	return gone, nil
}

// deleteLabelled deletes an object if it has the operator's label, and reports
// whether no object with that label is left.
func (r *Reconciler) deleteLabelled(ctx context.Context, ref v1beta1.ObjectReference) (gone bool, err error) {
	object, err := r.readMetadata(ctx, ref)
	if err != nil {
		return false, err
	}
	if object == nil || !isLabelled(object) {
		return true, nil
	}
	if object.DeletionTimestamp.IsZero() {
		err := r.Client.Delete(ctx, object,
			client.Preconditions{UID: &object.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("deleting the %s: %w", describeObject(ref), err)
		}
		if object, err = r.readMetadata(ctx, ref); err != nil {
			return false, err
		}
	}
	return object == nil, nil
}

// componentPods lists the pods of the components.
func (r *Reconciler) componentPods(ctx context.Context) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := r.Reader.List(ctx, &list, client.InNamespace(r.Namespace), client.MatchingLabels{"app.kubernetes.io/name": "lbstack"})
	if err != nil {
		return nil, fmt.Errorf("listing the pods in the namespace %s: %w", r.Namespace, err)
	}
	return list.Items, nil
}
