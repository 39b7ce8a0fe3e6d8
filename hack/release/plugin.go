package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lbstack/lbstack/hack/release/archive"
	"github.com/lbstack/lbstack/hack/release/krew"
	"github.com/lbstack/lbstack/hack/release/sbom"
)

// downloadURL is the URL of the published releases. The files of a release are in the folder of its version
// below that URL.
const downloadURL = "https://github.com/lbstack/lbstack/releases/download/"

// writePlugin writes an archive with the kubectl plugin and a bill of materials for each platform, and the
// manifest for krew.
func (b builder) writePlugin() error {
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return fmt.Errorf("reading the license: %w", err)
	}
	var archives []krew.Archive
	for _, system := range b.systems {
		for _, architecture := range b.architectures {
			written, err := b.writePluginFor(system, architecture, license)
			if err != nil {
				return err
			}
			archives = append(archives, written)
		}
	}
	manifest, err := krew.Manifest(b.version, archives)
	if err != nil {
		return err
	}
	return b.writeFile("krew.yaml", manifest)
}

func (b builder) writePluginFor(system, architecture string, license []byte) (krew.Archive, error) {
	program, content, err := readProgram(filepath.Join(b.built, system+"-"+architecture), krew.ProgramName)
	if err != nil {
		return krew.Archive{}, err
	}
	packed, err := archive.TarGz(map[string][]byte{krew.ProgramName: content, "LICENSE": license}, krew.ProgramName)
	if err != nil {
		return krew.Archive{}, err
	}
	name := fmt.Sprintf("%s-%s-%s-%s.tar.gz", krew.ProgramName, b.version, system, architecture)
	if err := b.writeFile(name, packed); err != nil {
		return krew.Archive{}, err
	}
	written := krew.Archive{OS: system, Architecture: architecture, Location: downloadURL + b.version + "/" + name, SHA256: fmt.Sprintf("%x", sha256.Sum256(packed))}
	return written, b.writeBill(sbom.Product{
		Name: krew.ProgramName, OS: system, Architecture: architecture, Programs: []sbom.Program{program},
		Archive: &sbom.Archive{Location: written.Location, SHA256: written.SHA256},
	})
}
