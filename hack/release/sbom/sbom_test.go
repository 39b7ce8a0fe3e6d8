package sbom

import (
	"bytes"
	"encoding/json"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func example() Product {
	module := func(path, version string) *debug.Module { return &debug.Module{Path: path, Version: version} }
	replaced := module("example.com/old", "v1.0.0")
	replaced.Replace = module("example.com/fork", "v1.0.1")
	return Product{
		Name: "lbstack", Version: "v1.2.3", OS: "linux", Architecture: "arm64",
		Image: &Image{Repository: "ghcr.io/lbstack/lbstack", Digest: "sha256:00"}, Released: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC),
		Programs: []Program{
			{Name: "operator", SHA256: "aa", Build: &debug.BuildInfo{GoVersion: "go1.26.1", Deps: []*debug.Module{module("k8s.io/api", "v0.37.2"), replaced}}},
			{Name: "speaker", SHA256: "bb", Build: &debug.BuildInfo{GoVersion: "go1.26.1", Deps: []*debug.Module{module("k8s.io/api", "v0.37.2"), module("example.com/x_y", "v0.0.0+incompatible")}}},
		},
	}
}

func TestDocument(t *testing.T) {
	text, err := Document(example())
	if err != nil {
		t.Fatal(err)
	}
	var got document
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	var packages, ids []string
	for _, p := range got.Packages {
		packages = append(packages, p.Purpose+" "+p.Name+" "+p.Version)
		ids = append(ids, p.ID)
		if !regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`).MatchString(p.ID) {
			t.Errorf("identifier %q: want letters, digits, dots and hyphens", p.ID)
		}
	}
	want := []string{
		"CONTAINER ghcr.io/lbstack/lbstack v1.2.3", "APPLICATION operator v1.2.3", "APPLICATION speaker v1.2.3",
		"LIBRARY example.com/fork v1.0.1", "LIBRARY example.com/x_y v0.0.0+incompatible", "LIBRARY k8s.io/api v0.37.2", "LIBRARY stdlib 1.26.1",
	}
	if diff := cmp.Diff(want, packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	var relations []string
	for _, r := range got.Relationships {
		relations = append(relations, strings.ReplaceAll(r.Element+" "+r.Type+" "+r.Related, "SPDXRef-", ""))
		for _, element := range []string{r.Element, r.Related} {
			if element != documentID && !slices.Contains(ids, element) {
				t.Errorf("%s of a relationship is no package", element)
			}
		}
	}
	wantRelations := []string{
		"DOCUMENT DESCRIBES Image-lbstack",
		"Image-lbstack CONTAINS Program-operator", "Program-operator DEPENDS_ON Module-stdlib-1.26.1",
		"Program-operator DEPENDS_ON Module-k8s.io-api-v0.37.2", "Program-operator DEPENDS_ON Module-example.com-fork-v1.0.1",
		"Image-lbstack CONTAINS Program-speaker", "Program-speaker DEPENDS_ON Module-stdlib-1.26.1",
		"Program-speaker DEPENDS_ON Module-k8s.io-api-v0.37.2", "Program-speaker DEPENDS_ON Module-example.com-x-y-v0.0.0-incompatible",
	}
	if diff := cmp.Diff(wantRelations, relations); diff != "" {
		t.Errorf("relationships (-want +got):\n%s", diff)
	}
	locators := []string{got.Packages[0].References[0].Locator, got.Packages[4].References[0].Locator}
	wantLocators := []string{
		"pkg:oci/lbstack@sha256%3A00?arch=arm64&repository_url=ghcr.io%2Flbstack%2Flbstack", "pkg:golang/example.com/x_y@v0.0.0%2Bincompatible",
	}
	if diff := cmp.Diff(wantLocators, locators); diff != "" {
		t.Errorf("package URLs (-want +got):\n%s", diff)
	}
	if got.Creation.Created != "2026-11-29T00:00:00Z" || got.Packages[2].Checksums[0] != (checksum{"SHA256", "bb"}) {
		t.Errorf("created %s, checksum of the speaker %v", got.Creation.Created, got.Packages[2].Checksums)
	}
}

func TestDocument_Archive(t *testing.T) {
	const location = "https://example.com/v1.2.3/tool-v1.2.3-darwin-arm64.tar.gz"
	product := example()
	product.Name, product.OS, product.Image, product.Archive = "tool", "darwin", nil, &Archive{Location: location, SHA256: "dd"}
	text, err := Document(product)
	if err != nil {
		t.Fatal(err)
	}
	var got document
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := spdxPackage{
		ID: "SPDXRef-Archive-tool", Name: "tool-v1.2.3-darwin-arm64.tar.gz", Version: "v1.2.3", Purpose: "ARCHIVE", Supplier: ownSupplier, DownloadLocation: location,
		LicenseConcluded: ownLicense, LicenseDeclared: ownLicense, Copyright: noAssertion, Checksums: []checksum{{"SHA256", "dd"}},
	}
	if diff := cmp.Diff(want, got.Packages[0]); diff != "" || got.Name != "tool-v1.2.3-darwin-arm64" {
		t.Errorf("document %s, what it describes (-want +got):\n%s", got.Name, diff)
	}
}

func TestDocument_NamespaceFollowsTheContent(t *testing.T) {
	namespace := func(product Product) string {
		text, err := Document(product)
		if err != nil {
			t.Fatal(err)
		}
		var d document
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		return d.Namespace
	}
	other := example()
	other.Programs[0].SHA256 = "cc"
	first, again, changed := namespace(example()), namespace(example()), namespace(other)
	if first != again || first == changed {
		t.Errorf("namespaces of two equal documents and another one: %s, %s, %s", first, again, changed)
	}
}

func TestDocument_RefusesModulesThatCannotBeDistinguished(t *testing.T) {
	image := example()
	image.Programs[0].Build.Deps = []*debug.Module{{Path: "example.com/a_b", Version: "v1.0.0"}, {Path: "example.com/a/b", Version: "v1.0.0"}}
	if _, err := Document(image); err == nil || !strings.Contains(err.Error(), "same identifier") {
		t.Errorf("got %v, want an error: both modules have the same identifier", err)
	}
}
