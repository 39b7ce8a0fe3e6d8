// Command version replaces the version of lbstack in all files of the repository that contain it and are not
// generated. With -check it only checks that these files contain the given version. Generated files get the
// version from the make variable VERSION.
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

// versionedFiles are the files that contain the version. The version to replace is the one in the Makefile.
var versionedFiles = []string{
	"Dockerfile", "config/manager/manager.yaml",
	"README.md", "SECURITY.md", "docs/install.md", "docs/kubectl.md", "docs/operating.md", "docs/recording.md", "docs/design/install.md",
	"test/helm/base_test.go", "test/integration/install_kustomize_test.go", "test/olm/releases_test.go",
	"Makefile",
}

var versionLine = regexp.MustCompile(`(?m)^VERSION \?= (v\S+)$`)

func main() {
	version := flag.String("version", "", "version of lbstack, vMAJOR.MINOR.PATCH")
	check := flag.Bool("check", false, "change nothing, and fail if a file contains another version")
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
	for _, place := range versionedFiles {
		wrong = append(wrong, setVersion(filepath.Join(root, place), string(found[1]), version, check))
	}
	return errors.Join(wrong...)
}

// setVersion replaces one version (before) by another (version) in a file. If check is set, it changes nothing, and
// returns an error if the file would change.
func setVersion(file, before, version string, check bool) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("finding a file that names the version: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading a file that names the version: %w", err)
	}
	changed := replaceVersion(string(text), before, version)
	switch {
	case !strings.Contains(changed, version):
		return fmt.Errorf("%s does not contain the version %s: correct the file, or remove it from the list in hack/version", file, version)
	case changed == string(text):
		return nil
	case check:
		return fmt.Errorf("%s contains the version %s instead of %s: run `make bundle VERSION=%s`", file, before, version, version)
	}
	return os.WriteFile(file, []byte(changed), info.Mode().Perm())
}

// replaceVersion replaces one version (before) by another (version) in a text. The version has a v in front, except in
// the name of the Helm chart's archive.
func replaceVersion(text, before, version string) string {
	quoted := regexp.QuoteMeta(strings.TrimPrefix(before, "v"))
	text = regexp.MustCompile(`\bv`+quoted+`\b`).ReplaceAllString(text, version)
	return regexp.MustCompile(`\blbstack-`+quoted+`\.tgz\b`).ReplaceAllString(text, "lbstack-"+strings.TrimPrefix(version, "v")+".tgz")
}
