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
		Long: `image packs static programs into an image archive. Each program becomes the file /NAME.
A container starts the first program, as the user of --user. An image without a program
(only --file) starts nothing. The same input gives the same archive, byte for byte.`,
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
	// This flag --name replaces the common flag --name: the command needs no cluster.
	flags.StringVar(&r.name, "name", "ghcr.io/lbstack/lbstack:dev", "name of the image, with tag")
	flags.StringVar(&r.architecture, "architecture", runtime.GOARCH, "architecture of the programs, as Go names it: amd64, arm64")
	flags.StringVar(&r.user, "user", ociimage.NonrootUser, "user of a container as uid:gid, unless its pod sets another user")
	flags.StringArrayVar(&r.binaries, "binary", nil, "NAME=PATH of a program; the first program is the entrypoint")
	flags.StringArrayVar(&r.files, "file", nil, "PATH-IN-THE-IMAGE=PATH of a file to add")
	flags.StringArrayVar(&r.labels, "label", nil, "KEY=VALUE of a label")
	flags.StringVar(&out, "out", "dist/image.tar", "file to write")
	return cmd
}

// imageRecipe has the flags that describe an image.
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
		return ociimage.Image{}, fmt.Errorf("image %s would be empty: give at least one --binary or --file", r.name)
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
		return "", "", fmt.Errorf("%s %q: want a value with = between two parts that are not empty", flag, item)
	}
	return left, right, nil
}

func writeImage(path string, image ociimage.Image) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of the image archive: %w", err)
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
