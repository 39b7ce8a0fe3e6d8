package stack

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func anObject(kind, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetKind(kind)
	object.SetName(name)
	return object
}

// routed is a spec with two routers.
func routed() v1beta1.LoadBalancerStackSpec {
	return v1beta1.LoadBalancerStackSpec{BGPPeers: []v1beta1.StackBGPPeer{{Name: "one"}, {Name: "tor"}}}
}

func TestBlame_NamesTheFieldOfTheStack(t *testing.T) {
	tests := []struct {
		name, kind, object, sentence string
		want                         []string
	}{
		{name: "field at the beginning", kind: "BGPPeer", object: "tor", sentence: "spec.peerAddress: is no address", want: []string{"spec.bgpPeers[1].peerAddress"}},
		{name: "field in the sentence", kind: "BGPPeer", object: "tor", sentence: `the Secret "x" of spec.passwordSecret does not exist.`, want: []string{"spec.bgpPeers[1].passwordSecret"}},
		{name: "field with an index", kind: "BGPPeer", object: "one", sentence: "spec.nodeSelectors[2].matchLabels: is invalid", want: []string{"spec.bgpPeers[0].nodeSelectors[2].matchLabels"}},
		{name: "no field", kind: "BGPPeer", object: "one", sentence: "it is not ready", want: []string{"spec.bgpPeers[0]"}},
		{name: "object of somebody else", kind: "BGPPeer", object: "theirs", sentence: "spec.peerAddress: is no address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := findings{spec: routed()}
			f.addFieldProblem(anObject(tt.kind, tt.object), tt.sentence)
			f.addFieldProblem(anObject(tt.kind, tt.object), tt.sentence)
			if diff := cmp.Diff(tt.want, f.fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	kind := schema.GroupKind{Group: "lbstack.io", Kind: "BGPPeer"}
	resource := schema.GroupResource{Group: "lbstack.io", Resource: "bgppeers"}
	tests := []struct {
		name   string
		err    error
		fields []string
		words  []string
	}{
		{name: "field is named with its path in the stack", err: apierrors.NewInvalid(kind, "tor", field.ErrorList{field.Invalid(field.NewPath("spec", "peerASN"), 0, "must not be 0")}),
			fields: []string{"spec.bgpPeers[1].peerASN"}, words: []string{"spec.peerASN: Invalid value: 0: must not be 0: the object stays as it is: correct spec.bgpPeers[1].peerASN"}},
		{name: "refusal of the right to write", err: apierrors.NewForbidden(resource, "tor", nil), words: []string{"is forbidden", "grant the operator the right, or change the policy"}},
		{name: "request that the API server does not understand", err: apierrors.NewBadRequest("what"), words: []string{"what: the object stays as it is: correct the spec of the stack"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := findings{spec: routed()}
			f.addRefusal(anObject("BGPPeer", "tor"), tt.err)
			if diff := cmp.Diff(tt.fields, f.fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			for _, words := range tt.words {
				if len(f.failures) != 1 || f.failures[0].stance != endsByPerson || !strings.Contains(f.failures[0].message, words) {
					t.Errorf("got %+v, want %q in it", f.failures, words)
				}
			}
		})
	}
}

func TestConfigurationValid(t *testing.T) {
	is := func(status metav1.ConditionStatus, reason, message string) *metav1.Condition {
		return &metav1.Condition{Type: v1beta1.ConditionConfigurationValid, Status: status, Reason: reason, Message: message, ObservedGeneration: 3}
	}
	tests := []struct {
		name     string
		previous []metav1.Condition
		found    findings
		want     *metav1.Condition
	}{
		{name: "no field is wrong", found: findings{}, want: is("True", "AsExpected", "no field of the spec is known to be wrong")},
		{name: "fields are named", found: findings{fields: []string{"spec.patches[2]", "spec.bgpPeers[0]"}}, want: is("False", "SpecInvalid", "spec.patches[2] and spec.bgpPeers[0]: the condition Ready has the details")},
		{name: "cluster that cannot be read leaves it as it was", previous: []metav1.Condition{*is("False", "SpecInvalid", "before")}, found: findings{ended: true, failures: []fault{{v1beta1.ReasonReadFailed, "timeout", endsByRetry}}}, want: is("False", "SpecInvalid", "before")},
		{name: "removed stack has none", previous: []metav1.Condition{*is("False", "SpecInvalid", "before")}, found: findings{removed: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.found.generation = 3
			var got *metav1.Condition
			for _, c := range buildStatus(v1beta1.LoadBalancerStackStatus{Conditions: tt.previous}, tt.found).Conditions {
				if c.Type == v1beta1.ConditionConfigurationValid {
					c.LastTransitionTime = metav1.Time{}
					got = &c
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}
