package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// ofOthers are groups of kinds in the documentation that this API server does not have.
var ofOthers = []string{"operators.coreos.com/", "cert-manager.io/"}

// TestDocumentation_EveryExampleIsAccepted creates what README.md and the pages of docs have in blocks of YAML: whole
// objects, and the spec of a LoadBalancerStack, without which a block begins with "spec:".
func TestDocumentation_EveryExampleIsAccepted(t *testing.T) {
	c := administrator(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := c.Create(t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(server.Repo, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("finding the pages: %q, %v", pages, err)
	}
	stacks := 0
	for _, page := range append(pages, filepath.Join(server.Repo, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```") {
			example, isYAML := strings.CutPrefix(block, "yaml\n")
			if !isYAML || i%2 == 0 {
				continue
			}
			line := 1 + strings.Count(strings.Join(strings.Split(string(text), "```")[:i], "```"), "\n")
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(page), line), func(t *testing.T) {
				for _, document := range strings.Split(example, "\n---\n") {
					object := exampleObject(t, document)
					if object == nil {
						continue
					}
					if object.GetKind() == "LoadBalancerStack" {
						stacks++
					}
					if err := c.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil && !apierrors.IsAlreadyExists(err) {
						t.Errorf("%s %s: %v, want it accepted", object.GetKind(), object.GetName(), err)
					}
				}
			})
		}
	}
	if stacks < 8 {
		t.Errorf("the documentation has %d examples of a stack, want eight at least", stacks)
	}
}

// exampleObject is the object of an example; nil if it is one that the API server does not have.
func exampleObject(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &object.Object); err != nil {
		t.Fatalf("reading the example: %v", err)
	}
	_, hasSpec := object.Object["spec"]
	switch version := object.GetAPIVersion(); {
	case slices.ContainsFunc(ofOthers, func(group string) bool { return strings.HasPrefix(version, group) }):
		return nil
	case version != "":
		return object
	case hasSpec && len(object.Object) == 1:
		object.SetAPIVersion(v1beta1.GroupVersion.String())
		object.SetKind("LoadBalancerStack")
		object.SetName(v1beta1.LoadBalancerStackName)
		return object
	}
	return nil // a file of another program: a kustomization, values, Prometheus
}
