package stack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/manifests"
)

// keyLength of a new memberlist key: AES-256.
const keyLength = 32

// memberlistKey returns the key that the speakers share: the one in the
// cluster as long as there is one, which stored says, else a new one.
func (r *Reconciler) memberlistKey(ctx context.Context, namespace string) (key []byte, stored bool, err error) {
	secret := &corev1.Secret{}
	err = r.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: manifests.MemberlistSecretName}, secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, false, fmt.Errorf("reading the Secret %s/%s: %w", namespace, manifests.MemberlistSecretName, err)
	}
	if key := secret.Data[manifests.MemberlistSecretKey]; len(key) == keyLength {
		return key, true, nil
	}
	key = make([]byte, keyLength)
	if _, err := rand.Read(key); err != nil {
		return nil, false, fmt.Errorf("making a memberlist key: %w", err)
	}
	return key, false, nil
}

// record writes the inventory, if it changes, before what is in it is made.
func (r *Reconciler) record(ctx context.Context, stack *v1beta1.LoadBalancerStack, inventory []v1beta1.ObjectReference) error {
	if slices.Equal(stack.Status.Inventory, inventory) {
		return nil
	}
	before := stack.DeepCopy()
	stack.Status.Inventory = inventory
	if err := r.Client.Status().Patch(ctx, stack, optimistic(before)); err != nil {
		return fmt.Errorf("recording the inventory of the LoadBalancerStack %s: %w", stack.Name, err)
	}
	return nil
}

// apply writes the objects of the plan that do not hold, and sees how all are; one that
// fails does not stop the rest.
// The speakers are written only with a key that the cluster holds: each pass
// would make another one, and start them anew.
func (r *Reconciler) apply(ctx context.Context, steps plan, wanted rendered, f *findings) []error {
	var failed []error
	keyStored := wanted.keyStored
	for _, object := range wanted.objects {
		kind := object.GetKind()
		why := "a " + kind + " of this name exists already and belongs to somebody else"
		live := steps.hold[refOf(object)]
		switch {
		case live == nil && kind == "DaemonSet" && !keyStored:
			why = "it waits for the Secret with the speakers' key"
		case live != nil || slices.Contains(steps.apply, object):
			var err error
			if live == nil {
				live, err = object, r.applyOne(ctx, object)
			}
			if err == nil {
				err = f.see(live)
				keyStored = keyStored || kind == "Secret"
				if err == nil {
					continue
				}
			}
			failed = append(failed, err)
			f.applyFailed = append(f.applyFailed, err.Error())
			why = err.Error()
		}
		if kind == "Deployment" || kind == "DaemonSet" {
			f.components = append(f.components, refused(object, bounded.Cut(why, maxComponentMessage)))
		}
	}
	return failed
}

// applyOne applies an object and leaves in it what the cluster has then.
func (r *Reconciler) applyOne(ctx context.Context, object *unstructured.Unstructured) error {
	wanted := object.DeepCopy()
	if err := r.impose(ctx, object, wanted); err != nil {
		r.applied.forget(wanted)
		return err
	}
	r.applied.note(wanted, object)
	return nil
}

// impose has the cluster hold what is wanted, of which object is a copy.
func (r *Reconciler) impose(ctx context.Context, object, wanted *unstructured.Unstructured) error {
	spec := wanted.Object["spec"]
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(fieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying the %s: %w", describe(refOf(object)), err)
	}
	if kind := object.GetKind(); kind == "Deployment" || kind == "DaemonSet" {
		return r.takeOver(ctx, object, wanted)
	}
	if object.GroupVersionKind().Group != v1beta1.GroupVersion.Group || equality.Semantic.DeepEqual(object.Object["spec"], spec) {
		return nil
	}
	// Somebody added to a list that server-side apply merges.
	patch, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/spec", "value": spec}})
	if err != nil {
		return fmt.Errorf("restoring the spec of the %s: %w", describe(refOf(object)), err)
	}
	if err := r.Client.Patch(ctx, object, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(fieldOwner)); err != nil {
		return fmt.Errorf("restoring the spec of the %s: %w", describe(refOf(object)), err)
	}
	return nil
}

// see takes over what the status of an applied object tells.
func (f *findings) see(object *unstructured.Unstructured) error {
	c, ok, err := workloadState(object)
	if err != nil {
		return err
	}
	if ok {
		f.components = append(f.components, c)
	}
	ready, conflict, err := said(object)
	if err != nil {
		return err
	}
	switch object.GetKind() {
	case "IPAddressPool":
		if ready != nil {
			f.pools = append(f.pools, fmt.Sprintf("the pool %s gives no addresses: %s", object.GetName(), ready.Message))
		}
		if conflict != nil {
			f.pools = append(f.pools, fmt.Sprintf("the pool %s does not give all its addresses: %s", object.GetName(), conflict.Message))
		}
	case "BGPPeer", "BFDProfile":
		if ready != nil {
			f.peers = append(f.peers, fmt.Sprintf("the %s %s: %s", object.GetKind(), object.GetName(), ready.Message))
		}
	case "L2Advertisement", "BGPAdvertisement", "Community":
		if ready != nil {
			f.advertisements = append(f.advertisements, fmt.Sprintf("the %s %s: %s", object.GetKind(), object.GetName(), ready.Message))
		}
	}
	return nil
}

// said returns the conditions of an object of ours that say that something is wrong:
// that it is not Ready, and that there is a Conflict. What they say of an older spec
// does not count.
func said(object *unstructured.Unstructured) (unready, conflict *metav1.Condition, err error) {
	if object.GroupVersionKind().Group != v1beta1.GroupVersion.Group {
		return nil, nil, nil
	}
	fail := func(err error) (unready, conflict *metav1.Condition, _ error) {
		return nil, nil, fmt.Errorf("reading the status of the %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		return fail(err)
	}
	raw, err := json.Marshal(conditions)
	if err != nil {
		return fail(err)
	}
	var list []metav1.Condition
	if err := json.Unmarshal(raw, &list); err != nil {
		return fail(err)
	}
	is := func(kind string, status metav1.ConditionStatus) *metav1.Condition {
		c := meta.FindStatusCondition(list, kind)
		if c == nil || c.Status != status || c.ObservedGeneration != object.GetGeneration() {
			return nil
		}
		return c
	}
	return is(v1beta1.ConditionReady, metav1.ConditionFalse), is(v1beta1.ConditionConflict, metav1.ConditionTrue), nil
}

// prune deletes objects that are no longer wanted and returns those that are
// gone, or not the operator's any more.
func (r *Reconciler) prune(ctx context.Context, list []v1beta1.ObjectReference) (gone []v1beta1.ObjectReference, err error) {
	for _, ref := range slices.Backward(list) {
		isGone, err := r.deleteOne(ctx, ref)
		if err != nil {
			return gone, err
		}
		if isGone {
			gone = append(gone, ref)
		}
	}
	return gone, nil
}

// deleteOne deletes an object if it carries the operator's label, and says
// whether nothing of the operator's is left of it.
func (r *Reconciler) deleteOne(ctx context.Context, ref v1beta1.ObjectReference) (gone bool, err error) {
	object, err := r.lookUp(ctx, ref)
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
			return false, fmt.Errorf("deleting the %s: %w", describe(ref), err)
		}
		if object, err = r.lookUp(ctx, ref); err != nil {
			return false, err
		}
	}
	return object == nil, nil
}

// examine asks the pods of components that are not ready what is wrong.
func (r *Reconciler) examine(ctx context.Context, namespace string, f *findings) error {
	if allSettled(f.components) {
		return nil
	}
	pods, err := r.pods(ctx, namespace)
	if err != nil {
		return err
	}
	for i := range f.components {
		c := &f.components[i]
		if c.settled || c.unknown {
			continue
		}
		if c.failing = diagnose(c.Name, pods); c.failing != "" {
			c.Message = bounded.Cut(c.Message+"; "+c.failing, maxComponentMessage)
		}
	}
	return nil
}

// pods lists the pods of the components.
func (r *Reconciler) pods(ctx context.Context, namespace string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := r.Reader.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "lbstack"})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("listing the pods in the namespace %s: %w", namespace, err)
	}
	return list.Items, nil
}
