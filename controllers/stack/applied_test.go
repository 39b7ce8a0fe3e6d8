package stack

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestAppliedObjectIsWrittenAgainOnlyAfterAChange(t *testing.T) {
	wanted := func() *unstructured.Unstructured {
		object := objectOf(ref("apps", "v1", "Deployment", "there", "it"))
		object.Object["spec"] = map[string]any{"replicas": int64(2)}
		return object
	}
	live := func(edits ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
		object := wanted()
		object.SetUID("first")
		object.SetGeneration(3)
		object.SetResourceVersion("100")
		object.SetLabels(map[string]string{"a": "b"})
		for _, edit := range edits {
			edit(object)
		}
		return object
	}
	uncounted := func(o *unstructured.Unstructured) { o.SetGeneration(0) }
	for name, test := range map[string]struct {
		before, now []func(*unstructured.Unstructured)
		want        bool
	}{
		"nothing has changed": {want: true},
		"its status has":      {now: []func(*unstructured.Unstructured){func(o *unstructured.Unstructured) { o.SetResourceVersion("101"); o.Object["status"] = "new" }}, want: true},
		"an empty list is none": {now: []func(*unstructured.Unstructured){func(o *unstructured.Unstructured) {
			o.SetFinalizers([]string{})
			o.SetAnnotations(map[string]string{})
		}}, want: true},
		"its spec has":                  {now: []func(*unstructured.Unstructured){func(o *unstructured.Unstructured) { o.SetGeneration(4) }}},
		"a label has":                   {now: []func(*unstructured.Unstructured){func(o *unstructured.Unstructured) { o.SetLabels(nil) }}},
		"an annotation was added":       {now: []func(*unstructured.Unstructured){func(o *unstructured.Unstructured) { o.SetAnnotations(map[string]string{"x": "y"}) }}},
		"a finalizer was added":         {now: []func(*unstructured.Unstructured){func(o *unstructured.Unstructured) { o.SetFinalizers([]string{"x/y"}) }}},
		"it was given an owner":         {now: []func(*unstructured.Unstructured){func(o *unstructured.Unstructured) { o.SetOwnerReferences([]metav1.OwnerReference{{Name: "x"}}) }}},
		"it is being deleted":           {now: []func(*unstructured.Unstructured){func(o *unstructured.Unstructured) { o.SetDeletionTimestamp(new(metav1.Now())) }}},
		"it is another one":             {now: []func(*unstructured.Unstructured){func(o *unstructured.Unstructured) { o.SetUID(types.UID("second")) }}},
		"of a kind without generation":  {before: []func(*unstructured.Unstructured){uncounted}, now: []func(*unstructured.Unstructured){uncounted}, want: true},
		"one of which was changed then": {before: []func(*unstructured.Unstructured){uncounted}, now: []func(*unstructured.Unstructured){uncounted, func(o *unstructured.Unstructured) { o.SetResourceVersion("101") }}},
	} {
		t.Run(name, func(t *testing.T) {
			var memory applyRecords
			memory.recordApply(wanted(), live(test.before...))
			if got := memory.isUnchanged(wanted(), live(test.now...)); got != test.want {
				t.Errorf("isUnchanged: got %v, want %v", got, test.want)
			}
		})
	}
	t.Run("not if something else is wanted", func(t *testing.T) {
		var memory applyRecords
		memory.recordApply(wanted(), live())
		other := wanted()
		other.Object["spec"] = map[string]any{"replicas": int64(1)}
		if memory.isUnchanged(other, live()) {
			t.Error("isUnchanged: got true, want false")
		}
	})
	t.Run("not if it is not known, or no longer", func(t *testing.T) {
		var memory applyRecords
		if memory.isUnchanged(wanted(), live()) {
			t.Error("holds at first: got true, want false")
		}
		memory.recordApply(wanted(), live())
		memory.forgetObject(wanted())
		if memory.isUnchanged(wanted(), live()) {
			t.Error("holds after it was forgotten: got true, want false")
		}
		memory.recordApply(wanted(), live())
		memory.retainOnly([]*unstructured.Unstructured{wanted()})
		if !memory.isUnchanged(wanted(), live()) {
			t.Error("holds while it is wanted: got false, want true")
		}
		memory.retainOnly([]*unstructured.Unstructured{objectOf(v1beta1.ObjectReference{Version: "v1", Kind: "Secret", Name: "other"})})
		if memory.isUnchanged(wanted(), live()) {
			t.Error("holds when it is no longer wanted: got true, want false")
		}
	})
}
