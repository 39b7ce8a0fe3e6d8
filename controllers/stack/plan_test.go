package stack

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func ref(group, version, kind, namespace, name string) v1beta1.ObjectReference {
	return v1beta1.ObjectReference{Group: group, Version: version, Kind: kind, Namespace: namespace, Name: name}
}

func objectOf(ref v1beta1.ObjectReference) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(gvkOf(ref))
	object.SetNamespace(ref.Namespace)
	object.SetName(ref.Name)
	return object
}

func TestDecide(t *testing.T) {
	type refs = []v1beta1.ObjectReference
	var (
		policy    = ref("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "", "lbstack-speaker-states")
		secret    = ref("", "v1", "Secret", "lbstack-system", "lbstack-mesh-keys")
		elsewhere = ref("", "v1", "Secret", "other", "lbstack-mesh-keys")
		pool      = ref("lbstack.io", "v1beta1", "IPAddressPool", "", "first-pool")
		oldPool   = ref("lbstack.io", "v1alpha1", "IPAddressPool", "", "first-pool")
		dropped   = ref("lbstack.io", "v1beta1", "IPAddressPool", "", "second-pool")
		ad        = ref("lbstack.io", "v1beta1", "L2Advertisement", "", "first-pool")
		workload  = ref("apps", "v1", "Deployment", "lbstack-system", "lbstack-controller")
	)
	ours, theirs := lookUpResult{exists: true, ours: true}, lookUpResult{exists: true}
	asLeft := lookUpResult{exists: true, ours: true, unchanged: objectOf(pool)}
	type want struct{ apply, hold, foreign, prune, inventory refs }
	tests := []struct {
		name      string
		wanted    refs
		live      map[v1beta1.ObjectReference]lookUpResult
		inventory refs
		want      want
	}{
		{name: "what is not there yet is made, in order, and on record before", wanted: refs{policy, secret, pool, workload},
			want: want{apply: refs{policy, secret, pool, workload}, inventory: refs{policy, secret, pool, workload}}},
		{name: "what was looked up and not found is made", wanted: refs{pool}, live: map[v1beta1.ObjectReference]lookUpResult{pool: {}},
			want: want{apply: refs{pool}, inventory: refs{pool}}},
		{name: "what the operator made is written again, known or not", wanted: refs{pool, workload}, inventory: refs{pool},
			live: map[v1beta1.ObjectReference]lookUpResult{pool: ours, workload: ours},
			want: want{apply: refs{pool, workload}, inventory: refs{pool, workload}}},
		{name: "what is as it was left is not written, and stays on record", wanted: refs{pool, workload}, inventory: refs{pool, workload},
			live: map[v1beta1.ObjectReference]lookUpResult{pool: asLeft, workload: ours},
			want: want{apply: refs{workload}, hold: refs{pool}, inventory: refs{pool, workload}}},
		{name: "what belongs to somebody else stops nothing else and is not on record", wanted: refs{pool, dropped, workload},
			live: map[v1beta1.ObjectReference]lookUpResult{dropped: theirs},
			want: want{apply: refs{pool, workload}, foreign: refs{dropped}, inventory: refs{pool, workload}}},
		{name: "what was taken over by somebody else is neither pruned nor kept on record", wanted: refs{pool}, inventory: refs{pool},
			live: map[v1beta1.ObjectReference]lookUpResult{pool: theirs},
			want: want{foreign: refs{pool}}},
		{name: "what is no longer wanted is pruned and stays on record until it is gone", wanted: refs{pool}, inventory: refs{dropped, pool, ad},
			live: map[v1beta1.ObjectReference]lookUpResult{pool: ours},
			want: want{apply: refs{pool}, prune: refs{dropped, ad}, inventory: refs{pool, dropped, ad}}},
		{name: "the same object in another version of its API is not pruned", wanted: refs{pool}, inventory: refs{oldPool},
			live: map[v1beta1.ObjectReference]lookUpResult{pool: ours},
			want: want{apply: refs{pool}, inventory: refs{pool}}},
		{name: "the same name in another namespace is another object", wanted: refs{secret}, inventory: refs{elsewhere},
			want: want{apply: refs{secret}, prune: refs{elsewhere}, inventory: refs{secret, elsewhere}}},
		{name: "the same name of another kind is another object", wanted: refs{ad}, inventory: refs{pool},
			want: want{apply: refs{ad}, prune: refs{pool}, inventory: refs{ad, pool}}},
		{name: "when nothing is wanted all is pruned", inventory: refs{policy, workload},
			want: want{prune: refs{policy, workload}, inventory: refs{policy, workload}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var wanted []*unstructured.Unstructured
			for _, r := range tt.wanted {
				wanted = append(wanted, objectOf(r))
			}
			p := planPass(wanted, tt.live, tt.inventory)
			got := want{hold: slices.Collect(maps.Keys(p.unchanged)), foreign: p.foreign, prune: p.prune, inventory: p.inventory}
			for _, object := range p.apply {
				got.apply = append(got.apply, refOf(object))
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithoutLeavesTheInventoryAsItWas(t *testing.T) {
	a, b, c := ref("", "v1", "Secret", "n", "a"), ref("", "v1", "Secret", "n", "b"), ref("", "v1", "Secret", "m", "a")
	inventory := []v1beta1.ObjectReference{a, b, c}
	got := withoutObjects(inventory, []v1beta1.ObjectReference{a})
	if diff := cmp.Diff([]v1beta1.ObjectReference{b, c}, got); diff != "" {
		t.Errorf("inventory without what is gone (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]v1beta1.ObjectReference{a, b, c}, inventory); diff != "" {
		t.Errorf("the inventory that was passed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(inventory, withoutObjects(inventory, nil), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("inventory when nothing is gone (-want +got):\n%s", diff)
	}
}

func TestIsOurs(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType) []metav1.ManagedFieldsEntry {
		return []metav1.ManagedFieldsEntry{{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationUpdate}, {Manager: manager, Operation: operation}}
	}
	label := map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByOperator}
	tests := []struct {
		name string
		meta metav1.ObjectMeta
		want bool
	}{
		{name: "the label requests it", meta: metav1.ObjectMeta{Labels: label}, want: true},
		{name: "what the operator applied is its own when the label is gone", meta: metav1.ObjectMeta{ManagedFields: entry(fieldOwner, metav1.ManagedFieldsOperationApply)}, want: true},
		{name: "what the operator only updated is not", meta: metav1.ObjectMeta{ManagedFields: entry(fieldOwner, metav1.ManagedFieldsOperationUpdate)}},
		{name: "what somebody else applied is not", meta: metav1.ObjectMeta{ManagedFields: entry("argocd", metav1.ManagedFieldsOperationApply)}},
		{name: "another tool's label does not", meta: metav1.ObjectMeta{Labels: map[string]string{v1beta1.LabelManagedBy: "Helm"}}},
		{name: "an object without labels is not", meta: metav1.ObjectMeta{Name: "plain"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := isOurs(&tt.meta); got != tt.want {
				t.Errorf("ours: got %v, want %v", got, tt.want)
			}
		})
	}
}
