package manifests

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// maxCopiedBytes is the number of bytes by which the copy operations of a JSON patch may make an object grow. The
// limit is needed since each operation could double the size of the object.
const maxCopiedBytes = 256 << 10

// patchTarget returns an empty object of a kind that may be the target of patches. It returns nil for other
// kinds. The Go type of the object decides how lists are merged, and which fields exist.
func patchTarget(kind string) any {
	switch kind {
	case "Deployment":
		return &appsv1.Deployment{}
	case "DaemonSet":
		return &appsv1.DaemonSet{}
	case "PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}
	}
	return nil
}

// applyPatches applies patches to objects, in order. A patch that fails changes nothing.
func applyPatches(objects []*unstructured.Unstructured, patches []v1beta1.Patch) (invalid []*FieldError) {
	for i, patch := range patches {
		path := fmt.Sprintf("spec.patches[%d]", i)
		matches := slices.DeleteFunc(slices.Clone(objects), func(o *unstructured.Unstructured) bool { return !isTarget(patch.Target, o) })
		if len(matches) == 0 {
			invalid = append(invalid, &FieldError{path + ".target", fmt.Sprintf("lbstack makes no %s", describeObject(patch.Target.Kind, patch.Target.Name)), "correct the kind or the name"})
		}
		for _, object := range matches {
			patched, err := applyPatch(object, patch.Patch)
			if err != nil {
				invalid = append(invalid, &FieldError{path + ".patch", fmt.Sprintf("the %s cannot be patched: %s", describeObject(object.GetKind(), object.GetName()), errorText(err)), "correct the patch, or remove it"})
				continue
			}
			object.Object = patched
		}
	}
	return invalid
}

func describeObject(kind, name string) string {
	if name == "" {
		return kind
	}
	return kind + " " + name
}

func isTarget(target v1beta1.PatchTarget, object *unstructured.Unstructured) bool {
	return patchTarget(object.GetKind()) != nil && target.Kind == object.GetKind() && (target.Name == "" || target.Name == object.GetName())
}

// applyPatch returns the content of an object after a patch. The patch is the text of a user, which may cause
// a panic in one of the libraries: applyPatch returns such a panic as an error.
func applyPatch(object *unstructured.Unstructured, text string) (patched map[string]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the patch is invalid: %v", r)
		}
	}()
	patch, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the patch is neither YAML nor JSON: %w", err)
	}
	before, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var after []byte
	switch {
	case bytes.HasPrefix(patch, []byte("[")):
		after, err = applyOperations(before, patch)
	case bytes.HasPrefix(patch, []byte("{")):
		after, err = strategicpatch.StrategicMergePatch(before, patch, patchTarget(object.GetKind()))
	default:
		err = errors.New("the patch is neither an object (strategic merge patch) nor a list of operations (JSON patch, RFC 6902)")
	}
	if err != nil {
		return nil, err
	}
	result := &unstructured.Unstructured{}
	if err := result.UnmarshalJSON(after); err != nil {
		return nil, fmt.Errorf("the patched object is invalid: %w", err)
	}
	if err := checkPatched(object, result); err != nil {
		return nil, err
	}
	return result.Object, nil
}

func applyOperations(before, patch []byte) ([]byte, error) {
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, fmt.Errorf("the patch is not a list of operations of a JSON patch (RFC 6902): %w", err)
	}
	return operations.ApplyWithOptions(before, &jsonpatch.ApplyOptions{AccumulatedCopySizeLimit: maxCopiedBytes})
}

// fixedFields are the fields that a patch must not change. The struct field because is the reason that
// the error gives.
var fixedFields = []struct{ path, because string }{
	{"apiVersion", "the object would become another one"},
	{"kind", "the object would become another one"},
	{"metadata.name", "the object would become another one"},
	{"metadata.namespace", "the object would become another one"},
	{"spec.selector", "the operator would no longer find the running pods"},
	{"spec.updateStrategy", "the operator itself decides which pods are replaced, and when"},
	{"spec.template.spec.serviceAccountName", "the component would have other rights"},
}

// checkPatched returns an error if the operator would not find the object or its pods after a patch, or if
// the patch sets a field that does not exist. The metadata of the object may have only name, namespace,
// labels and annotations.
func checkPatched(before, after *unstructured.Unstructured) error {
	for _, field := range fixedFields {
		path := strings.Split(field.path, ".")
		was, _, _ := unstructured.NestedFieldNoCopy(before.Object, path...)
		is, _, _ := unstructured.NestedFieldNoCopy(after.Object, path...)
		if !reflect.DeepEqual(was, is) {
			return fmt.Errorf("the patch changes %s: %s", field.path, field.because)
		}
	}
	for _, path := range []string{"metadata.labels", "spec.template.metadata.labels"} {
		was, _, _ := unstructured.NestedStringMap(before.Object, strings.Split(path, ".")...)
		is, _, _ := unstructured.NestedStringMap(after.Object, strings.Split(path, ".")...)
		for _, key := range slices.Sorted(maps.Keys(was)) {
			if is[key] != was[key] {
				return fmt.Errorf("the patch changes the label %s in %s: lbstack finds its objects by this label", key, path)
			}
		}
	}
	metadata, _, _ := unstructured.NestedMap(after.Object, "metadata")
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if !slices.Contains([]string{"name", "namespace", "labels", "annotations"}, key) {
			return fmt.Errorf("the patch sets metadata.%s: a patch can set only labels and annotations in metadata", key)
		}
	}
	if _, has := after.Object["status"]; has {
		return errors.New("the patch sets status: a patch cannot set the status")
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(after.Object, patchTarget(after.GetKind()), true)
}
