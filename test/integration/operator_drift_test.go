package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/manifests"
	"github.com/lbstack/lbstack/test/eventually"
)

// edits has one of each kind that the operator makes: of a field that it sets, or adds to one. What a
// ControllerRevision holds cannot be edited, nor does the operator know the passwords in its Secret.
var edits = map[string]string{
	"ValidatingAdmissionPolicy":        `{"spec":{"matchConditions":[{"name":"vendor","expression":"false"}]}}`,
	"ValidatingAdmissionPolicyBinding": `{"spec":{"validationActions":["Audit"]}}`,
	"Secret":                           `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"vendor"}}}`,
	"IPAddressPool":                    `{"spec":{"addresses":["172.16.0.1"],"autoAssign":false}}`,
	"L2Advertisement":                  `{"spec":{"requireSubnet":true}}`,
	"BFDProfile":                       `{"spec":{"transmitIntervalMilliseconds":70}}`,
	"Community":                        `{"spec":{"communities":[{"name":"theirs","value":"65000:7"}]}}`,
	"BGPPeer":                          `{"spec":{"myASN":65007,"passiveMode":true}}`,
	"BGPAdvertisement":                 `{"spec":{"localPref":7,"med":7}}`,
	"PodDisruptionBudget":              `{"spec":{"maxUnavailable":"100%"}}`,
	"ControllerRevision":               `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"vendor"}}}`,
	"Deployment":                       `{"spec":{"replicas":0,"template":{"spec":{"nodeSelector":{"no-such":"node"}}}}}`,
	"DaemonSet":                        `{"spec":{"template":{"spec":{"hostNetwork":false,"nodeSelector":{"no-such":"node"}}}}}`,
}

// additions are of a tool that applies on the server, and so is in conflict with nobody.
var additions = map[string]string{
	"ValidatingAdmissionPolicy":        `{"spec":{"matchConditions":[{"name":"vendor","expression":"false"}]}}`,
	"ValidatingAdmissionPolicyBinding": `{"spec":{"validationActions":["Audit"]}}`,
	"L2Advertisement":                  `{"spec":{"requireSubnet":true}}`,
}

// Every object of every kind that the operator makes is put back after an edit, and after a deletion.
func TestDrift_EveryObjectOfEveryKindIsRestored(t *testing.T) {
	b := newOperatorBed(t)
	b.operator()
	b.stack(routersSpec())
	b.installed()
	b.run()
	stack := b.hasCondition(v1beta1.ConditionProgressing, "False", v1beta1.ReasonAsExpected)
	seen := map[string]bool{}
	for _, ref := range stack.Status.Inventory {
		seen[ref.Kind] = true
		t.Run(ref.Kind+" "+ref.Name, func(t *testing.T) {
			object := &unstructured.Unstructured{}
			object.SetGroupVersionKind(schema.GroupVersionKind{Group: ref.Group, Version: ref.Version, Kind: ref.Kind})
			key := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
			if err := b.Get(t.Context(), key, object); err != nil {
				t.Fatal(err)
			}
			want := holds(object)
			restored := func(what string, other func() bool) {
				t.Helper()
				eventually.Succeed(t, within, what, func(ctx context.Context) error {
					if err := b.Get(ctx, key, object); err != nil {
						return err
					}
					if diff := cmp.Diff(want, holds(object)); diff != "" || !other() {
						return fmt.Errorf("it is another one: %t; (-want +got):\n%s", other(), diff)
					}
					return nil
				})
			}
			version := object.GetResourceVersion()
			if err := b.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, []byte(edits[ref.Kind])), client.FieldOwner("vendor")); err != nil {
				t.Fatal(err)
			}
			if cmp.Equal(want, holds(object)) {
				t.Fatalf("the edit %s changes nothing", edits[ref.Kind])
			}
			restored("the edit is put back", func() bool { return object.GetResourceVersion() != version })
			if addition := additions[ref.Kind]; addition != "" {
				version = b.add(t, object, addition)
				restored("the addition is put back", func() bool { return object.GetResourceVersion() != version })
			}
			uid := object.GetUID()
			remove(t, b.Client, object)
			restored("the deletion is put back", func() bool { return object.GetUID() != uid })
		})
	}
	var kinds []string
	for _, kind := range manifests.Kinds() {
		kinds = append(kinds, kind.Kind)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(kinds)), slices.Sorted(maps.Keys(seen))); diff != "" {
		t.Errorf("kinds of the inventory (-want +got):\n%s", diff)
	}
}

// add has a tool apply its part of an object, and returns the version of the object with it.
func (b *operatorBed) add(t *testing.T, object *unstructured.Unstructured, part string) string {
	t.Helper()
	theirs := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(part), &theirs.Object); err != nil {
		t.Fatal(err)
	}
	theirs.SetGroupVersionKind(object.GroupVersionKind())
	theirs.SetName(object.GetName())
	if err := b.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(theirs), client.FieldOwner("vendor"), client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
	if before, now := holds(object), holds(theirs); cmp.Equal(before, now) {
		t.Fatalf("the addition %s changes nothing", part)
	}
	return theirs.GetResourceVersion()
}

// holds returns what an object holds, and its labels. Random keys are left out, but for their length.
func holds(object *unstructured.Unstructured) map[string]any {
	content := object.DeepCopy().Object
	delete(content, "metadata")
	delete(content, "status")
	if data, ok := content["data"].(map[string]any); ok && object.GetKind() == "Secret" {
		for key, value := range data {
			text, _ := value.(string)
			data[key] = base64.StdEncoding.DecodedLen(len(text))
		}
	}
	content["labels"] = object.GetLabels()
	return content
}
