package release

import (
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/hack/devcluster/programs"
)

// TestBundle_SetsEveryPlace: after `make bundle VERSION=...` no file names the version before, but for decisions, which
// are history, and the catalogue, which has all releases. Versions in tests are examples.
func TestBundle_SetsEveryPlace(t *testing.T) {
	repo, err := programs.FindRepo(".")
	if err != nil {
		t.Fatal(err)
	}
	tree, before := t.TempDir(), strings.TrimSpace(line(t, repo, "Makefile", "VERSION ?= "))
	const next = "v9.8.7"
	copyTree(t, repo, tree)
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"--no-print-directory", "bundle", "VERSION=" + next}, tools(repo)...)...)
	cmd.Dir = tree
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make bundle VERSION=%s: %v: %s", next, err, output)
	}
	named := regexp.MustCompile(`(\bv|version: "?)` + regexp.QuoteMeta(strings.TrimPrefix(before, "v")) + `\b`)
	err = filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(tree, path)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (slices.Contains([]string{"bin", "catalog", "docs/decisions"}, name) || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || strings.HasSuffix(name, "_test.go") || slices.Contains([]string{"go.mod", "go.sum"}, entry.Name()):
			return nil
		}
		if found := named.Find(read(t, path)); found != nil {
			t.Errorf("%s has %q after `make bundle VERSION=%s`", name, found, next)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"charts/lbstack/Chart.yaml": "\nversion: 9.8.7\nappVersion: v9.8.7\n", "bundle/manifests/lbstack.clusterserviceversion.yaml": "\n  name: lbstack.v9.8.7\n",
		"config/manager/manager.yaml": "image: ghcr.io/lbstack/lbstack:v9.8.7\n",
	} {
		if !strings.Contains(string(read(t, filepath.Join(tree, name))), want) {
			t.Errorf("%s does not have %q", name, want)
		}
	}
}
