package manifests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// TestRender_Samples compares what each stack of config/samples changes, next to an empty spec, with
// a golden file, as TestRender_Fields does for single fields.
func TestRender_Samples(t *testing.T) {
	files, err := filepath.Glob("../../config/samples/lbstack_v1beta1_loadbalancerstack*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("finding the stacks of config/samples: %q, %v; want seven at least", files, err)
	}
	before := leaves(render(t, defaultOptions()))
	for _, file := range files {
		name := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(file), ".yaml"), "lbstack_v1beta1_")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var stack v1beta1.LoadBalancerStack
			if err := yaml.UnmarshalStrict(text, &stack); err != nil {
				t.Fatalf("reading %s: %v", file, err)
			}
			o := defaultOptions()
			o.Spec = stack.Spec
			got := difference(before, leaves(render(t, o)))
			path := filepath.Join("testdata", "samples", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("what the sample changes differs from %s (go test -update writes it; -want +got):\n%s", path, diff)
			}
		})
	}
}
