package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

const operatorCondition = "lbstack.v0.1.0"

// TestStack_OperatorConditionFollowsTheStack has an operator report to the Operator Lifecycle
// Manager with the rights that OLM grants: those on its own OperatorCondition.
func TestStack_OperatorConditionFollowsTheStack(t *testing.T) {
	b := newOperatorBed(t)
	text, err := os.ReadFile(filepath.Join("testdata", "operatorconditions.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &crd.Object); err != nil {
		t.Fatal(err)
	}
	create(t, b.Client, crd)
	named := metav1.ObjectMeta{Namespace: systemNamespace, Name: operatorCondition}
	create(t, b.Client, &rbacv1.Role{ObjectMeta: named, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"operators.coreos.com"}, Resources: []string{"operatorconditions"}, ResourceNames: []string{operatorCondition}, Verbs: []string{"get", "update", "patch"},
	}}})
	create(t, b.Client, &rbacv1.RoleBinding{ObjectMeta: named, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: operatorCondition},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: systemNamespace, Name: "lbstack-operator"}}})
	condition := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"namespace": systemNamespace, "name": operatorCondition},
		"spec": map[string]any{"deployments": []any{"lbstack-operator"}}}}
	condition.SetGroupVersionKind(schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v2", Kind: "OperatorCondition"})
	eventually.Succeed(t, within, "the OperatorCondition is made", func(ctx context.Context) error {
		if err := b.Create(ctx, condition.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		return nil
	})

	b.operator("OPERATOR_CONDITION_NAME=" + operatorCondition)
	b.stack(aSpec())
	b.upgradeable(metav1.ConditionFalse, v1beta1.ReasonComponentsNotReady)
	b.run()
	b.upgradeable(metav1.ConditionTrue, v1beta1.ReasonAsExpected)
	b.editStack(func(s *v1beta1.LoadBalancerStackSpec) { s.Controller.LogLevel = v1beta1.LogLevelDebug })
	b.upgradeable(metav1.ConditionFalse, v1beta1.ReasonRollingOut)
	b.removeStack()
	b.upgradeable(metav1.ConditionTrue, v1beta1.ReasonAsExpected)
}

// upgradeable waits for the condition Upgradeable in the OperatorCondition.
func (b *operatorBed) upgradeable(status metav1.ConditionStatus, reason string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("Upgradeable is %s (%s)", status, reason), func(ctx context.Context) error {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v2", Kind: "OperatorCondition"})
		if err := b.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: operatorCondition}, object); err != nil {
			return err
		}
		raw, err := yaml.Marshal(object.Object["spec"])
		if err != nil {
			return err
		}
		var spec struct{ Conditions []metav1.Condition }
		if err := yaml.Unmarshal(raw, &spec); err != nil {
			return err
		}
		c := meta.FindStatusCondition(spec.Conditions, "Upgradeable")
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("the conditions are %+v", spec.Conditions)
		}
		return nil
	})
}
