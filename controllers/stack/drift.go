package stack

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
)

const (
	// maxManagers is how many field managers the metric names. It is limited, since every writer chooses the
	// name of its field manager.
	maxManagers = 16
	// maxManagerNameBytes is the maximum length of the name of a field manager in the metric, in bytes.
	maxManagerNameBytes = 64
	// otherManager stands for the field managers beyond maxManagers.
	otherManager = "other"
	// noManager stands for a deletion: the API server does not record who deleted an object.
	noManager = ""
)

// Drift counts the objects that the operator restored. It is safe for concurrent use; nil counts nothing.
type Drift struct {
	restored *prometheus.CounterVec

	mu       sync.Mutex
	managers map[string]bool
}

// NewDrift returns counters that are registered with a registry.
func NewDrift(registry prometheus.Registerer) *Drift {
	d := &Drift{managers: map[string]bool{}, restored: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lbstack_operator_restored_objects_total",
		Help: "Objects of the stack that the operator restored after an edit or a deletion, by kind and by the field manager of the edit. The label manager is empty for a deletion, and has the value other for field managers beyond the first 16.",
	}, []string{"kind", "manager"})}
	registry.MustRegister(d.restored)
	return d
}

// countRestored counts a restored object. manager is the field manager that edited it, or noManager if it was
// deleted.
func (d *Drift) countRestored(kind, manager string) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	manager = bounded.Cut(manager, maxManagerNameBytes)
	if !d.managers[manager] && manager != noManager {
		if len(d.managers) >= maxManagers {
			manager = otherManager
		} else {
			d.managers[manager] = true
		}
	}
	d.restored.WithLabelValues(kind, manager).Inc()
}

// reportDrift counts an object that the operator has restored, and sends an event about it. before is the
// metadata of the object before the apply; nil: it did not exist.
//
// What happened before this process first applied the object is known only in part. A deletion is known if
// the last pass of the former process had applied all objects. An edit is known if the operator took fields
// over from another field manager. No event reports a field that somebody removed while no operator ran, or
// an edit if the wanted state changed as well.
func (r *Reconciler) reportDrift(stack *v1beta1.LoadBalancerStack, object *unstructured.Unstructured, before *metav1.PartialObjectMetadata, was applyHistory, f *findings) {
	if before == nil {
		recorded := was == appliedNone && r.observed.applied == stack.Generation && slices.Contains(f.inventory, refOf(object))
		if was == appliedSame || recorded {
			r.Drift.countRestored(object.GetKind(), noManager)
			note := fmt.Sprintf("the object was deleted, and the operator made it again, since the LoadBalancerStack %s requests it: edit the LoadBalancerStack instead", stack.Name)
			r.Events.Eventf(object, stack, corev1.EventTypeWarning, v1beta1.ReasonDeletionReverted, eventAction, "%s", bounded.Note(note))
		}
		return
	}
	editors := before.ManagedFields
	if was == appliedNone {
		editors = changedEntries(editors, object.GetManagedFields())
	}
	manager := lastEditor(editors)
	if was == appliedOther || was == appliedNone && manager == "" || !hasChanged(before, object) {
		return
	}
	r.Drift.countRestored(object.GetKind(), manager)
	r.Events.Eventf(object, stack, corev1.EventTypeWarning, v1beta1.ReasonEditReverted, eventAction, "%s", bounded.Note(revertNote(manager, stack)))
}

// hasChanged reports whether applying an object changed it. Changes of the status do not count.
func hasChanged(before, now metav1.Object) bool {
	if before.GetGeneration() != 0 {
		return before.GetGeneration() != now.GetGeneration()
	}
	return before.GetResourceVersion() != now.GetResourceVersion()
}

// changedEntries returns the entries of managed fields that are gone, or that have other fields now.
func changedEntries(before, now []metav1.ManagedFieldsEntry) (lost []metav1.ManagedFieldsEntry) {
	for _, entry := range before {
		isSame := func(e metav1.ManagedFieldsEntry) bool {
			return e.Manager == entry.Manager && e.Operation == entry.Operation && e.Subresource == entry.Subresource && equality.Semantic.DeepEqual(e.FieldsV1, entry.FieldsV1)
		}
		if !slices.ContainsFunc(now, isSame) {
			lost = append(lost, entry)
		}
	}
	return lost
}

// lastEditor returns the field manager other than the operator that edited an object last; empty: the managed
// fields show none.
func lastEditor(entries []metav1.ManagedFieldsEntry) (manager string) {
	var latest time.Time
	for _, entry := range entries {
		if entry.Manager != fieldOwner && entry.Subresource == "" && entry.Time != nil && entry.Time.After(latest) {
			manager, latest = entry.Manager, entry.Time.Time
		}
	}
	return manager
}

// revertNote returns the note of an event about an edit that the operator has reverted.
func revertNote(manager string, stack *v1beta1.LoadBalancerStack) string {
	what := "the object was edited"
	if manager != "" {
		what = "the field manager " + manager + " edited the object"
	}
	return fmt.Sprintf("%s, and the operator restored what the LoadBalancerStack %s requests: edit the LoadBalancerStack instead", what, stack.Name)
}

// templateChanges lists the fields of the pod template that differ between two states of a
// workload, such as spec.containers[speaker].image; none if there was no workload before. It leaves
// out the label with the revision, which changes with any of the fields.
func templateChanges(before, after *unstructured.Unstructured) []string {
	if before == nil {
		return nil
	}
	was, _, _ := unstructured.NestedMap(before.Object, "spec", "template")
	is, _, _ := unstructured.NestedMap(after.Object, "spec", "template")
	for _, template := range []map[string]any{was, is} {
		unstructured.RemoveNestedField(template, "metadata", "labels", v1beta1.LabelRevision)
	}
	var fields []string
	eachDifference("", was, is, func(path string) { fields = append(fields, path) })
	slices.Sort(fields)
	return fields
}

// eachDifference calls note with the path of each field that differs between two values.
func eachDifference(path string, was, is any, note func(path string)) {
	if reflect.DeepEqual(was, is) {
		return
	}
	below := func(x any) (map[string]any, bool) {
		switch x := x.(type) {
		case map[string]any:
			return x, true
		case []any:
			return itemsByName(x)
		}
		return nil, false
	}
	a, ok1 := below(was)
	b, ok2 := below(is)
	if !ok1 || !ok2 {
		note(path)
		return
	}
	_, list := was.([]any)
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		switch {
		case list:
			eachDifference(fmt.Sprintf("%s[%s]", path, key), a[key], b[key], note)
		case path == "":
			eachDifference(key, a[key], b[key], note)
		default:
			eachDifference(path+"."+key, a[key], b[key], note)
		}
	}
}

// itemsByName returns the items of a list by their names, if all have one.
func itemsByName(list []any) (map[string]any, bool) {
	items := map[string]any{}
	for _, item := range list {
		fields, ok := item.(map[string]any)
		name, named := fields["name"].(string)
		if !ok || !named {
			return nil, false
		}
		items[name] = fields
	}
	return items, len(items) == len(list)
}
