package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestEveryModuleGetsUpdates(t *testing.T) {
	var want []string
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (path == "bin" || path == "dist" || path == ".git"):
			return fs.SkipDir
		case entry.Name() == "go.mod":
			want = append(want, filepath.Join("/", filepath.Dir(path)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Updates []struct {
			Ecosystem   string   `json:"package-ecosystem"`
			Directories []string `json:"directories"`
		} `json:"updates"`
	}
	if err := yaml.Unmarshal([]byte(read(t, ".github/dependabot.yml")), &config); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, update := range config.Updates {
		if update.Ecosystem == "docker" {
			t.Error("dependabot looks for images to update: no Dockerfile names one, see TestImagesHaveNoBase")
		}
		if update.Ecosystem == "gomod" {
			got = append(got, update.Directories...)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("directories of gomod in .github/dependabot.yml (-want +got):\n%s", diff)
	}
}

// TestActionsArePinned: a tag of an action can be moved to other code, which would have the rights of the
// workflow.
func TestActionsArePinned(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("workflows: %q, %v", files, err)
	}
	pinned := regexp.MustCompile(`uses: ([\w./-]+@[0-9a-f]{40} # v\d|\./)`) // or of this repository
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "uses:") && !pinned.MatchString(line) {
				t.Errorf("%s: %s: want a commit, and its version in a comment", filepath.Base(file), strings.TrimSpace(line))
			}
		}
	}
}

// TestAReleaseIsTested: the job that publishes waits for all jobs of the workflow `test`.
func TestAReleaseIsTested(t *testing.T) {
	var tests struct {
		On map[string]any `json:"true"` // the key on, as YAML 1.1 reads it
	}
	var release struct {
		Jobs map[string]struct{ Uses, Needs string }
	}
	for name, into := range map[string]any{"test.yml": &tests, "release.yml": &release} {
		if err := yaml.Unmarshal([]byte(read(t, ".github/workflows/"+name)), into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, ok := tests.On["workflow_call"]; !ok {
		t.Errorf("test.yml runs on %v, and cannot be called", tests.On)
	}
	needed := release.Jobs["release"].Needs
	if got, want := release.Jobs[needed].Uses, "./.github/workflows/test.yml"; got != want {
		t.Errorf("the job release needs %q, which uses %q; want %q", needed, got, want)
	}
}
