package randomspec

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/manifests"
)

func TestRender_RandomSpecsGiveTheSameObjectsEachTime(t *testing.T) {
	different := map[string]bool{}
	for seed := uint64(1); seed <= Seeds; seed++ {
		spec := Of(seed)
		if diff := cmp.Diff(spec, Of(seed)); diff != "" {
			t.Fatalf("seed %d gives two specs (-one +other):\n%s", seed, diff)
		}
		before := spec.DeepCopy()
		options := manifests.Options{Spec: spec, Image: "registry.example/lbstack:v1", Namespace: "lbstack-system"}
		first, second := rendered(t, seed, options), rendered(t, seed, options)
		if first != second {
			t.Fatalf("seed %d: objects (-first +second):\n%s", seed, cmp.Diff(first, second))
		}
		if diff := cmp.Diff(before, &spec); diff != "" {
			t.Fatalf("seed %d: Render changed the spec (-before +after):\n%s", seed, diff)
		}
		different[first] = true
	}
	if len(different) < Seeds*9/10 {
		t.Errorf("%d seeds gave %d different sets of objects, want nearly all different", Seeds, len(different))
	}
}

// rendered returns the objects as text.
func rendered(t *testing.T, seed uint64, options manifests.Options) string {
	t.Helper()
	objects, err := manifests.Render(options)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	text, err := json.MarshalIndent(objects, "", " ")
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return string(text)
}
