package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// commands are the lines of a block of code with nothing but kubectl delete.
var commands = regexp.MustCompile("(?m)^```\n((?:kubectl (?:-n lbstack-system )?delete .*\n){2,})```$")

// TestRemoval_NamesWhatStays: docs/install.md and the ClusterServiceVersion have the same commands, which remove what OLM
// leaves. test/olm runs them.
func TestRemoval_NamesWhatStays(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	csv, schemas := readBundle(t)
	description, _ := csv.Object["spec"].(map[string]any)["description"].(string)
	want, got := removal(t, "docs/install.md", string(text)), removal(t, "the description of the ClusterServiceVersion", description)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands (-docs/install.md +ClusterServiceVersion):\n%s", diff)
	}
	for name := range schemas {
		if !slices.Contains(strings.Fields(want), name) {
			t.Errorf("the commands do not delete the CRD %s", name)
		}
	}
	if named, want := strings.Count(want, ".lbstack.io"), len(schemas); named != want {
		t.Errorf("the commands delete %d CRDs, want the %d of the bundle", named, want)
	}
}

func removal(t *testing.T, place, text string) string {
	t.Helper()
	found := commands.FindAllStringSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks of commands that delete, want one", place, len(found))
	}
	return found[0][1]
}
