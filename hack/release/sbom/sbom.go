// Package sbom writes the software bill of materials of a container image or an archive, in the format SPDX
// 2.3 (https://spdx.github.io/spdx-spec/v2.3). The document lists the programs, and the Go modules in the
// build information of each program.
package sbom

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Product is the product that a document describes: an image or an archive, for one platform.
type Product struct {
	// Name is the name of the product, such as lbstack.
	Name string
	// Version is the version of the product, such as v1.2.3.
	Version string
	// OS and Architecture are in the spelling of Go.
	OS, Architecture string
	// Image is set if the product is a container image.
	Image *Image
	// Archive is set if the product is an archive.
	Archive *Archive
	// Released is the time of the release. The document has it as its time of creation.
	Released time.Time
	// Programs are the programs in the product.
	Programs []Program
}

// Image identifies a container image in a registry.
type Image struct {
	// Repository is the repository of the image, such as ghcr.io/lbstack/lbstack.
	Repository string
	// Digest is the digest of the image, sha256:.... For an image for several platforms it is the digest of
	// the index.
	Digest string
}

// Archive identifies an archive.
type Archive struct {
	// Location is the URL from which the archive is downloaded.
	Location string
	// SHA256 is the checksum of the archive, in hexadecimal digits.
	SHA256 string
}

// Program is one executable file.
type Program struct {
	Name   string
	SHA256 string
	Build  *debug.BuildInfo
}

// The types of an SPDX document. They have only the fields that Document writes.
type (
	document struct {
		Version       string         `json:"spdxVersion"`
		DataLicense   string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creationInfo   `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Relationships []relationship `json:"relationships"`
	}
	creationInfo struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID               string              `json:"SPDXID"`
		Name             string              `json:"name"`
		Version          string              `json:"versionInfo"`
		Purpose          string              `json:"primaryPackagePurpose"`
		Supplier         string              `json:"supplier"`
		DownloadLocation string              `json:"downloadLocation"`
		FilesAnalyzed    bool                `json:"filesAnalyzed"`
		LicenseConcluded string              `json:"licenseConcluded"`
		LicenseDeclared  string              `json:"licenseDeclared"`
		Copyright        string              `json:"copyrightText"`
		Checksums        []checksum          `json:"checksums,omitempty"`
		References       []externalReference `json:"externalRefs,omitempty"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	externalReference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	relationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

const (
	documentID  = "SPDXRef-DOCUMENT"
	noAssertion = "NOASSERTION"
	ownLicense  = "Apache-2.0"
	ownSupplier = "Organization: lbstack"
)

// Document returns the bill of materials of a product as JSON. The same product gives the same bytes.
func Document(product Product) ([]byte, error) {
	root := product.rootPackage()
	doc := document{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: documentID, Name: strings.Join([]string{product.Name, product.Version, product.OS, product.Architecture}, "-"),
		Creation:      creationInfo{Created: product.Released.UTC().Format(time.RFC3339), Creators: []string{ownSupplier, "Tool: lbstack-release-" + product.Version}},
		Packages:      []spdxPackage{root},
		Relationships: []relationship{{documentID, "DESCRIBES", root.ID}},
	}
	modules := map[string]spdxPackage{}
	for _, program := range product.Programs {
		p := spdxPackage{
			ID: spdxID("Program", program.Name), Name: program.Name, Version: product.Version, Purpose: "APPLICATION", Supplier: ownSupplier,
			DownloadLocation: noAssertion, LicenseConcluded: noAssertion, LicenseDeclared: ownLicense, Copyright: noAssertion,
			Checksums: []checksum{{"SHA256", program.SHA256}},
		}
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, relationship{root.ID, "CONTAINS", p.ID})
		for _, m := range linkedModules(program.Build) {
			if other, ok := modules[m.ID]; ok && (other.Name != m.Name || other.Version != m.Version) {
				return nil, fmt.Errorf("the modules %s %s and %s %s have the same identifier %s", other.Name, other.Version, m.Name, m.Version, m.ID)
			}
			modules[m.ID] = m
			doc.Relationships = append(doc.Relationships, relationship{p.ID, "DEPENDS_ON", m.ID})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(modules)) {
		doc.Packages = append(doc.Packages, modules[key])
	}
	// Different documents must have different namespaces: the namespace contains a hash of the document.
	content, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encoding the bill of materials: %w", err)
	}
	doc.Namespace = fmt.Sprintf("https://lbstack.io/spdx/%s-%x", doc.Name, sha256.Sum256(content))
	if content, err = json.MarshalIndent(doc, "", "  "); err != nil {
		return nil, fmt.Errorf("encoding the bill of materials: %w", err)
	}
	return append(content, '\n'), nil
}

// rootPackage returns the SPDX package for the product itself.
func (p Product) rootPackage() spdxPackage {
	root := spdxPackage{Version: p.Version, Supplier: ownSupplier, LicenseConcluded: ownLicense, LicenseDeclared: ownLicense, Copyright: noAssertion}
	if p.Image != nil {
		root.ID, root.Name, root.Purpose, root.DownloadLocation = spdxID("Image", p.Name), p.Image.Repository, "CONTAINER", noAssertion
		root.References = []externalReference{{"PACKAGE-MANAGER", "purl", fmt.Sprintf("pkg:oci/%s@%s?arch=%s&repository_url=%s",
			p.Name, url.QueryEscape(p.Image.Digest), p.Architecture, url.QueryEscape(p.Image.Repository))}}
		return root
	}
	root.ID, root.Name, root.Purpose, root.DownloadLocation = spdxID("Archive", p.Name), path.Base(p.Archive.Location), "ARCHIVE", p.Archive.Location
	root.Checksums = []checksum{{"SHA256", p.Archive.SHA256}}
	return root
}

// linkedModules returns an SPDX package for each module that is linked into a program, and one for the standard
// library.
func linkedModules(build *debug.BuildInfo) []spdxPackage {
	packages := []spdxPackage{modulePackage("stdlib", strings.TrimPrefix(build.GoVersion, "go"))}
	for _, dependency := range build.Deps {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		packages = append(packages, modulePackage(dependency.Path, dependency.Version))
	}
	return packages
}

func modulePackage(path, version string) spdxPackage {
	return spdxPackage{
		ID: spdxID("Module", path, version), Name: path, Version: cmp.Or(version, noAssertion), Purpose: "LIBRARY", Supplier: noAssertion,
		DownloadLocation: noAssertion, LicenseConcluded: noAssertion, LicenseDeclared: noAssertion, Copyright: noAssertion,
		References: []externalReference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + url.QueryEscape(version)}},
	}
}

// spdxID joins the parts to an SPDX identifier. It replaces characters other than letters, digits, dots and
// hyphens, which are not allowed in identifiers.
func spdxID(parts ...string) string {
	return "SPDXRef-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, strings.Join(parts, "-"))
}
