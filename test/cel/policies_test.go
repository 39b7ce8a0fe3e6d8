package cel

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	plugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/lbstack/lbstack/internal/manifests"
)

func TestPolicies_ExpressionsCompile(t *testing.T) {
	checker := typeChecker(t)
	for _, policy := range policies(t) {
		t.Run(policy.Name, func(t *testing.T) {
			for _, problem := range slices.Concat(compilePolicy(t, policy), mistyped(checker, policy)) {
				t.Error(problem)
			}
		})
	}
}

// TestPolicies_BrokenExpressionIsFound guards the test above against a library that stops looking.
func TestPolicies_BrokenExpressionIsFound(t *testing.T) {
	tests := []struct {
		name    string
		distort func(*admissionv1.ValidatingAdmissionPolicySpec)
		want    string
	}{
		{"field that the object lacks", func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.Validations[0].Expression = "object.nothing == ''"
		}, "undefined field 'nothing'"},
		{"variable that is not declared", func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.Variables = nil }, "undefined field 'node'"},
		{"condition that is no truth value", func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.MatchConditions[0].Expression = "'speaker'" }, "must evaluate to bool"},
		{"message that is no text", func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.Validations[0].MessageExpression = "1" }, "must evaluate to string"},
	}
	checker := typeChecker(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			policy := policyNamed(t, "lbstack-speaker-states")
			tt.distort(&policy.Spec)
			got := strings.Join(slices.Concat(compilePolicy(t, policy), mistyped(checker, policy)), "\n")
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// compilePolicy compiles a policy as the API server does when it is created.
func compilePolicy(t *testing.T, policy *admissionv1.ValidatingAdmissionPolicy) []string {
	t.Helper()
	compiler, err := plugin.NewCompositedCompiler(oldest)
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	note := func(field string, result plugin.CompilationResult) {
		if result.Error != nil {
			problems = append(problems, fmt.Sprintf("spec.%s: %v", field, result.Error))
		}
	}
	options := plugin.OptionalVariableDeclarations{HasParams: policy.Spec.ParamKind != nil, HasAuthorizer: true}
	ofMessages := plugin.OptionalVariableDeclarations{HasParams: options.HasParams}
	for i, condition := range policy.Spec.MatchConditions {
		accessor := matchconditions.MatchCondition(condition)
		note(fmt.Sprintf("matchConditions[%d]", i), plugin.NewCompiler(oldest).CompileCELExpression(&accessor, options, environment.NewExpressions))
	}
	for i, variable := range policy.Spec.Variables {
		accessor := &validating.Variable{Name: variable.Name, Expression: variable.Expression}
		note(fmt.Sprintf("variables[%d]", i), compiler.CompileAndStoreVariable(accessor, options, environment.NewExpressions))
	}
	for i, v := range policy.Spec.Validations {
		accessor := &validating.ValidationCondition{Expression: v.Expression}
		note(fmt.Sprintf("validations[%d].expression", i), compiler.CompileCELExpression(accessor, options, environment.NewExpressions))
		if v.MessageExpression != "" {
			message := &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression}
			note(fmt.Sprintf("validations[%d].messageExpression", i), compiler.CompileCELExpression(message, ofMessages, environment.NewExpressions))
		}
	}
	return problems
}

// mistyped returns what the API server writes into the status of a policy: places that
// compile, and whose evaluation fails because the objects have no such fields.
func mistyped(checker *validating.TypeChecker, policy *admissionv1.ValidatingAdmissionPolicy) []string {
	var problems []string
	for _, warning := range checker.Check(policy) {
		problems = append(problems, warning.FieldRef+": "+warning.Warning)
	}
	return problems
}

// policies returns the admission policies as the operator renders them.
func policies(t *testing.T) []*admissionv1.ValidatingAdmissionPolicy {
	t.Helper()
	objects, err := manifests.Render(manifests.Options{
		Namespace: "lbstack-system", Image: "lbstack",
	})
	if err != nil {
		t.Fatal(err)
	}
	var found []*admissionv1.ValidatingAdmissionPolicy
	for _, object := range objects {
		if object.GetKind() != "ValidatingAdmissionPolicy" {
			continue
		}
		policy := &admissionv1.ValidatingAdmissionPolicy{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, policy, true); err != nil {
			t.Fatalf("reading the policy %s: %v", object.GetName(), err)
		}
		found = append(found, policy)
	}
	if len(found) == 0 {
		t.Fatal("the operator renders no admission policy")
	}
	return found
}

func policyNamed(t *testing.T, name string) *admissionv1.ValidatingAdmissionPolicy {
	t.Helper()
	list := policies(t)
	i := slices.IndexFunc(list, func(p *admissionv1.ValidatingAdmissionPolicy) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("the operator renders no policy %s", name)
	}
	return list[i]
}

// schemas are those of the CRDs.
type schemas map[runtimeschema.GroupVersionKind]*spec.Schema

func (s schemas) ResolveSchema(kind runtimeschema.GroupVersionKind) (*spec.Schema, error) {
	if found, ok := s[kind]; ok {
		return found, nil
	}
	return nil, fmt.Errorf("%w: %v", resolver.ErrSchemaNotFound, kind)
}

func typeChecker(t *testing.T) *validating.TypeChecker {
	t.Helper()
	known, mapper, metadata := schemas{}, meta.NewDefaultRESTMapper(nil), objectMeta(t)
	for _, crd := range load(t) {
		for _, v := range crd.Spec.Versions {
			kind := runtimeschema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}
			text, err := json.Marshal(v.Schema.OpenAPIV3Schema)
			if err != nil {
				t.Fatal(err)
			}
			known[kind] = &spec.Schema{}
			if err := json.Unmarshal(text, known[kind]); err != nil {
				t.Fatalf("reading the schema of %v: %v", kind, err)
			}
			known[kind].Properties["metadata"] = *metadata // as the API server publishes it
			resource := kind.GroupVersion()
			mapper.AddSpecific(kind, resource.WithResource(crd.Spec.Names.Plural), resource.WithResource(crd.Spec.Names.Singular), meta.RESTScopeRoot)
		}
	}
	return &validating.TypeChecker{SchemaResolver: known, RestMapper: mapper}
}

func objectMeta(t *testing.T) *spec.Schema {
	t.Helper()
	ref := func(path string) spec.Ref { return spec.MustCreateRef(path) }
	definitions := openapi.GetOpenAPIDefinitions(ref)
	found, err := resolver.PopulateRefs(func(name string) (*spec.Schema, bool) {
		d, ok := definitions[name]
		return &d.Schema, ok
	}, metav1.ObjectMeta{}.OpenAPIModelName())
	if err != nil {
		t.Fatalf("reading the schema of the metadata: %v", err)
	}
	return found
}
