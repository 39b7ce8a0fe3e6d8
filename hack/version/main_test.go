package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	semver "k8s.io/apimachinery/pkg/util/version"
)

// tree writes files of a repository that names v1.2.3 in all places, but for those given.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for _, place := range versionedFiles {
		text, ok := files[place]
		switch {
		case ok:
		case place == "Makefile":
			text = "VERSION ?= v1.2.3\n"
		default:
			text = "image: lbstack:v1.2.3\n"
		}
		file := filepath.Join(root, place)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func read(t *testing.T, root, place string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, place))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRun_SetsEveryPlace(t *testing.T) {
	root := tree(t, map[string]string{"docs/install.md": "lbstack:v1.2.3, lbstack-v1.2.3-image.tar, lbstack-1.2.3.tgz; v1.2.30, 1.2.3 and v0.1.2 are others"})
	if err := run(root, "v1.3.0", true); err == nil || strings.Count(err.Error(), "v1.3.0`") != len(versionedFiles) {
		t.Errorf("check of another version: %v, want all %d places", err, len(versionedFiles))
	}
	if err := run(root, "v1.3.0", false); err != nil {
		t.Fatal(err)
	}
	want := "lbstack:v1.3.0, lbstack-v1.3.0-image.tar, lbstack-1.3.0.tgz; v1.2.30, 1.2.3 and v0.1.2 are others"
	if diff := cmp.Diff(want, read(t, root, "docs/install.md")); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if got := read(t, root, "Makefile"); got != "VERSION ?= v1.3.0\n" {
		t.Errorf("Makefile: %q", got)
	}
	if err := run(root, "v1.3.0", true); err != nil {
		t.Errorf("check of the version that was set: %v", err)
	}
}

func TestRun_Refuses(t *testing.T) {
	tests := []struct{ name, version, place, text, want string }{
		{"a version without v", "1.3.0", "", "", "is not vMAJOR.MINOR.PATCH"},
		{"no version", "", "", "", "is not vMAJOR.MINOR.PATCH"},
		{"a Makefile without a version", "v1.3.0", "Makefile", "all:\n", "has no line VERSION"},
		{"a place that names another version", "v1.2.3", "Dockerfile", "ARG VERSION=v1.2.2\n", "Dockerfile does not contain the version v1.2.3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := run(tree(t, map[string]string{tt.place: tt.text}), tt.version, true); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestPlaces: every file that names the version of the repository is in the list, is generated, or is a test
// or a decision, whose versions are examples and history. test/release looks at what is generated. None names
// the next version: it would be a place then.
func TestPlaces(t *testing.T) {
	root := "../.."
	version := versionLine.FindStringSubmatch(read(t, root, "Makefile"))[1]
	parsed := semver.MustParseSemantic(version)
	versions := []string{version, "v" + parsed.WithPatch(parsed.Patch()+1).String(), "v" + parsed.WithMinor(parsed.Minor()+1).WithPatch(0).String()}
	generated := []string{"bundle", "catalog", "charts/lbstack/crds", "charts/lbstack/templates/generated", "charts/lbstack/Chart.yaml", "docs/decisions", "bin", "dist", ".git"}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if entry.IsDir() {
			if slices.Contains(generated, name) || entry.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if slices.Contains(versionedFiles, name) || slices.Contains(generated, name) || strings.HasSuffix(name, "_test.go") || entry.Name() == "go.mod" || entry.Name() == "go.sum" || !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, version := range versions {
			if regexp.MustCompile(`\b` + regexp.QuoteMeta(version) + `\b`).Match(text) {
				t.Errorf("%s names the version %s, and `make bundle VERSION=...` does not set it: add it to the list in hack/version", name, version)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
