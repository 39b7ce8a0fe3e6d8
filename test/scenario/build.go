package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/lbstack/lbstack/hack/devcluster/ociimage"
)

// Build is a version of lbstack that is built from this tree, for tests that change versions.
type Build struct {
	// Version is vMAJOR.MINOR.PATCH; the programs report it, and the image is released under it.
	Version string
	// Speaker is a program in place of the speaker; "": the speaker of the tree.
	Speaker string
	// Replaced is the text of files of the tree that differ in this version, by their path in it.
	Replaced map[string]string
}

// Image is the name by which the image of the version is released.
func (b Build) Image() string { return "ghcr.io/lbstack/lbstack:" + b.Version }

// LoadBuild builds a version as `make build` does, and loads its image into the nodes. It writes into the folder
// scratch.
func (s *Scenario) LoadBuild(ctx context.Context, scratch string, b Build) error {
	image := ociimage.Image{Name: b.Image(), Entrypoint: []string{"/operator"}, User: ociimage.NonrootUser, Architecture: runtime.GOARCH}
	wanted := "operator controller speaker"
	if b.Speaker != "" {
		wanted = "operator controller"
		image.Files = append(image.Files, ociimage.File{Path: "/speaker", Source: b.Speaker})
	}
	arguments := []string{"--no-print-directory", "build", "VERSION=" + b.Version, "BIN=" + scratch, "PROGRAMS=" + wanted}
	if len(b.Replaced) > 0 {
		overlay, err := b.overlay(s.Repo, scratch)
		if err != nil {
			return err
		}
		arguments = append(arguments, "GOFLAGS=-trimpath -buildvcs=false -overlay="+overlay)
	}
	cmd := exec.CommandContext(ctx, "make", arguments...)
	cmd.Dir = s.Repo
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building lbstack %s: %w: %s", b.Version, err, out)
	}
	for name := range strings.FieldsSeq(wanted) {
		image.Files = append(image.Files, ociimage.File{Path: "/" + name, Source: filepath.Join(scratch, name)})
	}
	return s.LoadImage(ctx, scratch, image)
}

// overlay writes the replaced files, and the list of them for the compiler.
func (b Build) overlay(repo, scratch string) (string, error) {
	replace := map[string]string{}
	for name, text := range b.Replaced {
		file := filepath.Join(scratch, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("writing %s of lbstack %s: %w", name, b.Version, err)
		}
		replace[filepath.Join(repo, name)] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("listing the files of lbstack %s: %w", b.Version, err)
	}
	file := filepath.Join(scratch, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

// LoadImage loads an image into the nodes. It writes into the folder scratch.
func (s *Scenario) LoadImage(ctx context.Context, scratch string, image ociimage.Image) error {
	archive := filepath.Join(scratch, "image.tar")
	file, err := os.Create(archive)
	if err != nil {
		return fmt.Errorf("writing the image %s: %w", image.Name, err)
	}
	if err := image.Write(file); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("writing the image %s: %w", image.Name, err)
	}
	return s.Cluster.LoadImage(ctx, archive)
}
