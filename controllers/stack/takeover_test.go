package stack

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
)

func TestSpecEditors(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const update, apply = metav1.ManagedFieldsOperationUpdate, metav1.ManagedFieldsOperationApply
	tests := []struct {
		name  string
		entry metav1.ManagedFieldsEntry
		want  []string
	}{
		{name: "a node selector is an edit", entry: entry("kubectl-patch", update, "", `{"f:spec":{"f:template":{"f:spec":{"f:nodeSelector":{}}}}}`), want: []string{"kubectl-patch"}},
		{name: "a field beside the template is an edit", entry: entry("kubectl-edit", update, "", `{"f:spec":{"f:minReadySeconds":{}}}`), want: []string{"kubectl-edit"}},
		{name: "an edit and a restart by the same one is an edit", entry: entry("kubectl", update, "",
			`{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:a":{}}},"f:spec":{"f:hostIPC":{}}}}}`), want: []string{"kubectl"}},
		{name: "a rollout restart is respected", entry: entry("kubectl-rollout", update, "",
			`{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`)},
		{name: "annotations of the workload are nobody's business", entry: entry("kube-controller-manager", update, "", `{"f:metadata":{"f:annotations":{"f:deployment.kubernetes.io/revision":{}}}}`)},
		{name: "the status is not the spec", entry: entry("kube-controller-manager", update, "status", `{"f:status":{"f:replicas":{}}}`)},
		{name: "scaling holds the replicas only", entry: entry("kubectl", update, "scale", `{"f:spec":{"f:replicas":{}}}`)},
		{name: "another applier of the field is left alone", entry: entry("argocd", apply, "", `{"f:spec":{"f:minReadySeconds":{}}}`)},
		{name: "the operator is no other", entry: entry(fieldOwner, update, "", `{"f:spec":{"f:minReadySeconds":{}}}`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := sets.List(specEditors([]metav1.ManagedFieldsEntry{tt.entry}))
			if diff := cmp.Diff(sets.List(sets.New(tt.want...)), got); diff != "" {
				t.Errorf("editors (-want +got):\n%s", diff)
			}
		})
	}
}
