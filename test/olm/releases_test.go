package olm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/test/scenario"
)

const (
	// earlier is the release before the one of the repository. It is built from the same tree; its CRD of
	// communities has a field more.
	earlier = "v0.0.9"
	// current is the release of the repository; `make bundle VERSION=...` sets it.
	current = "v0.1.0"
	// broken is a release after it: its speaker ends as soon as it starts.
	broken = "v9.0.0"
)

// extraField is what the CRD of the earlier release has and the current one does not.
const extraField = "ofTheEarlierVersion"

func csvOf(version string) string { return "lbstack." + version }

func imageOf(version string) string { return scenario.Build{Version: version}.Image() }

// build builds a version and loads its image. A speaker that is given replaces its own.
func build(t *testing.T, version, speaker string) {
	t.Helper()
	must(t, bed.LoadBuild(background(t), t.TempDir(), scenario.Build{Version: version, Speaker: speaker}))
}

// makeBundle makes the bundle of a version as `make bundle VERSION=...` does, and returns its folder.
func makeBundle(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	repoRun(t, "go", "run", "./hack/bundle", "-version", version, "-image", imageOf(version), "-out", dir)
	return filepath.Join(dir, "bundle")
}

// addField gives the CRD of communities in a bundle the field of the earlier release.
func addField(t *testing.T, bundle string) {
	t.Helper()
	file := filepath.Join(bundle, "manifests", "lbstack.io_communities.yaml")
	text, err := os.ReadFile(file)
	must(t, err)
	const before = "\n              communities:\n"
	if strings.Count(string(text), before) != 1 {
		t.Fatalf("%s does not have the field communities once", file)
	}
	changed := strings.Replace(string(text), before, "\n              "+extraField+":\n                type: string"+before, 1)
	must(t, os.WriteFile(file, []byte(changed), 0o600))
}

// catalogue grows by one release after the other, as that of the repository does.
type catalogue struct {
	dir      string
	releases string
}

// add publishes the bundle of a release, makes the catalogue with it as `make catalog` does, and returns its folder.
func (c *catalogue) add(t *testing.T, version, bundle string) string {
	t.Helper()
	if c.dir == "" {
		c.dir, c.releases = t.TempDir(), "package: lbstack\ndefaultChannel: stable-v0\nreleases:\n"
	}
	c.releases += fmt.Sprintf("- {version: %s, date: \"2026-11-29\", channels: [candidate-v0, stable-v0]}\n", version)
	list := filepath.Join(c.dir, "releases.yaml")
	must(t, os.WriteFile(list, []byte(c.releases), 0o600))
	pinned := publish(t, "ghcr.io/lbstack/lbstack-bundle:"+version, bundle)
	repoRun(t, "go", "run", "./hack/catalog", "-version", version, "-image", pinned, "-bundle", bundle, "-releases", list, "-to", c.dir)
	return filepath.Join(c.dir, "lbstack")
}

// repoRun runs a program in the root of the repository.
func repoRun(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(background(t), name, args...)
	cmd.Dir = bed.Repo
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}
