package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestStart_IsTheExample: the example that users begin with is the stack that the tests apply, in each place.
func TestStart_IsTheExample(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	csv, _ := readBundle(t)
	description, _ := csv.Object["spec"].(map[string]any)["description"].(string)
	want := stackIn(t, read("config/samples/lbstack_v1beta1_loadbalancerstack.yaml"))
	for place, text := range map[string]string{
		"description of the ClusterServiceVersion": description,
		"README.md":       read("README.md"),
		"docs/install.md": read("docs/install.md"),
		"NOTES.txt":       read("charts/lbstack/templates/NOTES.txt"),
	} {
		if diff := cmp.Diff(want, stackIn(t, text)); diff != "" {
			t.Errorf("the stack to begin with (-config/samples +%s):\n%s", place, diff)
		}
	}
	var examples []map[string]any
	var resource map[string]any
	for annotation, into := range map[string]any{"alm-examples": &examples, "operatorframework.io/initialization-resource": &resource} {
		if err := json.Unmarshal([]byte(csv.GetAnnotations()[annotation]), into); err != nil {
			t.Fatalf("%s: %v", annotation, err)
		}
	}
	if diff := cmp.Diff(want, resource); diff != "" {
		t.Errorf("the stack to begin with (-config/samples +initialization-resource):\n%s", diff)
	}
	if !slices.ContainsFunc(examples, func(example map[string]any) bool { return cmp.Equal(want, example) }) {
		t.Error("alm-examples do not have the stack of config/samples")
	}
}

// stackIn reads the first LoadBalancerStack in a text.
func stackIn(t *testing.T, text string) (stack map[string]any) {
	t.Helper()
	const first = "apiVersion: lbstack.io/v1beta1"
	before, rest, found := strings.Cut(text, first)
	if !found {
		t.Fatalf("a text has no LoadBalancerStack: %.80s", text)
	}
	indent := before[strings.LastIndex(before, "\n")+1:]
	lines := []string{first}
	for _, line := range strings.Split(rest, "\n")[1:] {
		line, inside := strings.CutPrefix(line, indent)
		if !inside || line == "" || line == "EOF" || line == "```" {
			break
		}
		lines = append(lines, line)
	}
	if err := yaml.UnmarshalStrict([]byte(strings.Join(lines, "\n")), &stack); err != nil {
		t.Fatal(err)
	}
	return stack
}
