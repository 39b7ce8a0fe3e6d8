// Command catalog generates the file-based OLM catalogue from the list of releases and the bundle, by means of opm. With
// -check it only checks that the catalogue in the repository is up to date.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/hack/generated"
	"github.com/lbstack/lbstack/hack/releases"
)

// options has the values of the flags.
type options struct {
	version, image, opm string
	bundle, releases    string
	to, out             string
	check               bool
}

func main() {
	var o options
	flag.StringVar(&o.version, "version", "", "version of the bundle, vMAJOR.MINOR.PATCH")
	flag.StringVar(&o.image, "image", "", "image of the bundle")
	flag.StringVar(&o.opm, "opm", "bin/opm", "path of opm")
	flag.StringVar(&o.bundle, "bundle", "bundle", "folder of the bundle")
	flag.StringVar(&o.releases, "releases", "catalog/releases.yaml", "list of the releases")
	flag.StringVar(&o.to, "to", "catalog", "parent of the package's folder, which has the bundles of earlier releases")
	flag.StringVar(&o.out, "out", "", "folder in which the package's folder is written; empty: the folder of -to")
	flag.BoolVar(&o.check, "check", false, "change nothing, and fail if the catalogue is not up to date")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "catalog:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	list, err := releases.Read(o.releases)
	if err != nil {
		return err
	}
	out := o.to
	if !o.check {
		out = cmp.Or(o.out, o.to)
	}
	return generated.Make("the OLM catalogue", "catalog", out, o.check, func(dir string) error {
		if err := generate(ctx, dir, o, list); err != nil {
			return err
		}
		if output, err := exec.CommandContext(ctx, o.opm, "validate", dir).CombinedOutput(); err != nil {
			return fmt.Errorf("opm validate: %w: %s", err, output)
		}
		return nil
	}, list.Package)
}

// generate writes the package's folder below dir. The folder has the package with its channels, and the
// bundle of each release.
func generate(ctx context.Context, dir string, o options, list releases.List) error {
	bundles := filepath.Join(dir, list.Package, "bundles")
	if err := os.MkdirAll(bundles, 0o755); err != nil {
		return fmt.Errorf("making a folder for the bundles: %w", err)
	}
	csv, err := readCSV(filepath.Join(o.bundle, "manifests", list.Package+".clusterserviceversion.yaml"))
	if err != nil {
		return err
	}
	if want := list.BundleName(o.version); csv.GetName() != want {
		return fmt.Errorf("the bundle is %s, but the catalogue is made for %s: run `make bundle` with the same VERSION first", csv.GetName(), want)
	}
	isListed := false
	for _, release := range list.Releases {
		name := filepath.Join("bundles", release.Version+".yaml")
		var text []byte
		if release.Version == o.version {
			isListed = true
			text, err = renderBundle(ctx, o)
		} else {
			text, err = readReleased(filepath.Join(o.to, list.Package, name), release.Version)
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, list.Package, name), text, 0o644); err != nil {
			return fmt.Errorf("writing the bundle of %s: %w", release.Version, err)
		}
	}
	if !isListed {
		return fmt.Errorf("%s is not in %s: add it", o.version, o.releases)
	}
	index, err := encodePackage(csv, list)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, list.Package, "package.yaml"), index, 0o644)
}

// readReleased reads the bundle of an earlier release, in the form that it had in the catalogue of that release.
// The bundle must refer to its image by digest. An installation then gets the bundle that was released, even
// from a mirror that is configured only for digests.
func readReleased(file, version string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the bundle of the release %s is missing in the catalogue: %w", version, err)
	}
	var bundle struct {
		Image string `json:"image"`
	}
	if err := yaml.Unmarshal(text, &bundle); err != nil {
		return nil, fmt.Errorf("reading the bundle of the release %s: %w", version, err)
	}
	if !strings.Contains(bundle.Image, "@sha256:") {
		return nil, fmt.Errorf("%s refers to the bundle image %q instead of the digest that was released: replace the file by lbstack-%s-catalog.yaml of that release", file, bundle.Image, version)
	}
	return text, nil
}

// renderBundle returns the entry for the bundle in the catalogue: the properties with which OLM resolves
// dependencies, and the texts that consoles show. The content of the bundle is only in the image of the
// bundle.
func renderBundle(ctx context.Context, o options) ([]byte, error) {
	cmd := exec.CommandContext(ctx, o.opm, "render", o.bundle, "--migrate-level", "bundle-object-to-csv-metadata", "--alpha-image-ref-template", o.image, "-o", "yaml")
	text, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("opm render %s: %w: %s", o.bundle, err, exit.Stderr)
	} else if err != nil {
		return nil, fmt.Errorf("opm render %s: %w", o.bundle, err)
	}
	return text, nil
}

// encodePackage returns the documents about the whole package: the name, description and icon of the
// package, and the upgrade edges of each channel.
func encodePackage(csv *unstructured.Unstructured, list releases.List) ([]byte, error) {
	icons, _, err := unstructured.NestedSlice(csv.Object, "spec", "icon")
	if err != nil || len(icons) != 1 {
		return nil, errors.Join(err, fmt.Errorf("the ClusterServiceVersion has %d icons, and the catalogue needs one", len(icons)))
	}
	icon, _ := icons[0].(map[string]any)
	documents := []any{map[string]any{
		"schema": "olm.package", "name": list.Package, "defaultChannel": list.DefaultChannel, "description": csv.GetAnnotations()["description"],
		"icon": map[string]any{"base64data": icon["base64data"], "mediatype": icon["mediatype"]},
	}}
	for _, channel := range list.Channels() {
		documents = append(documents, map[string]any{"schema": "olm.channel", "package": list.Package, "name": channel, "entries": list.Entries(channel)})
	}
	var all []byte
	for _, document := range documents {
		text, err := yaml.Marshal(document)
		if err != nil {
			return nil, fmt.Errorf("writing the package: %w", err)
		}
		all = append(append(all, "---\n"...), text...)
	}
	return all, nil
}

func readCSV(file string) (*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the ClusterServiceVersion: %w", err)
	}
	csv := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &csv.Object); err != nil {
		return nil, fmt.Errorf("reading the ClusterServiceVersion %s: %w", file, err)
	}
	return csv, nil
}
