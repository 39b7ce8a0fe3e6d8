package manifests

import (
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestRemovalPolicy_ProtectsTheInstallation checks the policy against every object of the
// installation, and against what the operator itself deletes.
func TestRemovalPolicy_ProtectsTheInstallation(t *testing.T) {
	spec := removalPolicy(t).Spec
	selector, err := metav1.LabelSelectorAsSelector(spec.MatchConstraints.ObjectSelector)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range installation(t) {
		kind := object.GroupVersionKind()
		plural, _ := meta.UnsafeGuessKindToResource(kind)
		protected := slices.ContainsFunc(spec.MatchConstraints.ResourceRules, func(r admissionv1.NamedRuleWithOperations) bool {
			return slices.Equal(r.Operations, []admissionv1.OperationType{admissionv1.Delete}) && slices.Contains(r.APIGroups, kind.Group) &&
				slices.Contains(r.APIVersions, kind.Version) && slices.Contains(r.Resources, plural.Resource)
		})
		if !protected || !selector.Matches(labels.Set(object.GetLabels())) {
			t.Errorf("%s %s with the labels %v can be deleted while there is a stack, want it protected", object.GetKind(), object.GetName(), object.GetLabels())
		}
	}
	for _, object := range render(t, fullOptions()) {
		if selector.Matches(labels.Set(object.GetLabels())) {
			t.Errorf("%s %s cannot be deleted by the operator, want it not protected", object.GetKind(), object.GetName())
		}
	}
}

func removalPolicy(t *testing.T) *admissionv1.ValidatingAdmissionPolicy {
	t.Helper()
	for _, object := range render(t, defaultOptions()) {
		if object.GetKind() == "ValidatingAdmissionPolicy" && object.GetName() == "lbstack-removal" {
			policy := &admissionv1.ValidatingAdmissionPolicy{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, policy, true); err != nil {
				t.Fatal(err)
			}
			return policy
		}
	}
	t.Fatal("the operator renders no policy lbstack-removal")
	return nil
}

// TestRemovalPolicy_GoesLast checks that what protects the removal is made first, so that it is
// deleted last.
func TestRemovalPolicy_GoesLast(t *testing.T) {
	objects := render(t, fullOptions())
	if got := objects[0]; got.GetKind() != "ValidatingAdmissionPolicy" || got.GetName() != "lbstack-removal" {
		t.Errorf("the first object is the %s %s, want the policy lbstack-removal", got.GetKind(), got.GetName())
	}
}
