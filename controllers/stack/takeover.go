package stack

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// takeOver removes what somebody else added to the spec of an object, such as a node selector that
// matches no node. Server-side apply does not remove fields of other managers, so the operator first
// becomes the manager of the additions and then applies once more without them. live is what the API
// server returned for the wanted object; takeOver updates it.
func (r *Reconciler) takeOver(ctx context.Context, live, wanted *unstructured.Unstructured) error {
	others := specEditors(live.GetManagedFields())
	if len(others) == 0 {
		return nil
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, others, fieldOwner)
	if err != nil {
		return fmt.Errorf("finding out what the field managers %s changed in the %s: %w", listNames(sets.List(others)), describeObject(refOf(wanted)), err)
	}
	if len(patch) == 0 {
		return nil
	}
	if err := r.Client.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(fieldOwner)); err != nil {
		return fmt.Errorf("taking over what the field managers %s changed in the %s: %w", listNames(sets.List(others)), describeObject(refOf(wanted)), err)
	}
	again := wanted.DeepCopy()
	if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(again), client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("removing what the field managers %s changed in the %s: %w", listNames(sets.List(others)), describeObject(refOf(wanted)), err)
	}
	live.Object = again.Object
	return nil
}

// specEditors returns the field managers that own fields in the spec of an object because they updated the
// object, instead of applying it. Fields that were written through a subresource, such as scale and status,
// do not count. The metadata of the pod template do not count either: `kubectl rollout restart` sets an
// annotation there.
func specEditors(entries []metav1.ManagedFieldsEntry) sets.Set[string] {
	editors := sets.New[string]()
	for _, entry := range entries {
		if entry.Manager == fieldOwner || entry.Operation != metav1.ManagedFieldsOperationUpdate || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			continue // ignore an entry that cannot be parsed
		}
		if hasFieldsBeside(fields.Spec, "f:template", "f:metadata") {
			editors.Insert(entry.Manager)
		}
	}
	return editors
}

// hasFieldsBeside reports whether a set of fields has a field other than the one at the path.
func hasFieldsBeside(fields map[string]json.RawMessage, path ...string) bool {
	for name, raw := range fields {
		switch {
		case name == ".":
		case len(path) == 0 || name != path[0]:
			return true
		case len(path) > 1:
			var below map[string]json.RawMessage
			if json.Unmarshal(raw, &below) != nil || hasFieldsBeside(below, path[1:]...) {
				return true
			}
		}
	}
	return false
}
