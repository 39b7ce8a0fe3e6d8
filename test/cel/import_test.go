package cel

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/internal/migrate"
)

// acceptance returns the errors of the API server when a LoadBalancerStack is created.
type acceptance struct {
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

func newAcceptance(t *testing.T) acceptance {
	t.Helper()
	crd := internal(t, find(t, "loadbalancerstacks.lbstack.io"))
	props := schemaOf(t, crd, crd.Spec.Versions[0].Name)
	structural, err := schema.NewStructural(props)
	if err != nil {
		t.Fatal(err)
	}
	bySchema, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		t.Fatal(err)
	}
	return acceptance{structural, bySchema, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
}

// problems returns the problems of a manifest, unknown fields included.
func (a acceptance) problems(t *testing.T, manifest []byte) (problems []string) {
	t.Helper()
	text, err := yaml.YAMLToJSONStrict(manifest)
	if err != nil {
		return []string{err.Error()}
	}
	object := map[string]any{}
	if err := json.Unmarshal(text, &object); err != nil {
		return []string{err.Error()}
	}
	for _, path := range pruning.PruneWithOptions(object, a.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		problems = append(problems, "unknown field "+path)
	}
	defaulting.Default(object, a.structural)
	errs := validation.ValidateCustomResource(nil, object, a.schema)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, a.structural, object)...)
	byRules, _ := a.rules.Validate(t.Context(), field.NewPath(""), a.structural, object, nil, celconfig.RuntimeCELCostBudget)
	for _, err := range append(errs, byRules...) {
		problems = append(problems, err.Error())
	}
	return problems
}

func TestImport_APIServerAcceptsTheLibrary(t *testing.T) {
	accepts := newAcceptance(t)
	files, err := filepath.Glob(filepath.Join("..", "import", "*", "stack.yaml"))
	if err != nil || len(files) < 15 {
		t.Fatalf("finding the stacks: %d, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range accepts.problems(t, text) {
			t.Errorf("%s: %s", file, problem)
		}
	}
	broken := []byte("apiVersion: lbstack.io/v1beta1\nkind: LoadBalancerStack\nmetadata: {name: default}\nspec:\n  nothing: 1\n  bgpPeers:\n  - {name: A, myASN: 0, peerASN: 1}\n")
	if got := accepts.problems(t, broken); len(got) < 4 {
		t.Errorf("a stack with an unknown field, a wrong name, a wrong number and no router has the problems %q, want at least 4", got)
	}
}

// TestImport_ArbitraryValues replaces values of the library by others: the result is accepted, and
// each field of the input is in the report.
func TestImport_ArbitraryValues(t *testing.T) {
	accepts := newAcceptance(t)
	files, err := filepath.Glob(filepath.Join("..", "import", "*", "input.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("finding the inputs: %v", err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for range 600 {
		file := files[chance.IntN(len(files))]
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := migrate.Read(file, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		var changes []string
		for range 1 + chance.IntN(3) {
			changes = append(changes, change(chance, objects[chance.IntN(len(objects))].Content))
		}
		result := migrate.Import(objects, "")
		manifest, err := result.YAML()
		if err != nil {
			t.Fatalf("%s with %q: %v", file, changes, err)
		}
		if problems := accepts.problems(t, manifest); len(problems) > 0 {
			t.Fatalf("%s with %q (seed %d): the API server refuses what was written: %q\n%s", file, changes, seed, problems, manifest)
		}
		for _, e := range result.Report.Entries {
			if e.Outcome == migrate.Unmapped && e.Note == "" {
				t.Errorf("%s with %q: %s of %s is not mapped, and no word what to do", file, changes, e.Path, e.Object)
			}
		}
	}
}

// change replaces a value somewhere in a tree, and returns a description of the change.
func change(chance *rand.Rand, content map[string]any) string {
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(content)), func(key string) bool { return key == "apiVersion" || key == "kind" })
	if len(keys) == 0 {
		return "nothing"
	}
	key := keys[chance.IntN(len(keys))]
	if key == "config" || key == "excludel2.yaml" {
		return changeText(chance, content, key)
	}
	switch below := content[key].(type) {
	case map[string]any:
		if len(below) > 0 && chance.IntN(8) > 0 {
			return key + "." + change(chance, below)
		}
	case []any:
		if len(below) > 0 && chance.IntN(8) > 0 {
			i := chance.IntN(len(below))
			if m, ok := below[i].(map[string]any); ok {
				return fmt.Sprintf("%s[%d].%s", key, i, change(chance, m))
			}
			below[i] = odd(chance)
			return fmt.Sprintf("%s[%d]: %v", key, i, below[i])
		}
		if len(below) > 0 && chance.IntN(2) == 0 { // many of them
			for len(below) < 140 {
				below = append(below, below[0])
			}
			content[key] = below
			return key + ": 140 times"
		}
	}
	content[key] = odd(chance)
	return fmt.Sprintf("%s: %.60v", key, content[key])
}

// changeText changes a document that is stored as text.
func changeText(chance *rand.Rand, content map[string]any, key string) string {
	tree := map[string]any{}
	text, _ := content[key].(string)
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		return "nothing"
	}
	done := change(chance, tree)
	printed, err := yaml.Marshal(tree)
	if err != nil {
		return "nothing"
	}
	content[key] = string(printed)
	return key + "." + done
}

// odd returns a value of the wrong kind.
func odd(chance *rand.Rand) any {
	long := string(bytes.Repeat([]byte("x"), 300))
	return []any{
		nil, "", "A_B.c", long, "::", "::ffff:1.2.3.4", "1.2.3.4", "1.2.3.4-1.2.3.5", "fe80::1", "10.0.0.0/33", "7:7", "large:1:2:3", "70000:1", "no-export", "\u00e9 \u2028\n# x",
		float64(0), float64(-1), float64(1), float64(3), 1.5, float64(1 << 33), true, false, "90s", "1s", "0s", "-5s", "1000h",
		map[string]any{}, []any{}, []any{"a", "a"}, map[string]any{"matchLabels": map[string]any{"a b": "c"}}, []any{map[string]any{}}, []any{nil},
	}[chance.IntN(34)]
}
