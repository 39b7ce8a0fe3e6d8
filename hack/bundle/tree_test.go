package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// accepted are the kinds of lbstack's bundle that OLM v0 and v1 install; NetworkPolicies since
// OLM 0.33 (decision 0085).
var accepted = []string{"ClusterServiceVersion", "CustomResourceDefinition", "ClusterRole", "NetworkPolicy", "PodDisruptionBudget", "PriorityClass", "PrometheusRule", "Service", "ServiceMonitor"}

// TestBundle_OfTheRepository checks bundle/ as scorecard and OLM do, without a cluster.
func TestBundle_OfTheRepository(t *testing.T) {
	csv, schemas := readBundle(t)
	var examples []unstructured.Unstructured
	if err := json.Unmarshal([]byte(csv.GetAnnotations()["alm-examples"]), &examples); err != nil {
		t.Fatalf("alm-examples: %v", err)
	}
	byKind := map[string]ownedCRD{}
	var resource unstructured.Unstructured
	if err := json.Unmarshal([]byte(csv.GetAnnotations()["operatorframework.io/initialization-resource"]), &resource); err != nil || resource.GetKind() != "LoadBalancerStack" {
		t.Errorf("initialization-resource: %v, %v; want a LoadBalancerStack", resource.Object, err)
	}
	for _, crd := range ownedCRDs(t, csv) {
		byKind[crd.Kind] = crd
		of := schemas[crd.Name].child("properties")
		for p, descriptors := range map[objectPart][]descriptor{spec: crd.SpecDescriptors, status: crd.StatusDescriptors} {
			var described []string
			for _, d := range descriptors {
				described = append(described, d.Path)
				if d.DisplayName == "" || d.Description == "" {
					t.Errorf("%s: descriptor of %s.%s: display name %q, description %q, want both", crd.Kind, p, d.Path, d.DisplayName, d.Description)
				}
			}
			for name, field := range of.child(string(p)).child("properties") {
				paths := []string{name}
				if field, ok := field.(map[string]any); ok && field["type"] == "object" && name != "conditions" {
					for below := range schema(field).child("properties") {
						paths = append(paths, name+"."+below)
					}
				}
				for _, path := range paths {
					if !slices.Contains(described, path) {
						t.Errorf("%s: field %s.%s has no descriptor: run `make bundle`", crd.Kind, p, path)
					}
				}
			}
		}
	}
	if len(byKind) != len(schemas) || len(schemas) == 0 {
		t.Errorf("%d owned kinds for %d CRDs, want the same", len(byKind), len(schemas))
	}
	for _, example := range examples {
		crd, isOwned := byKind[example.GetKind()]
		if !isOwned {
			t.Errorf("example of %s, which is no owned kind", example.GetKind())
		}
		fields, _, _ := unstructured.NestedMap(example.Object, "spec")
		if len(fields) == 0 {
			t.Errorf("example of %s has no spec", example.GetKind())
		}
		for name := range fields {
			if !slices.ContainsFunc(crd.SpecDescriptors, func(d descriptor) bool { return d.Path == name }) {
				t.Errorf("example of %s: field %s has no descriptor", example.GetKind(), name)
			}
		}
	}
}

func ownedCRDs(t *testing.T, csv *unstructured.Unstructured) []ownedCRD {
	t.Helper()
	list, _, err := unstructured.NestedSlice(csv.Object, "spec", "customresourcedefinitions", "owned")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var crds []ownedCRD
	if err := json.Unmarshal(raw, &crds); err != nil {
		t.Fatal(err)
	}
	return crds
}

// readBundle returns the ClusterServiceVersion and the schemas of the CRDs.
func readBundle(t *testing.T) (*unstructured.Unstructured, map[string]schema) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "bundle", "manifests", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the bundle has the files %v, %v", files, err)
	}
	var csv *unstructured.Unstructured
	schemas := map[string]schema{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &object.Object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		switch kind := object.GetKind(); {
		case kind == "ClusterServiceVersion":
			csv = object
		case kind == "CustomResourceDefinition":
			if schemas[object.GetName()], err = storedSchema(object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		case !slices.Contains(accepted, kind):
			t.Errorf("%s: OLM does not accept the kind %s, or it stands in the ClusterServiceVersion", filepath.Base(file), kind)
		case kind == "ClusterRole" && !strings.HasPrefix(object.GetName(), "lbstack-"):
			t.Errorf("%s: the ClusterRole %s has not the prefix of lbstack", filepath.Base(file), object.GetName())
		}
	}
	if csv == nil {
		t.Fatal("the bundle has no ClusterServiceVersion")
	}
	return csv, schemas
}
