package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/hack/releases"
)

// These runs end before opm is needed.
func TestRun_Refuses(t *testing.T) {
	tests := []struct {
		name, version, releases string
		want                    string
	}{
		{"a bundle of another version", "v0.3.0", "v0.1.0", "the bundle is lbstack.v0.2.0, but the catalogue is made for lbstack.v0.3.0"},
		{"an earlier release whose bundle is gone", "v0.2.0", "v0.0.9", "the bundle of the release v0.0.9 is missing in the catalogue"},
		{"an earlier release whose bundle is named by tag", "v0.2.0", "v0.1.0", "replace the file by lbstack-v0.1.0-catalog.yaml of that release"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tree(t, tt.releases)
			err := run(t.Context(), options{version: tt.version, opm: "opm-is-not-needed", bundle: filepath.Join(dir, "bundle"), releases: filepath.Join(dir, "releases.yaml"), to: dir})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestPackageAndChannels(t *testing.T) {
	dir := tree(t, "v0.1.0", "v0.2.0")
	csv, err := readCSV(filepath.Join(dir, "bundle", "manifests", "lbstack.clusterserviceversion.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := releases.Read(filepath.Join(dir, "releases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := encodePackage(csv, list)
	if err != nil {
		t.Fatal(err)
	}
	const want = `---
defaultChannel: stable-v0
description: Load balancers.
icon:
  base64data: PHN2Zy8+
  mediatype: image/svg+xml
name: lbstack
schema: olm.package
---
entries:
- name: lbstack.v0.1.0
- name: lbstack.v0.2.0
  replaces: lbstack.v0.1.0
name: stable-v0
package: lbstack
schema: olm.channel
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("package and channels (-want +got):\n%s", diff)
	}
}

// tree has a bundle of v0.2.0, a list of releases, and the bundle of v0.1.0, which was never released.
func tree(t *testing.T, versions ...string) string {
	t.Helper()
	dir := t.TempDir()
	list := "package: lbstack\ndefaultChannel: stable-v0\nreleases:\n"
	for _, version := range versions {
		list += "- {version: " + version + `, date: "2026-11-29", channels: [stable-v0]}` + "\n"
	}
	csv := "metadata:\n  name: lbstack.v0.2.0\n  annotations: {description: Load balancers.}\nspec:\n  icon: [{base64data: PHN2Zy8+, mediatype: image/svg+xml}]\n"
	for name, text := range map[string]string{"releases.yaml": list, "bundle/manifests/lbstack.clusterserviceversion.yaml": csv, "lbstack/bundles/v0.1.0.yaml": "---\nimage: registry.example/bundle:v0.1.0\n"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
