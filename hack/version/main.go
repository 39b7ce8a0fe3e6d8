// Command version replaces the version of lbstack in all handwritten files of the repository that name it,
// or checks that they name the given version. Generated files get the version from the make variable
// VERSION.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	semver "k8s.io/apimachinery/pkg/util/version"
)

// places are the files that name the version. The version to replace is read from the Makefile.
var places = []string{
	"Dockerfile", "config/manager/manager.yaml",
	"README.md", "SECURITY.md", "docs/install.md", "docs/kubectl.md", "docs/operating.md", "docs/recording.md", "docs/design/install.md",
	"test/helm/base_test.go", "test/integration/install_kustomize_test.go", "test/olm/releases_test.go",
	"Makefile",
}

var versionLine = regexp.MustCompile(`(?m)^VERSION \?= (v\S+)$`)

func main() {
	version := flag.String("version", "", "version of lbstack, vMAJOR.MINOR.PATCH")
	check := flag.Bool("check", false, "change nothing, and fail if a file names another version")
	flag.Parse()
	if err := run(".", *version, *check); err != nil {
		fmt.Fprintln(os.Stderr, "version:", err)
		os.Exit(1)
	}
}

func run(root, version string, check bool) error {
	if _, err := semver.ParseSemantic(version); err != nil || !strings.HasPrefix(version, "v") {
		return fmt.Errorf("%q is not vMAJOR.MINOR.PATCH", version)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return fmt.Errorf("reading the version of the repository: %w", err)
	}
	found := versionLine.FindSubmatch(makefile)
	if found == nil {
		return errors.New("the Makefile has no line VERSION ?= vMAJOR.MINOR.PATCH")
	}
	var wrong []error
	for _, place := range places {
		wrong = append(wrong, set(filepath.Join(root, place), string(found[1]), version, check))
	}
	return errors.Join(wrong...)
}

// set replaces one version (before) by another in a file. With check it returns an error if the file
// would change.
func set(file, before, version string, check bool) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("finding a file that names the version: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading a file that names the version: %w", err)
	}
	changed := replace(string(text), before, version)
	switch {
	case !strings.Contains(changed, version):
		return fmt.Errorf("%s does not name the version %s: correct it, or take it out of the list in hack/version", file, version)
	case changed == string(text):
		return nil
	case check:
		return fmt.Errorf("%s names %s and not %s: run `make bundle VERSION=%s`", file, before, version, version)
	}
	return os.WriteFile(file, []byte(changed), info.Mode().Perm())
}

// replace replaces one version (before) by another. In the name of the Helm chart archive
// the version has no v.
func replace(text, before, version string) string {
	quoted := regexp.QuoteMeta(strings.TrimPrefix(before, "v"))
	text = regexp.MustCompile(`\bv`+quoted+`\b`).ReplaceAllString(text, version)
	return regexp.MustCompile(`\blbstack-`+quoted+`\.tgz\b`).ReplaceAllString(text, "lbstack-"+strings.TrimPrefix(version, "v")+".tgz")
}
