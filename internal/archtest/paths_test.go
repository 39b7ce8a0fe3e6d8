package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inCode is what a document has in backticks, a path if it begins with a folder of the repository.
var inCode = regexp.MustCompile("`([a-z0-9_]+/[A-Za-z0-9_./{},-]*)`")

// stalePaths returns the paths that a document names and that are not there; {a,b} stands for two.
func stalePaths(root, text string) (stale []string) {
	for _, match := range inCode.FindAllStringSubmatch(text, -1) {
		folder, _, _ := strings.Cut(match[1], "/")
		if _, err := os.Stat(filepath.Join(root, folder)); err != nil || folder == "bin" || folder == "dist" {
			continue // not of the repository, or what make builds
		}
		for _, path := range alternatives(match[1]) {
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				stale = append(stale, path)
			}
		}
	}
	return stale
}

func alternatives(path string) []string {
	before, rest, found := strings.Cut(path, "{")
	list, after, closed := strings.Cut(rest, "}")
	if !found || !closed {
		return []string{path}
	}
	var all []string
	for part := range strings.SplitSeq(list, ",") {
		all = append(all, alternatives(before+part+after)...)
	}
	return all
}

func TestStalePaths(t *testing.T) {
	got := stalePaths("../..", "`internal/archtest`, `internal/{archtest,nothing}`, `speaker/gone.go`, `testing/synctest`, `spec.nodes`")
	if want := "internal/nothing speaker/gone.go"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPathsThatNewcomersAreSentToExist(t *testing.T) {
	for _, document := range []string{"README.md", "CONTRIBUTING.md", "docs/design/overview.md"} {
		text, err := os.ReadFile(filepath.Join("../..", document))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range stalePaths("../..", string(text)) {
			t.Errorf("%s sends the reader to %s, which does not exist", document, path)
		}
	}
}
