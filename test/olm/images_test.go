package olm

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/lbstack/lbstack/hack/devcluster/ociimage"
)

// programImages are the images of OLM and of scorecard. Their programs are in bin/olm.
func programImages() []ociimage.Image {
	program := func(path, name string) ociimage.File {
		return ociimage.File{Path: path, Source: filepath.Join(bed.Repo, "bin", name)}
	}
	return []ociimage.Image{
		{Name: "localhost/lbstack/olm:1", User: ociimage.NonrootUser, Architecture: runtime.GOARCH, Files: []ociimage.File{
			program("/bin/olm", "olm/olm"), program("/bin/catalog", "olm/catalog"), program("/bin/cpb", "olm/cpb"), program("/bin/opm", "opm"),
			program("/bin/copy-content", "olm/copy-content"), program("/bin/cp", "olm/box"), program("/bin/tar", "olm/box"), program("/bin/grpc_health_probe", "olm/box"),
		}},
		{Name: "quay.io/operator-framework/scorecard-test:v1.42.3", User: ociimage.NonrootUser, Architecture: runtime.GOARCH, Files: []ociimage.File{
			program("/bin/scorecard-test", "olm/scorecard-test"),
		}},
	}
}

// opmImage is what serves a catalogue whose content is extracted. OLM has it pulled each time unless
// it is named by digest.
func opmImage() ociimage.Image {
	return ociimage.Image{Name: "localhost/lbstack/opm:1", User: ociimage.NonrootUser, Architecture: runtime.GOARCH, ByDigest: true, Files: []ociimage.File{
		{Path: "/bin/opm", Source: filepath.Join(bed.Repo, "bin", "opm")}, {Path: "/bin/grpc_health_probe", Source: filepath.Join(bed.Repo, "bin", "olm", "box")},
	}}
}

// bundleImage is the image that bundle.Dockerfile makes of a folder with a bundle.
func bundleImage(name, folder string) (ociimage.Image, error) {
	image := ociimage.Image{Name: name, Architecture: runtime.GOARCH, ByDigest: true, Labels: map[string]string{}}
	recipe, err := os.ReadFile(filepath.Join(bed.Repo, "bundle.Dockerfile"))
	if err != nil {
		return image, fmt.Errorf("reading how the image of the bundle is made: %w", err)
	}
	for line := range strings.Lines(string(recipe)) {
		if label, is := strings.CutPrefix(strings.TrimSpace(line), "LABEL "); is {
			key, value, _ := strings.Cut(label, "=")
			image.Labels[key] = value
		}
	}
	image.Files, err = filesOf(folder, "/")
	return image, err
}

// catalogueImage is the image that `make release` makes of a folder with a catalogue: files, and no program.
func catalogueImage(name, folder string) (ociimage.Image, error) {
	files, err := filesOf(folder, "/configs/lbstack")
	return ociimage.Image{Name: name, Architecture: runtime.GOARCH, ByDigest: true, Files: files}, err
}

// filesOf are the files of a folder, as they are below another one in an image.
func filesOf(folder, target string) (files []ociimage.File, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(folder, path)
		files = append(files, ociimage.File{Path: filepath.Join(target, inside), Source: path, Mode: 0o644})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of an image in %s: %w", folder, err)
	}
	return files, nil
}
