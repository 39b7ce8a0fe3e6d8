// Command bundle generates the OLM bundle from config/manifests and the CRDs, by means of operator-sdk. With
// -check it only checks that the bundle in the repository is up to date.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/hack/generated"
	"github.com/lbstack/lbstack/hack/manifests"
	"github.com/lbstack/lbstack/hack/releases"
)

// options has the values of the flags.
type options struct {
	version, image, sdk, out string
	check                    bool
}

// writtenPaths are the paths that operator-sdk writes.
var writtenPaths = []string{"bundle", "bundle.Dockerfile"}

func main() {
	var o options
	flag.StringVar(&o.version, "version", "", "version of the bundle, vMAJOR.MINOR.PATCH")
	flag.StringVar(&o.image, "image", "", "image of the operator and the components")
	flag.StringVar(&o.sdk, "operator-sdk", "bin/operator-sdk", "path of operator-sdk")
	flag.StringVar(&o.out, "out", ".", "folder in which bundle/ and bundle.Dockerfile are")
	flag.BoolVar(&o.check, "check", false, "change nothing, and fail if bundle/ is not up to date")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	sdk, err := filepath.Abs(o.sdk)
	if err != nil {
		return fmt.Errorf("finding operator-sdk: %w", err)
	}
	list, err := releases.Read("catalog/releases.yaml")
	if err != nil {
		return err
	}
	err = generated.Make("the OLM bundle", "bundle", o.out, o.check, func(dir string) error { return generate(ctx, dir, sdk, o, list) }, writtenPaths...)
	if err != nil {
		return err
	}
	return validate(ctx, sdk, filepath.Join(o.out, "bundle"))
}

// generate writes the bundle into a folder (dir). The folder must be empty, since operator-sdk does not
// remove the files of objects that no longer exist.
func generate(ctx context.Context, dir, sdk string, o options, list releases.List) error {
	objects, err := manifests.Render("config/manifests", o.image)
	if err != nil {
		return err
	}
	if err := completeCSV(objects, o.image); err != nil {
		return err
	}
	text, err := manifests.Encode(objects)
	if err != nil {
		return err
	}
	project, err := os.ReadFile("PROJECT")
	if err != nil {
		return fmt.Errorf("reading the layout of the project: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "PROJECT"), project, 0o600); err != nil {
		return fmt.Errorf("writing the layout of the project: %w", err)
	}
	release := list.ReleaseOf(o.version)
	cmd := exec.CommandContext(ctx, sdk, "generate", "bundle", "--quiet", "--overwrite", "--package", list.Package, "--version", strings.TrimPrefix(o.version, "v"),
		"--channels", strings.Join(release.Channels, ","), "--default-channel", list.DefaultChannel, "--extra-service-accounts", "lbstack-controller,lbstack-speaker")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(text)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("operator-sdk generate bundle: %w: %s", err, output)
	}
	return setDate(filepath.Join(dir, "bundle", "manifests", list.Package+".clusterserviceversion.yaml"), release.Date)
}

var createdAtLine = regexp.MustCompile(`(?m)^( +createdAt: ).*$`)

// setDate sets the date of the release in the ClusterServiceVersion. It replaces the time that operator-sdk
// writes, which differs in each run.
func setDate(file, date string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the ClusterServiceVersion: %w", err)
	}
	if len(createdAtLine.FindAll(text, -1)) != 1 {
		return errors.New("the ClusterServiceVersion does not have exactly one line with createdAt")
	}
	return os.WriteFile(file, createdAtLine.ReplaceAll(text, []byte(`${1}"`+date+`T00:00:00Z"`)), 0o644)
}

// harmlessWarnings are the warnings that do not mean an error in the bundle.
var harmlessWarnings = []*regexp.Regexp{
	// The speakers write objects of these kinds, which have no spec. scorecard refuses an example without a
	// spec.
	regexp.MustCompile(`Kind=Speaker(State|RouteSlice): provided API should have an example annotation`),
	// The validator mistakes resource names in roles for kinds of removed API versions. The roles use
	// discovery.k8s.io/v1, events.k8s.io/v1 and policy/v1.
	regexp.MustCompile(`removed in v1\.25\. .* Migrate the API\(s\) for (,?(endpointslices|events|poddisruptionbudgets): \(\[[^)]*\]\))+,\"`),
}

// validate runs the checks of operator-sdk and those of its optional suite operatorframework. It returns an
// error for a warning that is not harmless.
func validate(ctx context.Context, sdk, bundle string) error {
	output, err := exec.CommandContext(ctx, sdk, "bundle", "validate", bundle, "--select-optional", "suite=operatorframework").CombinedOutput()
	if err != nil {
		return fmt.Errorf("operator-sdk bundle validate: %w: %s", err, output)
	}
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "level=warning") && !isHarmless(line) {
			return fmt.Errorf("operator-sdk bundle validate: %s", line)
		}
	}
	return nil
}

func isHarmless(warning string) bool {
	return slices.ContainsFunc(harmlessWarnings, func(known *regexp.Regexp) bool { return known.MatchString(warning) })
}
