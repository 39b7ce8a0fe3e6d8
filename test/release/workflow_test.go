package release

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// recorder stands for a tool of the workflow: it writes down how it is called, and fails, as the tool would,
// if an argument names a file of the release that does not exist.
const recorder = `#!/usr/bin/env bash
set -euo pipefail
echo "$(basename "$0") $*" >>"$CALLS"
while [ $# -gt 0 ]; do
  file=${1#oci-archive:}
  case $file in
  *.sigstore.json) : >"$file" ;;
  dist/*) [ -f "$file" ] || { echo "$file does not exist" >&2; exit 1; } ;;
  --digestfile) shift; echo -n "sha256:of-$(basename "$2")" >"$1" ;;
  esac
  shift
done
`

// checkWorkflow runs what the workflow of releases does with the files after they are made, with recorders for
// the tools that push, sign and publish.
func checkWorkflow(t *testing.T, repo, version string, files map[string][]byte) {
	dir, calls := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	write := func(name string, content []byte, mode os.FileMode) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		write(filepath.Join("dist", "release", name), content, 0o644)
	}
	for _, tool := range []string{"skopeo", "cosign", "gh"} {
		write(filepath.Join("tools", tool), []byte(recorder), 0o755)
	}
	for _, step := range publishing(t, repo) {
		cmd := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", step.Run)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "tools")+":"+os.Getenv("PATH"), "CALLS="+calls, "VERSION="+version, "REGISTRY=registry.example/lbstack")
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("the step %q: %v: %s", step.Name, err, output)
		}
	}
	var want []string
	for _, image := range [][2]string{{"image", "lbstack"}, {"bundle", "lbstack-bundle"}, {"catalog", "lbstack-catalog"}} {
		archive, repository := "oci-archive:dist/release/lbstack-"+version+"-"+image[0]+".tar", "registry.example/lbstack/"+image[1]
		want = append(want, "skopeo copy --all --preserve-digests --digestfile digest "+archive+" docker://"+repository+":"+version,
			"cosign sign --yes --recursive "+repository+"@sha256:of-"+filepath.Base(archive))
	}
	published := append(slices.Collect(maps.Keys(files)), "SHA256SUMS.sigstore.json")
	for i, name := range published {
		published[i] = "dist/release/" + name
	}
	want = append(want, "cosign sign-blob --yes --new-bundle-format --bundle dist/release/SHA256SUMS.sigstore.json dist/release/SHA256SUMS",
		"gh release create "+version+" --draft --verify-tag --generate-notes --title "+version)
	got := strings.Split(strings.TrimSpace(string(read(t, calls))), "\n")
	last, released, _ := strings.Cut(got[len(got)-1], " dist/")
	got[len(got)-1] = last
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the workflow runs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(published)), slices.Sorted(strings.FieldsSeq("dist/"+released))); diff != "" {
		t.Errorf("files of the published release (-want +got):\n%s", diff)
	}
}

type step struct{ Name, Run string }

// recorded is a line that begins with a tool for which there is a recorder.
var recorded = regexp.MustCompile(`(?m)^\s*(skopeo|cosign|gh) `)

// publishing are the steps of the workflow that push, sign and publish. No other step is run: they install
// packages, and log in.
func publishing(t *testing.T, repo string) []step {
	t.Helper()
	var workflow struct {
		Jobs map[string]struct{ Steps []step }
	}
	if err := yaml.Unmarshal(read(t, filepath.Join(repo, ".github", "workflows", "release.yml")), &workflow); err != nil {
		t.Fatal(err)
	}
	var steps []step
	for _, s := range workflow.Jobs["release"].Steps {
		if recorded.MatchString(s.Run) {
			steps = append(steps, s)
		}
	}
	return steps
}
