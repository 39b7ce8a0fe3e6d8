package archtest

import (
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	// A test that a document names, with the folder before it, if there is one; TestX* stands for several.
	named     = regexp.MustCompile("(?:`([a-z][\\w./-]*/[\\w./-]+)` )?`?\\b(Test[A-Z]\\w*\\*?)")
	testNames = regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(\w+ \*testing\.T\)`)
)

// missingTests returns the tests that a document names and that do not exist. exist are the tests by folder.
func missingTests(text string, exist map[string][]string) (missing []string) {
	for _, match := range named.FindAllStringSubmatch(text, -1) {
		folder, name := match[1], match[2]
		prefix, isPrefix := strings.CutSuffix(name, "*")
		found := false
		for in, tests := range exist {
			for _, test := range tests {
				found = found || (folder == "" || in == folder) && (test == name || isPrefix && strings.HasPrefix(test, prefix))
			}
		}
		if !found {
			missing = append(missing, strings.TrimSpace(folder+" "+name))
		}
	}
	return missing
}

func TestMissingTests(t *testing.T) {
	exist := map[string][]string{"a/b": {"TestOne", "TestOneMore"}, "c": {"TestTwo"}}
	got := missingTests("`TestOne`, `a/b` TestOneMore, `a/b` `TestTwo`, TestTwo, TestTw, TestO*, TestT*, TestThree*, Testing", exist)
	if diff := cmp.Diff([]string{"a/b TestTwo", "TestTw", "TestThree*"}, got); diff != "" {
		t.Errorf("missing tests (-want +got):\n%s", diff)
	}
}

// TestTheTestsThatADesignNamesExist: a promise of docs/design names the test that shows it.
func TestTheTestsThatADesignNamesExist(t *testing.T) {
	exist := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, relative := filepath.Rel(root, path)
		switch {
		case err != nil || relative != nil:
			return errors.Join(err, relative)
		case entry.IsDir() && (name == "bin" || name == "dist" || name == ".git"):
			return fs.SkipDir
		case strings.HasSuffix(name, "_test.go"):
			for _, found := range testNames.FindAllStringSubmatch(read(t, name), -1) {
				folder := filepath.ToSlash(filepath.Dir(name))
				exist[folder] = append(exist[folder], found[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := filepath.Glob(filepath.Join(root, "docs", "design", "*.md"))
	if err != nil || len(documents) == 0 {
		t.Fatalf("documents: %q, %v", documents, err)
	}
	for _, document := range documents {
		name := "docs/design/" + filepath.Base(document)
		for _, missing := range missingTests(read(t, name), exist) {
			t.Errorf("%s names %s, which does not exist", name, missing)
		}
	}
}
