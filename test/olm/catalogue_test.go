package olm

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/test/eventually"
)

//go:embed catalogue.yaml
var catalogueServer string

// publish loads the image of a bundle and returns its name by digest.
func publish(t *testing.T, name, folder string) string {
	t.Helper()
	image, err := bundleImage(name, folder)
	must(t, err)
	must(t, bed.LoadImage(background(t), t.TempDir(), image))
	pinned, err := image.PinnedName()
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
func serve(t *testing.T, name, folder string) {
	t.Helper()
	content := read(t, folder)
	object, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "olm"},
		"data": map[string]any{"catalogue.yaml": content},
	})
	must(t, err)
	mustKubectl(t, string(object), "apply", "--server-side", "-f", "-")
	mustKubectl(t, strings.ReplaceAll(catalogueServer, "CONTENT", name), "apply", "--server-side", "-f", "-")
	mustKubectl(t, "", "-n", "olm", "rollout", "status", "deployment/catalogue", "--timeout=5m")
	prints(t, "READY", "-n", "olm", "get", "catalogsource/lbstack", "-o", "jsonpath={.status.connectionState.lastObservedState}")
}

// serveImage has OLM itself serve the image of a catalogue, by the CatalogSource of docs/install.md, under the name
// "released". The cluster has no DNS: the address of the Service that OLM makes goes into the hosts file of
// its catalogue operator.
func serveImage(t *testing.T, folder string) {
	t.Helper()
	const documented = "ghcr.io/lbstack/lbstack-catalog:" + current
	image, err := catalogueImage(documented, folder)
	must(t, err)
	must(t, bed.LoadImage(background(t), t.TempDir(), image))
	pinned, err := image.PinnedName()
	must(t, err)
	apply(t, documentation(t, "CatalogSource"), "name: lbstack,", "name: released,", "image: "+documented, "image: "+pinned)
	eventuallyPrints(t, "-n", "olm", "get", "pods", "-l", "olm.catalogSource=released", "-o", "jsonpath={.items[?(@.status.containerStatuses[0].ready==true)].metadata.name}")
	// The cluster has no DNS, and an operator that starts may make the Service anew, with another address.
	eventually.Succeed(t, within, "the content of the catalogue's image is served", func(ctx context.Context) error {
		address, err := kubectl(ctx, "", "-n", "olm", "get", "service/released", "-o", "jsonpath={.spec.clusterIP}")
		if err != nil {
			return err
		}
		if _, err := kubectl(ctx, "", "-n", "olm", "patch", "deployment/catalog-operator", "--type=merge", "-p",
			`{"spec":{"template":{"spec":{"hostAliases":[{"ip":"`+address+`","hostnames":["released.olm.svc"]}]}}}}`); err != nil {
			return err
		}
		state, err := kubectl(ctx, "", "-n", "olm", "get", "catalogsource/released", "-o", "jsonpath={.status.connectionState.lastObservedState}")
		if err == nil && state != "READY" {
			err = fmt.Errorf("the connection is %q", state)
		}
		return err
	})
}

// subscribe does what docs/install.md says, with the CatalogSource source.
func subscribe(t *testing.T, source string) {
	t.Helper()
	apply(t, documentation(t, "Subscription"), "source: lbstack", "source: "+source)
}

var (
	section  = regexp.MustCompile("(?s)\n## OLM\n(.*?)\n## ")
	manifest = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

// documentation is the manifest with an object of a kind in the section OLM of docs/install.md.
func documentation(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(bed.Repo, "docs", "install.md"))
	must(t, err)
	if of := section.FindSubmatch(text); of != nil {
		for _, block := range manifest.FindAllSubmatch(of[1], -1) {
			if strings.Contains(string(block[1]), "kind: "+kind+"\n") {
				return string(block[1])
			}
		}
	}
	t.Fatalf("docs/install.md has no manifest with a %s in its section OLM", kind)
	return ""
}

// apply applies a manifest with replacements, each of which must be there.
func apply(t *testing.T, text string, replacements ...string) {
	t.Helper()
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("the manifest does not have %q:\n%s", replacements[i], text)
		}
	}
	mustKubectl(t, strings.NewReplacer(replacements...).Replace(text), "apply", "--server-side", "-f", "-")
}
