package olm

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

//go:embed catalogue.yaml
var catalogueServer string

// publish loads the image of a bundle and returns its name by digest.
func publish(t *testing.T, name, folder string) string {
	t.Helper()
	image, err := bundleImage(name, folder)
	must(t, err)
	must(t, load(background(t), t.TempDir(), image))
	pinned, err := image.Pinned()
	must(t, err)
	return pinned
}

// read returns the files of a catalogue as one.
func read(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"package.yaml", "bundles/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		must(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			must(t, err)
			fmt.Fprintf(&all, "---\n%s", strings.TrimPrefix(string(text), "---\n"))
		}
	}
	return all.String()
}

// serve has opm serve a catalogue, in place of the one before, and waits until OLM reads it.
func serve(t *testing.T, name, content string) {
	t.Helper()
	object, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "olm"},
		"data": map[string]any{"catalogue.yaml": content},
	})
	must(t, err)
	mustKubectl(t, string(object), "apply", "--server-side", "-f", "-")
	mustKubectl(t, strings.ReplaceAll(catalogueServer, "CONTENT", name), "apply", "--server-side", "-f", "-")
	mustKubectl(t, "", "-n", "olm", "rollout", "status", "deployment/catalogue", "--timeout=60s")
	prints(t, "READY", "-n", "olm", "get", "catalogsource/lbstack", "-o", "jsonpath={.status.connectionState.lastObservedState}")
}

var documented = regexp.MustCompile("(?s)\n## OLM\n.*?```yaml\n(.*?)```")

// subscribe does what docs/install.md says.
func subscribe(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(bed.Repo, "docs", "install.md"))
	must(t, err)
	match := documented.FindSubmatch(text)
	if match == nil {
		t.Fatal("docs/install.md has no manifest in its section OLM")
	}
	manifest := strings.NewReplacer("CATALOGUE", "lbstack", "sourceNamespace: NAMESPACE", "sourceNamespace: olm").Replace(string(match[1]))
	mustKubectl(t, manifest, "apply", "--server-side", "-f", "-")
}
