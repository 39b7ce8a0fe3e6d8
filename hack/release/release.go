package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/hack/manifests"
	"github.com/lbstack/lbstack/hack/release/archive"
	"github.com/lbstack/lbstack/hack/release/sbom"
	"github.com/lbstack/lbstack/hack/releases"
)

// programNames are the names of the programs in the image.
var programNames = []string{"operator", "controller", "speaker"}

// catalogLabel is the label by which OLM finds the folder of the catalogue in the image of a catalogue.
const catalogLabel = "operators.operatorframework.io.index.configs.v1=/configs"

// builder makes one release.
type builder struct {
	options
	release releases.Release
	scratch string
}

func run(ctx context.Context, o options) error {
	list, err := releases.Read("catalog/releases.yaml")
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list.Releases, func(r releases.Release) bool { return r.Version == o.version })
	if at < 0 {
		return fmt.Errorf("%s is not in catalog/releases.yaml: add it, with its date and channels", o.version)
	}
	if len(o.architectures) == 0 || len(o.systems) == 0 {
		return fmt.Errorf("release %s: the flags -architectures and -systems must not be empty", o.version)
	}
	scratch, err := os.MkdirTemp("", "lbstack-release-")
	if err != nil {
		return fmt.Errorf("making a folder for the release: %w", err)
	}
	defer os.RemoveAll(scratch)
	if err := os.RemoveAll(o.out); err != nil {
		return fmt.Errorf("emptying the folder of the release: %w", err)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("making the folder of the release: %w", err)
	}
	b := builder{options: o, release: list.Releases[at], scratch: scratch}
	if err := b.build(ctx, list.Package); err != nil {
		return fmt.Errorf("release %s: %w", o.version, err)
	}
	return nil
}

func (b builder) build(ctx context.Context, name string) error {
	var archives []string
	for _, architecture := range b.architectures {
		archives = append(archives, filepath.Join(b.built, architecture, "image.tar"))
	}
	digest, err := b.joinImages("image", archives)
	if err != nil {
		return err
	}
	image := b.image + "@" + digest
	if err := b.writeManifest(image); err != nil {
		return err
	}
	if err := b.writeChart(ctx, digest); err != nil {
		return err
	}
	bundle := filepath.Join(b.scratch, "bundle")
	if err := b.runGenerator(ctx, "bundle", "-image", image, "-operator-sdk", b.sdk, "-out", b.scratch); err != nil {
		return err
	}
	labels, err := bundleLabels(bundle)
	if err != nil {
		return err
	}
	bundleDigest, err := b.writeImage(ctx, "bundle", b.bundleImage, bundle, "/", labels)
	if err != nil {
		return err
	}
	catalog := filepath.Join(b.scratch, "catalog")
	if err := b.runGenerator(ctx, "catalog", "-image", b.bundleImage+"@"+bundleDigest, "-bundle", bundle, "-opm", b.opm, "-out", catalog); err != nil {
		return err
	}
	if err := b.writeEntry(filepath.Join(catalog, name)); err != nil {
		return err
	}
	if _, err := b.writeImage(ctx, "catalog", b.catalogImage, filepath.Join(catalog, name), "/configs/"+name, []string{catalogLabel}); err != nil {
		return err
	}
	if err := b.writeBills(digest); err != nil {
		return err
	}
	if err := b.writePlugin(); err != nil {
		return err
	}
	return b.writeChecksums()
}

// writeManifest writes install.yaml, the manifest for `kubectl apply`.
func (b builder) writeManifest(image string) error {
	objects, err := manifests.Render("config/default", image)
	if err != nil {
		return err
	}
	text, err := manifests.Encode(objects)
	if err != nil {
		return err
	}
	return b.writeFile("install.yaml", text)
}

// writeChart writes the archive of the Helm chart. The file has the name that `helm package` would use.
func (b builder) writeChart(ctx context.Context, digest string) error {
	dir := filepath.Join(b.scratch, "chart")
	if err := b.runGenerator(ctx, "chart", "-digest", digest, "-out", dir); err != nil {
		return err
	}
	files, err := archive.ReadFolder(dir, "lbstack")
	if err != nil {
		return err
	}
	content, err := archive.TarGz(files)
	if err != nil {
		return err
	}
	return b.writeFile("lbstack-"+strings.TrimPrefix(b.version, "v")+".tgz", content)
}

// writeEntry writes the catalogue's entry for the bundle of this release to a file of its own. The catalogues of
// later releases contain the entry unchanged.
func (b builder) writeEntry(catalog string) error {
	text, err := os.ReadFile(filepath.Join(catalog, "bundles", b.version+".yaml"))
	if err != nil {
		return fmt.Errorf("reading the bundle in the catalogue: %w", err)
	}
	return b.writeFile("lbstack-"+b.version+"-catalog.yaml", text)
}

// runGenerator runs a generator of the repository.
func (b builder) runGenerator(ctx context.Context, generator string, flags ...string) error {
	return runCommand(ctx, "go", append([]string{"run", "./hack/" + generator, "-version", b.version}, flags...)...)
}

// writeImage writes an image that has the files of a folder (dir) below the path target. It returns the digest
// of the image.
func (b builder) writeImage(ctx context.Context, part, repository, dir, target string, labels []string) (string, error) {
	files, err := archive.ReadFolder(dir, target)
	if err != nil {
		return "", err
	}
	arguments := []string{"image", "--name", repository + ":" + b.version}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		source, err := filepath.Rel(target, name)
		if err != nil {
			return "", fmt.Errorf("placing %s in the image %s: %w", name, part, err)
		}
		arguments = append(arguments, "--file", name+"="+filepath.Join(dir, source))
	}
	for _, label := range labels {
		arguments = append(arguments, "--label", label)
	}
	var archives []string
	for _, architecture := range b.architectures {
		out := filepath.Join(b.scratch, part+"-"+architecture+".tar")
		if err := runCommand(ctx, b.devcluster, append(arguments, "--architecture", architecture, "--out", out)...); err != nil {
			return "", err
		}
		archives = append(archives, out)
	}
	return b.joinImages(part, archives)
}

// joinImages joins images for single platforms to one image, writes it, and returns its digest.
func (b builder) joinImages(part string, archives []string) (string, error) {
	var contents [][]byte
	for _, file := range archives {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("reading an archive of the image %s: %w", part, err)
		}
		contents = append(contents, content)
	}
	joined, digest, err := archive.JoinImages(contents...)
	if err != nil {
		return "", fmt.Errorf("making the image %s: %w", part, err)
	}
	return digest, b.writeFile("lbstack-"+b.version+"-"+part+".tar", joined)
}

// bundleLabels returns the labels for the image of the bundle. They are the annotations of the bundle.
func bundleLabels(bundle string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(bundle, "metadata", "annotations.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the annotations of the bundle: %w", err)
	}
	var metadata struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := yaml.UnmarshalStrict(text, &metadata); err != nil {
		return nil, fmt.Errorf("reading the annotations of the bundle: %w", err)
	}
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(metadata.Annotations)) {
		labels = append(labels, key+"="+metadata.Annotations[key])
	}
	return labels, nil
}

// writeBills writes a bill of materials for each platform of the image.
func (b builder) writeBills(digest string) error {
	for _, architecture := range b.architectures {
		product := sbom.Product{Name: path.Base(b.image), OS: "linux", Architecture: architecture, Image: &sbom.Image{Repository: b.image, Digest: digest}}
		for _, name := range programNames {
			program, _, err := readProgram(filepath.Join(b.built, architecture), name)
			if err != nil {
				return err
			}
			product.Programs = append(product.Programs, program)
		}
		if err := b.writeBill(product); err != nil {
			return err
		}
	}
	return nil
}

// writeBill writes the bill of materials of a product of this release.
func (b builder) writeBill(product sbom.Product) error {
	released, err := time.Parse(time.DateOnly, b.release.Date)
	if err != nil {
		return fmt.Errorf("reading the date of the release: %w", err)
	}
	product.Version, product.Released = b.version, released
	document, err := sbom.Document(product)
	if err != nil {
		return err
	}
	return b.writeFile(fmt.Sprintf("%s-%s-%s-%s.spdx.json", product.Name, b.version, product.OS, product.Architecture), document)
}

// readProgram reads a program that was built for a release. It returns the content of the file as well.
func readProgram(dir, name string) (sbom.Program, []byte, error) {
	file := filepath.Join(dir, name)
	content, err := os.ReadFile(file)
	if err != nil {
		return sbom.Program{}, nil, fmt.Errorf("reading a program: %w", err)
	}
	build, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return sbom.Program{}, nil, fmt.Errorf("reading the build information of %s: %w", file, err)
	}
	return sbom.Program{Name: name, SHA256: fmt.Sprintf("%x", sha256.Sum256(content)), Build: build}, content, nil
}

// writeChecksums writes the checksums of all files, in the format of sha256sum --check.
func (b builder) writeChecksums() error {
	files, err := archive.ReadFolder(b.out, "")
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	return b.writeFile("SHA256SUMS", []byte(lines.String()))
}

func (b builder) writeFile(name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(b.out, name), content, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func runCommand(ctx context.Context, name string, arguments ...string) error {
	if output, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(name), arguments[0], err, output)
	}
	return nil
}
