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

// applied records what the operator applied last to each object, and the revision of the result.
// An object is applied again only if the wanted state or the revision has changed. The zero value
// has no records; it is for one goroutine.
type applied struct {
	objects  map[v1beta1.ObjectReference]lastApply
	restores retry.RestoreLimiter[v1beta1.ObjectReference]
}

type lastApply struct {
	wanted *unstructured.Unstructured
	digest string // of wanted
	result revision
}

// revision has the metadata that change if anybody changes an object, except its status. The
// fields are exported for equality.Semantic, for which an empty list equals nil.
type revision struct {
	UID types.UID
	// Generation of the spec. For kinds without generations, Version changes with any write.
	Generation          int64
	Version             string
	Deleting            bool
	Labels, Annotations map[string]string
	Finalizers          []string
	Owners              []metav1.OwnerReference
}

func revisionOf(o metav1.Object) revision {
	r := revision{
		UID: o.GetUID(), Generation: o.GetGeneration(), Deleting: o.GetDeletionTimestamp() != nil,
		Labels: o.GetLabels(), Annotations: o.GetAnnotations(), Finalizers: o.GetFinalizers(), Owners: o.GetOwnerReferences(),
	}
	if r.Generation == 0 {
		r.Version = o.GetResourceVersion()
	}
	return r
}

// isUnchanged reports whether the same state was applied before, and the object is as it was then.
func (a *applied) isUnchanged(wanted, live *unstructured.Unstructured) bool {
	last, known := a.objects[identity(refOf(wanted))]
	return known && equality.Semantic.DeepEqual(last.result, revisionOf(live)) && equality.Semantic.DeepEqual(last.wanted.Object, wanted.Object)
}

// history is what the process has applied of an object before.
type history int

const (
	appliedNone  history = iota // nothing, or the last attempt failed
	appliedOther                // another state
	appliedSame                 // the same state
)

// history returns what was applied before.
func (a *applied) history(wanted *unstructured.Unstructured) history {
	last, known := a.objects[identity(refOf(wanted))]
	switch {
	case !known:
		return appliedNone
	case equality.Semantic.DeepEqual(last.wanted.Object, wanted.Object):
		return appliedSame
	}
	return appliedOther
}

// setUnchanged records that an object is as the operator applied it.
func (a *applied) setUnchanged(wanted *unstructured.Unstructured, now time.Time) {
	ref := identity(refOf(wanted))
	a.restores.Compare(ref, a.objects[ref].digest, true, now)
}

// wait returns how long to wait before an object that another writer has changed is applied again; 0 unless that writer
// has done so repeatedly.
func (a *applied) wait(wanted *unstructured.Unstructured, now time.Time) time.Duration {
	return a.restores.Compare(identity(refOf(wanted)), digest(wanted), false, now).Wait
}

// digest identifies a wanted state. It is a hash, so that it does not reveal the keys of a Secret.
func digest(wanted *unstructured.Unstructured) string {
	wanted = wanted.DeepCopy()
	storedKeys{}.lock(wanted)
	sum := sha256.Sum256(fmt.Append(nil, wanted.Object)) // fmt orders keys
	return string(sum[:])
}

func (a *applied) note(wanted, result *unstructured.Unstructured) {
	if a.objects == nil {
		a.objects = map[v1beta1.ObjectReference]lastApply{}
	}
	ref, is := identity(refOf(wanted)), digest(wanted)
	a.objects[ref] = lastApply{wanted: wanted, digest: is, result: revisionOf(result)}
	a.restores.NoteWrite(ref, is)
}

func (a *applied) forget(wanted *unstructured.Unstructured) {
	delete(a.objects, identity(refOf(wanted)))
}

// retain forgets all objects but these.
func (a *applied) retain(wanted []*unstructured.Unstructured) {
	stay := map[v1beta1.ObjectReference]bool{}
	for _, object := range wanted {
		stay[identity(refOf(object))] = true
	}
	for ref := range a.objects {
		if !stay[ref] {
			delete(a.objects, ref)
		}
	}
	a.restores.Retain(func(ref v1beta1.ObjectReference) bool { return stay[ref] })
}

// cached returns an object of the operator from the cache, without managed fields; nil: the cache has
// none. An object of a kind that is not watched comes from the API server.
func (r *Reconciler) cached(ctx context.Context, ref v1beta1.ObjectReference) (*unstructured.Unstructured, error) {
	if gvkOf(ref) == manifests.ServiceMonitor().GroupVersionKind {
		return r.uncached(ctx, ref)
	}
	typed, err := r.Client.Scheme().New(gvkOf(ref))
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", describe(ref), err)
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
		return nil, fmt.Errorf("reading the %s from the cache: %w", describe(ref), err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("reading the %s from the cache: %w", describe(ref), err)
	}
	live := &unstructured.Unstructured{Object: content}
	live.SetGroupVersionKind(gvkOf(ref))
	return live, nil
}
