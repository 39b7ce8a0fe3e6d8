package stack

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// fieldOwner is the operator's name in managed fields.
const fieldOwner = "lbstack-operator"

// lookUpResult is the result of looking up a wanted object in the cluster.
type lookUpResult struct {
	exists bool
	// ours reports whether the operator made the object.
	ours bool
	// unchanged is the object in the cluster if it has the state that the operator applied last, and this is
	// also the wanted state; otherwise nil.
	unchanged *unstructured.Unstructured
	// read is the metadata of the object if it was read from the API server.
	read *metav1.PartialObjectMetadata
	// unread is why the object could not be read.
	unread error
}

// passPlan has the objects of a pass, by what the pass does with them.
type passPlan struct {
	// apply are the objects to write, in order.
	apply []*unstructured.Unstructured
	// read has the metadata of the objects in apply before they are written. An object that does not exist
	// has none.
	read map[v1beta1.ObjectReference]*metav1.PartialObjectMetadata
	// unchanged has the wanted objects that need no apply, in the state that they have in the cluster.
	unchanged map[v1beta1.ObjectReference]*unstructured.Unstructured
	// unread are the objects that could not be looked up, and why.
	unread map[v1beta1.ObjectReference]error
	// foreign are the wanted objects that exist already and belong to somebody else.
	foreign []v1beta1.ObjectReference
	// prune are objects that the operator made and that are no longer wanted.
	prune []v1beta1.ObjectReference
	// inventory has the objects in apply, unchanged and prune. It also has those objects in unread that the
	// former inventory had. It is recorded before anything is written, so that it has every object of the
	// operator even after a crash.
	inventory []v1beta1.ObjectReference
}

// planPass compares the wanted objects with those in the cluster and in the inventory.
func planPass(wanted []*unstructured.Unstructured, live map[v1beta1.ObjectReference]lookUpResult, inventory []v1beta1.ObjectReference) passPlan {
	p := passPlan{unchanged: map[v1beta1.ObjectReference]*unstructured.Unstructured{}, unread: map[v1beta1.ObjectReference]error{}, read: map[v1beta1.ObjectReference]*metav1.PartialObjectMetadata{}}
	known := map[v1beta1.ObjectReference]bool{}
	for _, object := range wanted {
		ref := refOf(object)
		known[withoutVersion(ref)] = true
		at := live[ref]
		switch {
		case at.unread != nil:
			p.unread[ref] = at.unread
			if slices.Contains(inventory, ref) {
				p.inventory = append(p.inventory, ref)
			}
		case at.unchanged != nil:
			p.unchanged[ref] = at.unchanged
			p.inventory = append(p.inventory, ref)
		case !at.exists || at.ours:
			p.apply = append(p.apply, object)
			p.read[ref] = at.read
			p.inventory = append(p.inventory, ref)
		default:
			p.foreign = append(p.foreign, ref)
		}
	}
	for _, ref := range inventory {
		if !known[withoutVersion(ref)] {
			p.prune = append(p.prune, ref)
		}
	}
	p.inventory = append(p.inventory, p.prune...)
	return p
}

// withoutObjects returns the inventory without the objects that are gone.
func withoutObjects(inventory, gone []v1beta1.ObjectReference) []v1beta1.ObjectReference {
	return slices.DeleteFunc(slices.Clone(inventory), func(ref v1beta1.ObjectReference) bool { return slices.Contains(gone, ref) })
}

// isOurs reports whether the operator made an object: it has the operator's label
// or, if somebody removed that, fields that the operator applied.
func isOurs(object metav1.Object) bool {
	return isLabelled(object) || slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == fieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply
	})
}

func isLabelled(object metav1.Object) bool {
	return object.GetLabels()[v1beta1.LabelManagedBy] == v1beta1.ManagedByOperator
}

func refOf(object *unstructured.Unstructured) v1beta1.ObjectReference {
	gvk := object.GroupVersionKind()
	return v1beta1.ObjectReference{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: object.GetNamespace(), Name: object.GetName()}
}

// withoutVersion returns the reference to an object without the version of its API.
func withoutVersion(ref v1beta1.ObjectReference) v1beta1.ObjectReference {
	ref.Version = ""
	return ref
}

func gvkOf(ref v1beta1.ObjectReference) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: ref.Group, Version: ref.Version, Kind: ref.Kind}
}

// describeObject names an object in a sentence.
func describeObject(ref v1beta1.ObjectReference) string {
	if ref.Namespace != "" {
		return fmt.Sprintf("%s %s/%s", ref.Kind, ref.Namespace, ref.Name)
	}
	return fmt.Sprintf("%s %s", ref.Kind, ref.Name)
}
