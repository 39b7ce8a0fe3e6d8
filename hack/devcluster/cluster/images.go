// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/lbstack/lbstack/hack/devcluster/config"
	"github.com/lbstack/lbstack/hack/devcluster/ociimage"
	"github.com/lbstack/lbstack/hack/devcluster/state"
)

// WebImage is an image that every node has: a tiny HTTP server on port 8080. It
// responds with its host name and the client's address.
const WebImage = "localhost/lbstack/web:1"

// moduleDir is the folder of the test bed's Go module in the repository.
const moduleDir = "hack/devcluster"

// ownImage is an image that is built from a package of the test bed's module.
type ownImage struct {
	name, packagePath, user string
}

// ownImages returns the images by the name of their program.
func ownImages() map[string]ownImage {
	return map[string]ownImage{
		"pause": {config.PauseImage, "./images/pause", ociimage.NonrootUser},
		"web":   {WebImage, "./images/web", ociimage.NonrootUser},
	}
}

func (c *Cluster) archivePath(image string) string {
	return filepath.Join(c.dir, "images", image+".tar")
}

// ensureImages builds the test bed's own images that do not exist yet.
func (c *Cluster) ensureImages(ctx context.Context, repo string) error {
	for short, image := range ownImages() {
		archive := c.archivePath(short)
		if fileExists(archive) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
			return fmt.Errorf("making the folder of images: %w", err)
		}
		binary := filepath.Join(filepath.Dir(archive), short)
		if err := goBuild(ctx, repo, image.packagePath, binary); err != nil {
			return err
		}
		err := writeImage(archive, ociimage.Image{
			Name: image.name, Entrypoint: []string{"/" + short}, User: image.user, Architecture: runtime.GOARCH,
			Files: []ociimage.File{{Path: "/" + short, Source: binary}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// loadImages loads the test bed's own images into the node, except for images that are
// already on its disk.
func (c *Cluster) loadImages(ctx context.Context, node string) error {
	s, err := state.Load(c.dir)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	for short, image := range ownImages() {
		if slices.Contains(s.Hosts[node].Images, image.name) {
			continue
		}
		// containerd begins to listen some time after the node has started.
		err := pollUntilSuccess(ctx, func(ctx context.Context) error { return c.loadIntoNode(ctx, node, c.archivePath(short)) })
		if err != nil {
			return fmt.Errorf("loading image %s: %w", image.name, err)
		}
		if err := c.recordHost(node, func(h *state.Host) { h.Images = append(h.Images, image.name) }); err != nil {
			return err
		}
	}
	return nil
}

// goBuild builds a package of the test bed's module into a static program.
func goBuild(ctx context.Context, repo, packagePath, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, packagePath)
	cmd.Dir = filepath.Join(repo, moduleDir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", packagePath, err, output)
	}
	return nil
}

func writeImage(path string, image ociimage.Image) error {
	next := path + ".new"
	f, err := os.Create(next)
	if err != nil {
		return fmt.Errorf("writing image %s: %w", image.Name, err)
	}
	if err := image.Write(f); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing image %s: %w", image.Name, err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("writing image %s: %w", image.Name, err)
	}
	return nil
}

// ensureExecutable puts the program that is the first process of hosts into the
// cluster's folder, so that a change of the source does not affect a running
// cluster. It copies the running program, or builds the program from the
// repository if running is empty.
func (c *Cluster) ensureExecutable(ctx context.Context, repo, running string) error {
	if fileExists(c.executablePath()) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(c.executablePath()), 0o755); err != nil {
		return fmt.Errorf("making the folder of programs: %w", err)
	}
	next := c.executablePath() + ".new"
	if running == "" {
		if err := goBuild(ctx, repo, ".", next); err != nil {
			return err
		}
	} else if err := copyFile(running, next); err != nil {
		return err
	}
	if err := os.Rename(next, c.executablePath()); err != nil {
		return fmt.Errorf("moving the program into the folder of programs: %w", err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copying the program: %w", err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("copying the program: %w", err)
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return fmt.Errorf("copying the program: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("copying the program: %w", err)
	}
	return nil
}
