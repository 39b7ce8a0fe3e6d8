package manifests

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func patchOf(kind, text string) v1beta1.Patch {
	return v1beta1.Patch{Target: v1beta1.PatchTarget{Kind: kind}, Patch: text}
}

func TestRender_InvalidPatchesAreNamed(t *testing.T) {
	const selects = "lbstack finds its objects by this label"
	tests := []struct {
		name  string
		patch v1beta1.Patch
		want  string // of the error, after spec.patches[1]
	}{
		{name: "name that lbstack does not make", patch: v1beta1.Patch{Target: v1beta1.PatchTarget{Kind: "Deployment", Name: "lbstack-speaker"}, Patch: "{}"},
			want: ".target: lbstack makes no Deployment lbstack-speaker; nothing in the cluster is changed: correct the kind or the name"},
		{name: "kind that cannot be patched", patch: patchOf("Secret", "data: {key-1: AAAA}"), want: ".target: lbstack makes no Secret"},
		{name: "text that is no YAML", patch: patchOf("Deployment", "a: [b"), want: ".patch: the Deployment lbstack-controller cannot be patched: the patch is neither YAML nor JSON"},
		{name: "text that is neither object nor list", patch: patchOf("Deployment", "replicas"), want: "the patch is neither an object (strategic merge patch) nor a list"},
		{name: "list that has no operations", patch: patchOf("Deployment", "[1]"), want: "the patch is not a list of operations of a JSON patch"},
		{name: "operation without a path", patch: patchOf("Deployment", "[{op: remove}]"), want: "cannot be patched: "},
		{name: "operation on a field that does not exist", patch: patchOf("DaemonSet", "[{op: remove, path: /spec/template/spec/volumes/7}]"), want: "cannot be patched: "},
		{name: "operations that copy without end", patch: patchOf("DaemonSet", "["+strings.Repeat(`{op: copy, from: /spec/template, path: /spec/template/metadata/annotations},`, 200)+"]"), want: "cannot be patched: "},
		{name: "test that fails", patch: patchOf("Deployment", "[{op: test, path: /spec/replicas, value: 7}]"), want: "cannot be patched: "},
		{name: "field that does not exist in the kind", patch: patchOf("Deployment", "spec: {template: {spec: {hostNetwrk: true}}}"), want: `unknown field "spec.template.spec.hostNetwrk"`},
		{name: "value of another type", patch: patchOf("Deployment", "spec: {replicas: many}"), want: "cannot be patched: "},
		{name: "other name", patch: patchOf("Deployment", "metadata: {name: other}"), want: "the patch changes metadata.name: the object would become another one"},
		{name: "other namespace", patch: patchOf("DaemonSet", "[{op: replace, path: /metadata/namespace, value: kube-system}]"), want: "the patch changes metadata.namespace"},
		{name: "other kind", patch: patchOf("DaemonSet", "kind: Deployment"), want: "the patch changes kind: the object would become another one"},
		{name: "another object in its place", patch: patchOf("DaemonSet", `[{op: replace, path: "", value: {apiVersion: v1, kind: Secret, metadata: {name: x}}}]`), want: "the patch changes apiVersion"},
		{name: "nothing in its place", patch: patchOf("DaemonSet", `{$patch: delete}`), want: "cannot be patched: "},
		{name: "other selector", patch: patchOf("Deployment", "spec: {selector: {matchLabels: {app: x}}}"), want: "the patch changes spec.selector"},
		{name: "selector of the PodDisruptionBudget", patch: patchOf("PodDisruptionBudget", "spec: {selector: null}"), want: "the patch changes spec.selector"},
		{name: "label that lbstack finds its pods with", patch: patchOf("DaemonSet", "spec: {template: {metadata: {labels: {app.kubernetes.io/name: null}}}}"), want: selects},
		{name: "label that lbstack finds its objects with", patch: patchOf("DaemonSet", "metadata: {labels: {app.kubernetes.io/managed-by: helm}}"), want: selects},
		{name: "owner of the object", patch: patchOf("DaemonSet", "metadata: {ownerReferences: [{apiVersion: v1, kind: Node, name: x, uid: y}]}"), want: "the patch sets metadata.ownerReferences"},
		{name: "status", patch: patchOf("DaemonSet", "status: {numberReady: 7}"), want: "the patch sets status"},
		{name: "update strategy", patch: patchOf("DaemonSet", "spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 9}}}"), want: "the patch changes spec.updateStrategy: the operator itself decides which pods are replaced, and when"},
		{name: "other ServiceAccount", patch: patchOf("DaemonSet", "spec: {template: {spec: {serviceAccountName: default}}}"), want: "the patch changes spec.template.spec.serviceAccountName"},
	}
	without := string(toYAML(t, render(t, defaultOptions())))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := defaultOptions()
			o.Spec.Patches = []v1beta1.Patch{patchOf("Deployment", "{}"), tt.patch}
			objects, err := Render(o)
			var invalid *InvalidError
			if !errors.As(err, &invalid) || len(invalid.Fields) != 1 || !strings.HasPrefix(err.Error(), "spec.patches[1].") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one error about spec.patches[1] with %q", err, tt.want)
			}
			if diff := cmp.Diff(without, string(toYAML(t, objects))); diff != "" {
				t.Errorf("objects without the patch (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzApplyPatch(f *testing.F) {
	for _, text := range []string{"{}", "[]", "spec: {replicas: 3}", `[{op: add, path: /spec/template/spec/volumes/-, value: {name: x, emptyDir: {}}}]`, "{$patch: delete}",
		"spec: {template: {spec: {$setElementOrder/containers: [{name: controller}]}}}", "&a [*a, *a]", `[{op: move, from: /spec, path: /spec/template}]`, "[null]", "spec: {$retainKeys: [x]}"} {
		f.Add(text)
	}
	object := renderDeployment(f)
	f.Fuzz(func(t *testing.T, text string) {
		patched, err := applyPatch(object.DeepCopy(), text)
		if (patched == nil) != (err != nil) {
			t.Errorf("got the object %v and the error %v, want one of them", patched, err)
		}
	})
}
