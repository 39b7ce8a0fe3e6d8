package stack

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/retry"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/manifests"
)

// applyRecords has, for each object, the last state that the operator applied and the revision of the result.
// An object is applied again only if the wanted state or the revision has changed. The zero value has no
// records. It is not safe for concurrent use.
type applyRecords struct {
	objects  map[v1beta1.ObjectReference]applyRecord
	restores retry.RestoreLimiter[v1beta1.ObjectReference]
}

type applyRecord struct {
	wanted *unstructured.Unstructured
	digest string // hash of wanted, see digestOf
	result objectRevision
}

// objectRevision identifies a state of an object. Every change of the object changes at least one of these
// fields, except changes of its status. The fields are exported for equality.Semantic, for which an empty
// list equals nil.
type objectRevision struct {
	UID types.UID
	// Generation is that of the spec; zero for a kind without generations.
	Generation int64
	// Version is the resource version of a kind without generations, which changes with any write.
	Version             string
	Deleting            bool
	Labels, Annotations map[string]string
	Finalizers          []string
	Owners              []metav1.OwnerReference
}

func objectRevisionOf(o metav1.Object) objectRevision {
	r := objectRevision{
		UID: o.GetUID(), Generation: o.GetGeneration(), Deleting: o.GetDeletionTimestamp() != nil,
		Labels: o.GetLabels(), Annotations: o.GetAnnotations(), Finalizers: o.GetFinalizers(), Owners: o.GetOwnerReferences(),
	}
	if r.Generation == 0 {
		r.Version = o.GetResourceVersion()
	}
	return r
}

// isUnchanged reports whether this process last applied the wanted state to the object, and nobody has
// changed the object since then.
func (a *applyRecords) isUnchanged(wanted, live *unstructured.Unstructured) bool {
	last, known := a.objects[withoutVersion(refOf(wanted))]
	return known && equality.Semantic.DeepEqual(last.result, objectRevisionOf(live)) && equality.Semantic.DeepEqual(last.wanted.Object, wanted.Object)
}

// applyHistory is what this process last applied to an object.
type applyHistory int

const (
	appliedNone  applyHistory = iota // nothing, or the last attempt failed
	appliedOther                     // another state than the wanted one
	appliedSame                      // the wanted state
)

// historyOf compares the wanted state with the last one that was applied.
func (a *applyRecords) historyOf(wanted *unstructured.Unstructured) applyHistory {
	last, known := a.objects[withoutVersion(refOf(wanted))]
	switch {
	case !known:
		return appliedNone
	case equality.Semantic.DeepEqual(last.wanted.Object, wanted.Object):
		return appliedSame
	}
	return appliedOther
}

// setUnchanged records, for restoreWait, that an object has the state that the operator applied last.
func (a *applyRecords) setUnchanged(wanted *unstructured.Unstructured, now time.Time) {
	ref := withoutVersion(refOf(wanted))
	a.restores.Compare(ref, a.objects[ref].digest, true, now)
}

// restoreWait returns how long to wait before the operator applies an object again that another writer has
// changed; 0 unless that writer has changed it repeatedly.
func (a *applyRecords) restoreWait(wanted *unstructured.Unstructured, now time.Time) time.Duration {
	return a.restores.Compare(withoutVersion(refOf(wanted)), digestOf(wanted), false, now).Wait
}

// digestOf returns a hash that identifies a wanted state. A hash does not reveal the keys of a Secret.
func digestOf(wanted *unstructured.Unstructured) string {
	wanted = wanted.DeepCopy()
	storedKeySecret{}.setPreconditions(wanted)
	sum := sha256.Sum256(fmt.Append(nil, wanted.Object)) // fmt prints maps sorted by key
	return string(sum[:])
}

func (a *applyRecords) recordApply(wanted, result *unstructured.Unstructured) {
	if a.objects == nil {
		a.objects = map[v1beta1.ObjectReference]applyRecord{}
	}
	ref, is := withoutVersion(refOf(wanted)), digestOf(wanted)
	a.objects[ref] = applyRecord{wanted: wanted, digest: is, result: objectRevisionOf(result)}
	a.restores.NoteWrite(ref, is)
}

func (a *applyRecords) forgetObject(wanted *unstructured.Unstructured) {
	delete(a.objects, withoutVersion(refOf(wanted)))
}

// retainOnly forgets all objects that are not wanted.
func (a *applyRecords) retainOnly(wanted []*unstructured.Unstructured) {
	stay := map[v1beta1.ObjectReference]bool{}
	for _, object := range wanted {
		stay[withoutVersion(refOf(object))] = true
	}
	for ref := range a.objects {
		if !stay[ref] {
			delete(a.objects, ref)
		}
	}
	a.restores.Retain(func(ref v1beta1.ObjectReference) bool { return stay[ref] })
}

// cachedObject returns an object that the operator made from the cache, without managed fields; nil: the
// cache does not have it. An object of a kind that is not watched comes from the API server.
func (r *Reconciler) cachedObject(ctx context.Context, ref v1beta1.ObjectReference) (*unstructured.Unstructured, error) {
	if gvkOf(ref) == manifests.ServiceMonitor().GroupVersionKind {
		return r.readUncached(ctx, ref)
	}
	typed, err := r.Client.Scheme().New(gvkOf(ref))
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", describeObject(ref), err)
	}
	object := typed.(client.Object)
	reader := client.Reader(r.Client)
	if ref.Kind == "Secret" && ref.Name == apiconv.PasswordsSecretName {
		reader = r.passwords
	}
	err = reader.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the %s from the cache: %w", describeObject(ref), err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("reading the %s from the cache: %w", describeObject(ref), err)
	}
	live := &unstructured.Unstructured{Object: content}
	live.SetGroupVersionKind(gvkOf(ref))
	return live, nil
}
