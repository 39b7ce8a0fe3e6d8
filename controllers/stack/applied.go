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

// applied remembers what the operator applied last, and how the object was then: one that
// is the same, and is to be the same, need not be applied again. What is not remembered is
// applied. The zero value remembers nothing; it is for one goroutine.
type applied struct {
	objects  map[v1beta1.ObjectReference]application
	restores retry.Restores[v1beta1.ObjectReference]
}

type application struct {
	wanted *unstructured.Unstructured
	digest string // of wanted
	result revision
}

// revision tells whether anybody changed an object, its status aside. Its fields are
// exported for equality.Semantic, to which an empty list is none.
type revision struct {
	UID types.UID
	// Generation of the spec; of a kind that counts none, Version changes with everything.
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

// holds says whether an object is as it was after the same was applied.
func (a *applied) holds(wanted, live *unstructured.Unstructured) bool {
	last, known := a.objects[identity(refOf(wanted))]
	return known && equality.Semantic.DeepEqual(last.result, revisionOf(live)) && equality.Semantic.DeepEqual(last.wanted.Object, wanted.Object)
}

// knows says whether the same was applied before.
func (a *applied) knows(wanted *unstructured.Unstructured) bool {
	last, known := a.objects[identity(refOf(wanted))]
	return known && equality.Semantic.DeepEqual(last.wanted.Object, wanted.Object)
}

// held notes that an object is as the operator applied it.
func (a *applied) held(wanted *unstructured.Unstructured, now time.Time) {
	ref := identity(refOf(wanted))
	a.restores.Look(ref, a.objects[ref].digest, true, now)
}

// wait returns how long to leave an object as another writer has it: it undoes what the operator applies again
// and again.
func (a *applied) wait(wanted *unstructured.Unstructured, now time.Time) time.Duration {
	return a.restores.Look(identity(refOf(wanted)), digest(wanted), false, now).Wait
}

// digest identifies what is wanted without the keys that may be in it.
func digest(wanted *unstructured.Unstructured) string {
	wanted = wanted.DeepCopy()
	storedKeys{}.lock(wanted)
	sum := sha256.Sum256(fmt.Append(nil, wanted.Object)) // fmt orders keys
	return string(sum[:])
}

func (a *applied) note(wanted, result *unstructured.Unstructured) {
	if a.objects == nil {
		a.objects = map[v1beta1.ObjectReference]application{}
	}
	ref, is := identity(refOf(wanted)), digest(wanted)
	a.objects[ref] = application{wanted: wanted, digest: is, result: revisionOf(result)}
	a.restores.Wrote(ref, is)
}

func (a *applied) forget(wanted *unstructured.Unstructured) {
	delete(a.objects, identity(refOf(wanted)))
}

// keep forgets all objects but these.
func (a *applied) keep(wanted []*unstructured.Unstructured) {
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

// cached returns an object of the operator from the cache, nil if it has none; an object of a kind
// that is not watched it reads. It is without managed fields.
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
