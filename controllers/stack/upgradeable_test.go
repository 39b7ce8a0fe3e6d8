package stack

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestUpgradeable(t *testing.T) {
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	of := func(progressing, degraded metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{
			{Type: v1beta1.ConditionProgressing, Status: progressing, Reason: reason}, {Type: v1beta1.ConditionDegraded, Status: degraded, Reason: "x"},
			{Type: v1beta1.ConditionReady, Status: no, Reason: reason, Message: "2 of 3 pods"},
		}
	}
	tests := []struct {
		name       string
		conditions []metav1.Condition
		want       metav1.Condition
	}{
		{name: "no stack", want: metav1.Condition{Status: yes, Reason: "AsExpected", Message: "the operator can be updated"}},
		{name: "nothing is under way", conditions: of(no, no, "AsExpected"), want: metav1.Condition{Status: yes, Reason: "AsExpected", Message: "the operator can be updated"}},
		{name: "pods are replaced", conditions: of(yes, no, "ComponentsNotReady"), want: metav1.Condition{Status: no, Reason: "ComponentsNotReady", Message: "an installation, a change or the removal of lbstack is under way: 2 of 3 pods"}},
		{name: "removal", conditions: of(yes, no, "Removing"), want: metav1.Condition{Status: no, Reason: "Removing", Message: "an installation, a change or the removal of lbstack is under way: 2 of 3 pods"}},
		{name: "change that fails, which an update can end", conditions: of(yes, yes, "ComponentsNotReady"), want: metav1.Condition{Status: yes, Reason: "AsExpected", Message: "the operator can be updated"}},
		{name: "change of which only the report fails", conditions: func() []metav1.Condition {
			list := of(yes, yes, "RollingOut")
			for i := range list {
				if list[i].Type == v1beta1.ConditionDegraded {
					list[i].Reason = v1beta1.ReasonReportFailed
				}
			}
			return list
		}(), want: metav1.Condition{Status: no, Reason: "RollingOut", Message: "an installation, a change or the removal of lbstack is under way: 2 of 3 pods"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Type = "Upgradeable"
			if diff := cmp.Diff(tt.want, upgradeableCondition(tt.conditions)); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSetUpgradeable_LeavesOtherConditions(t *testing.T) {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"deployments": []any{"lbstack-operator"},
		"conditions":  []any{map[string]any{"type": "Other", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}},
	}}}
	if err := setUpgradeable(object, metav1.Condition{Type: conditionUpgradeable, Status: metav1.ConditionFalse, Reason: "Removing", LastTransitionTime: metav1.Unix(0, 0)}); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "spec", "conditions")
	for _, c := range conditions {
		condition := c.(map[string]any)
		got[condition["type"].(string)] = condition["status"].(string)
	}
	if diff := cmp.Diff(map[string]string{"Other": "True", "Upgradeable": "False"}, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	if deployments, _, _ := unstructured.NestedSlice(object.Object, "spec", "deployments"); len(deployments) != 1 {
		t.Errorf("got the deployments %v, want what OLM wrote", deployments)
	}
}
