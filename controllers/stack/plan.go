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

// found is what the cluster holds under the name of an object.
type found struct {
	// exists says whether there is anything.
	exists bool
	// ours says whether the operator made it.
	ours bool
	// holds is the object if it is as the operator left it, and is to stay so; else nil.
	holds *unstructured.Unstructured
	// unread is why nobody knows.
	unread error
}

// plan is what is to be done.
type plan struct {
	// apply are the objects to write, in order.
	apply []*unstructured.Unstructured
	// hold are the objects that are as they should be, as they are in the cluster.
	hold map[v1beta1.ObjectReference]*unstructured.Unstructured
	// unread are the objects that could not be looked up, and why.
	unread map[v1beta1.ObjectReference]error
	// foreign are wanted, exist already and belong to somebody else.
	foreign []v1beta1.ObjectReference
	// prune are objects that the operator made and that are no longer wanted.
	prune []v1beta1.ObjectReference
	// inventory is apply, hold and prune together: what has to be on record before
	// anything is written, so that a crash leaves nothing unknown behind.
	inventory []v1beta1.ObjectReference
}

// decide compares what is wanted with what there is.
func decide(wanted []*unstructured.Unstructured, live map[v1beta1.ObjectReference]found, inventory []v1beta1.ObjectReference) plan {
	p := plan{hold: map[v1beta1.ObjectReference]*unstructured.Unstructured{}, unread: map[v1beta1.ObjectReference]error{}}
	known := map[v1beta1.ObjectReference]bool{}
	for _, object := range wanted {
		ref := refOf(object)
		known[identity(ref)] = true
		at := live[ref]
		switch {
		case at.unread != nil:
			p.unread[ref] = at.unread
			if slices.Contains(inventory, ref) {
				p.inventory = append(p.inventory, ref)
			}
		case at.holds != nil:
			p.hold[ref] = at.holds
			p.inventory = append(p.inventory, ref)
		case !at.exists || at.ours:
			p.apply = append(p.apply, object)
			p.inventory = append(p.inventory, ref)
		default:
			p.foreign = append(p.foreign, ref)
		}
	}
	for _, ref := range inventory {
		if !known[identity(ref)] {
			p.prune = append(p.prune, ref)
		}
	}
	p.inventory = append(p.inventory, p.prune...)
	return p
}

// without returns the inventory without the objects that are gone.
func without(inventory, gone []v1beta1.ObjectReference) []v1beta1.ObjectReference {
	return slices.DeleteFunc(slices.Clone(inventory), func(ref v1beta1.ObjectReference) bool { return slices.Contains(gone, ref) })
}

// isOurs says whether the operator made an object: it has the operator's label
// or, when somebody took that away, fields that the operator applied.
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

// identity of an object, whatever version of its API it was written with.
func identity(ref v1beta1.ObjectReference) v1beta1.ObjectReference {
	ref.Version = ""
	return ref
}

func gvkOf(ref v1beta1.ObjectReference) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: ref.Group, Version: ref.Version, Kind: ref.Kind}
}

// describe names an object in a sentence.
func describe(ref v1beta1.ObjectReference) string {
	if ref.Namespace != "" {
		return fmt.Sprintf("%s %s/%s", ref.Kind, ref.Namespace, ref.Name)
	}
	return fmt.Sprintf("%s %s", ref.Kind, ref.Name)
}
