package release

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/hack/devcluster/programs"
)

// TestCatalogue_WithSkips has opm check catalogues whose releases skip others: each of them has one newest
// version, and none that no upgrade reaches.
func TestCatalogue_WithSkips(t *testing.T) {
	repo, err := programs.FindRepo(".")
	if err != nil {
		t.Fatal(err)
	}
	version := strings.TrimSpace(line(t, repo, "Makefile", "VERSION ?= "))
	entry := string(read(t, filepath.Join(repo, "catalog", "lbstack", "bundles", version+".yaml")))
	tests := []struct {
		name  string
		skips map[string]string // by the earlier release or the present one
	}{
		{"the release before", map[string]string{version: "v0.0.3"}},
		{"the two releases before", map[string]string{version: "v0.0.3, v0.0.2"}},
		{"all releases before", map[string]string{version: "v0.0.1, v0.0.2, v0.0.3"}},
		{"a release that skips one", map[string]string{"v0.0.3": "v0.0.2", version: "v0.0.3"}},
		{"not the release before, but an older one", map[string]string{version: "v0.0.2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			releases := "package: lbstack\ndefaultChannel: stable-v0\nreleases:\n"
			for i, earlier := range []string{"v0.0.1", "v0.0.2", "v0.0.3", version} {
				releases += fmt.Sprintf("- {version: %s, date: \"2026-11-29\", channels: [candidate-v0, stable-v0], skips: [%s]}\n", earlier, tt.skips[earlier])
				if earlier != version {
					pinned := strings.Replace(entry, "image: ghcr.io/lbstack/lbstack-bundle:"+version, "image: ghcr.io/lbstack/lbstack-bundle@sha256:"+strings.Repeat(fmt.Sprint(i), 64), 1)
					write(filepath.Join("lbstack", "bundles", earlier+".yaml"), strings.ReplaceAll(strings.ReplaceAll(pinned, version, earlier), "version: "+version[1:], "version: "+earlier[1:]))
				}
			}
			write("releases.yaml", releases)
			cmd := exec.CommandContext(t.Context(), "go", "run", "./hack/catalog", "-version", version, "-image", "ghcr.io/lbstack/lbstack-bundle:"+version,
				"-releases", filepath.Join(dir, "releases.yaml"), "-to", dir)
			cmd.Dir = repo
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("the catalogue of these releases: %v: %s\n%s", err, output, releases)
			}
		})
	}
}

// line returns what follows a prefix in a file of the repository.
func line(t *testing.T, repo, name, prefix string) string {
	t.Helper()
	for text := range strings.Lines(string(read(t, filepath.Join(repo, name)))) {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			return rest
		}
	}
	t.Fatalf("%s has no line that begins with %q", name, prefix)
	return ""
}
