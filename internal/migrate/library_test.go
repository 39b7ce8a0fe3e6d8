package migrate

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var update = flag.Bool("update", false, "write what the library of test/import is to give")

// library is one input for each feature, with the stack and the report that it gives.
var library = filepath.Join("..", "..", "test", "import")

func inputs(t *testing.T) map[string][]Object {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(library, "*", "input.yaml"))
	if err != nil || len(files) < 15 {
		t.Fatalf("finding the inputs: %d, %v", len(files), err)
	}
	all := map[string][]Object{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := Read("input.yaml", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(filepath.Dir(file))] = objects
	}
	return all
}

func written(t *testing.T, r Result) (stack, report string) {
	t.Helper()
	text, err := r.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if err := r.Report.Print(&printed); err != nil {
		t.Fatal(err)
	}
	return string(text), printed.String()
}

func TestLibrary_GivesTheStackAndTheReport(t *testing.T) {
	for name, objects := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			stack, report := written(t, Import(objects, ""))
			for file, got := range map[string]string{"stack.yaml": stack, "report.txt": report} {
				path := filepath.Join(library, name, file)
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
					t.Errorf("%s differs (-want +got; go test ./internal/migrate -update writes it):\n%s", path, diff)
				}
			}
		})
	}
}

func TestLibrary_EveryFieldIsInTheReport(t *testing.T) {
	for name, objects := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			r := Import(objects, "")
			reported := map[string]bool{}
			for _, e := range r.Report.Entries {
				if reported[e.Object+" "+e.Path] {
					t.Errorf("%s of %s is reported twice", e.Path, e.Object)
				}
				reported[e.Object+" "+e.Path] = true
				if (e.Outcome == Changed || e.Outcome == Unmapped) && e.Note == "" {
					t.Errorf("%s of %s: %s, and no word why", e.Path, e.Object, e.Outcome)
				}
			}
			total := 0
			for _, o := range objects {
				total += leaves(newSource(o).content)
			}
			if total != len(r.Report.Entries) {
				t.Errorf("the input has %d fields, and %d are reported", total, len(r.Report.Entries))
			}
		})
	}
}

// leaves counts fields without the code that visits them.
func leaves(value any) int {
	n := 0
	switch v := value.(type) {
	case map[string]any:
		for _, below := range v {
			n += leaves(below)
		}
		return max(n, 1)
	case []any:
		for _, below := range v {
			n += leaves(below)
		}
		return max(n, 1)
	}
	return 1
}

// TestLibrary_MappedFieldsAreInTheStack removes each field that the report has as mapped: the stack must
// not be the same without it, unless the field has its default.
func TestLibrary_MappedFieldsAreInTheStack(t *testing.T) {
	// fields with these values are where the stack has the same without them.
	defaults := []string{"false", "0", "32", "128", "0s", "LoadBalancerIP", "unicast", "true", "Yes"}
	// and these are in the input twice.
	twice := []string{"--lb-class", "example.com/lb", "--lb-class=example.com/lb"}
	for name, objects := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			whole := Import(objects, "")
			before, _ := json.Marshal(whole.Stack)
			for _, e := range whole.Report.Entries {
				if e.Outcome != Mapped && e.Outcome != Changed {
					continue
				}
				var value string
				without := make([]Object, 0, len(objects))
				for _, o := range objects {
					s := newSource(o)
					if s.where == e.Object {
						s.content, value = remove(s.content, e.Path, "")
					}
					without = append(without, Object{Content: s.content})
				}
				after, _ := json.Marshal(Import(without, "").Stack)
				if bytes.Equal(before, after) && !slices.Contains(slices.Concat(defaults, twice), value) {
					t.Errorf("%s of %s (%s) is %s to %s, and the stack is the same without it", e.Path, e.Object, value, e.Outcome, e.Target)
				}
			}
		})
	}
}

// remove returns the content without the leaf of that path, and its value.
func remove(content map[string]any, path, at string) (map[string]any, string) {
	content, value := maps.Clone(content), ""
	for key, below := range content {
		f := field{o: &sourceObject{entries: map[string]*Entry{}}, path: at, value: content}.child(key)
		if f.path == path {
			value = f.text()
			delete(content, key)
			continue
		}
		if !strings.HasPrefix(path, f.path) {
			continue
		}
		switch v := below.(type) {
		case map[string]any:
			content[key], value = remove(v, path, f.path)
		case []any:
			list := slices.Clone(v)
			for i, item := range f.items() {
				if item.path == path {
					value = item.text()
					list = slices.Delete(list, i, i+1)
					break
				}
				if m, ok := item.value.(map[string]any); ok && strings.HasPrefix(path, item.path+".") {
					list[i], value = remove(m, path, item.path)
				}
			}
			content[key] = list
		}
		if value != "" {
			break
		}
	}
	return content, value
}

func TestLibrary_TheOrderOfTheInputDoesNotMatter(t *testing.T) {
	for name, objects := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			stack, report := written(t, Import(objects, ""))
			turned := slices.Clone(objects)
			slices.Reverse(turned)
			turned = append(turned, objects...) // and each object may be there twice
			againStack, againReport := written(t, Import(turned, ""))
			if diff := cmp.Diff(stack+report, againStack+againReport); diff != "" {
				t.Errorf("the same objects in another order give something else:\n%s", diff)
			}
		})
	}
}

func TestImport_SecretsAreInNeitherStackNorReport(t *testing.T) {
	for name, objects := range inputs(t) {
		r := Import(objects, "")
		stack, report := written(t, r)
		entries, err := json.Marshal(r.Report)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(stack+report+string(entries), "not-in-the-report") {
			t.Errorf("%s: the password is in what was written", name)
		}
	}
}

// TestImport_AffinityThatIsNone: what Kubernetes would refuse is in the report, and no part of it in the stack.
func TestImport_AffinityThatIsNone(t *testing.T) {
	const required = "requiredDuringSchedulingIgnoredDuringExecution"
	for name, value := range map[string]any{"a number": int64(5), "no terms": map[string]any{}, "terms of another type": map[string]any{"nodeSelectorTerms": "x"}} {
		t.Run(name, func(t *testing.T) {
			objects := inputs(t)["metallb-namespace"]
			changed := 0
			for _, o := range objects {
				node, found, err := unstructured.NestedMap(o.Content, "spec", "template", "spec", "affinity", "nodeAffinity")
				if err != nil || !found {
					continue
				}
				node[required] = value
				if err := unstructured.SetNestedMap(o.Content, node, "spec", "template", "spec", "affinity", "nodeAffinity"); err != nil {
					t.Fatal(err)
				}
				changed++
			}
			stack, report := written(t, Import(objects, ""))
			if changed == 0 || strings.Contains(stack, required) || !strings.Contains(report, "affinity") {
				t.Errorf("%d objects changed: got the stack\n%s\nand the report\n%s\nwant neither %s in the stack nor the field missing in the report", changed, stack, report, required)
			}
		})
	}
}
