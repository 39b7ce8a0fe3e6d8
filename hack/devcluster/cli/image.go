// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lbstack/lbstack/hack/devcluster/ociimage"
)

func imageCommand() *cobra.Command {
	var out string
	r := imageRecipe{}
	cmd := &cobra.Command{
		Use: "image --binary NAME=PATH... --out IMAGE.tar", Short: "Pack static programs into a container image", Args: cobra.NoArgs,
		Long: `image packs static programs into an image archive: each as /NAME, the first as
what a container starts, as the user of --user. An image of files alone starts nothing. The same input gives the same bytes.`,
		Example: "  devcluster image --binary operator=bin/operator --file /licenses/LICENSE=LICENSE --out dist/image.tar",
		RunE: func(*cobra.Command, []string) error {
			image, err := r.buildImage()
			if err != nil {
				return err
			}
			return writeImage(out, image)
		},
	}
	flags := cmd.Flags()
	// This --name hides the flag of the cluster, which the command does not use.
	flags.StringVar(&r.name, "name", "ghcr.io/lbstack/lbstack:dev", "name of the image, with tag")
	flags.StringVar(&r.architecture, "architecture", runtime.GOARCH, "what the programs are built for, as Go names it")
	flags.StringVar(&r.user, "user", ociimage.Nonroot, "uid:gid that a container runs as, unless its pod names another")
	flags.StringArrayVar(&r.binaries, "binary", nil, "NAME=PATH of a program; the first is the entrypoint")
	flags.StringArrayVar(&r.files, "file", nil, "PATH-IN-THE-IMAGE=PATH of a file to read")
	flags.StringArrayVar(&r.labels, "label", nil, "KEY=VALUE of a label")
	flags.StringVar(&out, "out", "dist/image.tar", "file to write")
	return cmd
}

// imageRecipe is the description of an image on the command line.
type imageRecipe struct {
	name, architecture, user string
	binaries, files, labels  []string
}

func (r imageRecipe) buildImage() (ociimage.Image, error) {
	image := ociimage.Image{Name: r.name, User: r.user, Architecture: r.architecture, Labels: map[string]string{}}
	for _, item := range r.binaries {
		program, path, err := splitPair("--binary", item)
		if err != nil {
			return ociimage.Image{}, err
		}
		image.Files = append(image.Files, ociimage.File{Path: "/" + program, Source: path})
	}
	if len(image.Files) > 0 {
		image.Entrypoint = []string{image.Files[0].Path}
	} else if len(r.files) == 0 {
		return ociimage.Image{}, fmt.Errorf("image %s: want at least one --binary or --file", r.name)
	}
	for _, item := range r.files {
		target, path, err := splitPair("--file", item)
		if err != nil {
			return ociimage.Image{}, err
		}
		image.Files = append(image.Files, ociimage.File{Path: target, Source: path, Mode: 0o644})
	}
	for _, item := range r.labels {
		key, value, err := splitPair("--label", item)
		if err != nil {
			return ociimage.Image{}, err
		}
		image.Labels[key] = value
	}
	return image, nil
}

// splitPair splits the value of a flag at its first equals sign.
func splitPair(flag, item string) (left, right string, err error) {
	left, right, ok := strings.Cut(item, "=")
	if !ok || left == "" || right == "" {
		return "", "", fmt.Errorf("%s %q: want two words with = between them", flag, item)
	}
	return left, right, nil
}

func writeImage(path string, image ociimage.Image) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the image's folder: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	if err := image.Write(f); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	return nil
}
