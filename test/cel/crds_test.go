// Package cel compiles the CEL expressions that lbstack ships with the library of the
// API server, and needs no API server for it: the rules of the CRDs, whose estimated
// cost is compared with the limits, and the admission policies. An expression that
// does not compile prevents the installation of its whole CRD or policy.
package cel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"
)

// oldest is the environment with the functions of the oldest Kubernetes of docs/requirements.md.
var oldest = environment.MustBaseEnvSet(version.MajorMinor(1, 31))

func TestCRDs_AcceptedByTheAPIServer(t *testing.T) {
	for _, crd := range load(t) {
		t.Run(crd.Name, func(t *testing.T) {
			for _, problem := range validation.ValidateCustomResourceDefinition(t.Context(), internal(t, crd)) {
				t.Error(problem)
			}
		})
	}
}

func TestCRDs_RulesCompileOnTheOldestKubernetes(t *testing.T) {
	for _, crd := range load(t) {
		t.Run(crd.Name, func(t *testing.T) {
			for _, v := range crd.Spec.Versions {
				root, err := schema.NewStructural(schemaOf(t, internal(t, crd), v.Name))
				if err != nil {
					t.Fatalf("reading the schema of %s: %v", v.Name, err)
				}
				compile(t, root, true)
			}
		})
	}
}

// compile compiles the rules of a schema and of all schemas in it.
func compile(t *testing.T, s *schema.Structural, root bool) {
	results, err := cel.Compile(s, model.SchemaDeclType(s, root), celconfig.PerCallLimit, oldest, cel.NewExpressionsEnvLoader())
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range results {
		if result.Error != nil {
			t.Errorf("rule %q: %v", s.XValidations[i].Rule, result.Error)
		}
		if result.MessageExpressionError != nil {
			t.Errorf("message of rule %q: %v", s.XValidations[i].Rule, result.MessageExpressionError)
		}
	}
	for name, property := range s.Properties {
		compile(t, &property, root && name == "metadata")
	}
	if s.Items != nil {
		compile(t, s.Items, false)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Structural != nil {
		compile(t, s.AdditionalProperties.Structural, false)
	}
}

// TestCRDs_BrokenRuleIsFound guards the two tests above against a library that stops looking.
func TestCRDs_BrokenRuleIsFound(t *testing.T) {
	tests := []struct{ name, rule, want string }{
		{"field that the schema lacks", "has(self.spec.nothing)", "undefined field 'nothing'"},
		{"result that is no truth value", "self.metadata.name", "must evaluate to a bool"},
		{"cost beyond the limit", "self.spec.addresses.all(a, self.spec.addresses.all(b, self.spec.addresses.all(c, a + b + c != 'x')))", "estimated rule cost exceeds budget"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			crd := internal(t, find(t, "ipaddresspools.lbstack.io"))
			root := schemaOf(t, crd, crd.Spec.Versions[0].Name)
			root.XValidations = append(root.XValidations, apiextensions.ValidationRule{Rule: tt.rule, Message: "broken"})
			got := validation.ValidateCustomResourceDefinition(t.Context(), crd).ToAggregate()
			if got == nil || !strings.Contains(got.Error(), tt.want) {
				t.Errorf("the rule %q: got %v, want %q", tt.rule, got, tt.want)
			}
		})
	}
}

// load reads the CRDs of the installation.
func load(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "crd", "bases", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("finding the CRDs: %d files, %v", len(files), err)
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			t.Fatalf("parsing %s: %v", file, err)
		}
		crds = append(crds, crd)
	}
	return crds
}

func find(t *testing.T, name string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	for _, crd := range load(t) {
		if crd.Name == name {
			return crd
		}
	}
	t.Fatalf("there is no CRD %s", name)
	return nil
}

func schemaOf(t *testing.T, crd *apiextensions.CustomResourceDefinition, version string) *apiextensions.JSONSchemaProps {
	t.Helper()
	validation, err := apiextensions.GetSchemaForVersion(crd, version)
	if err != nil || validation == nil {
		t.Fatalf("the CRD %s has no schema of %s: %v", crd.Name, version, err)
	}
	return validation.OpenAPIV3Schema
}

// internal returns a CRD with its defaults, as the API server validates it.
func internal(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition) *apiextensions.CustomResourceDefinition {
	t.Helper()
	scheme := runtime.NewScheme()
	install.Install(scheme)
	crd = crd.DeepCopy()
	scheme.Default(crd)
	out := &apiextensions.CustomResourceDefinition{}
	if err := scheme.Convert(crd, out, nil); err != nil {
		t.Fatalf("converting the CRD %s: %v", crd.Name, err)
	}
	return out
}
