package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/ociimage"
)

// Images of another version, besides the one that is installed.
const (
	// nextImage has the same programs.
	nextImage = "ghcr.io/lbstack/lbstack:next"
	// silentImage has a speaker that sends no ARP, NDP and routes. It gets ready, claims
	// addresses and reports that it announces them.
	silentImage = "ghcr.io/lbstack/lbstack:silent"
	// routelessImage has a speaker whose sessions with routers are established, and that announces no
	// routes. It reports that.
	routelessImage = "ghcr.io/lbstack/lbstack:routeless"
	// crashingImage has a program as speaker that ends at once.
	crashingImage = "ghcr.io/lbstack/lbstack:crashing"
	// clockImage has a speaker whose wall clock a file sets (clock_test.go).
	clockImage = "ghcr.io/lbstack/lbstack:clock"
	// absentImage does not exist.
	absentImage = "registry.invalid/lbstack:none"
)

// replacement replaces a text of the source in an image; without a former text, a whole
// file. The file is in the repository, or has an absolute path.
type replacement struct{ file, former, text string }

// The replacements of silentImage and of routelessImage.
var (
	silences = []replacement{
		{"speaker/app/respond.go", "MayAnswer: peers.MayAnswer,", "MayAnswer: func() bool { return false },"},
		{"speaker/bgp/table.go", "return s.EncodeRoutes(g.family, prefixes, g.attributes)", "return nil, nil"},
	}
	withoutRoutes = []replacement{{"speaker/bgp/table.go", "if a == nil || t.withdrawn ||", "if true ||"}}
)

// loadImages builds the images and loads them into the nodes. The installed one is named good.
func loadImages(t *testing.T, good string) {
	t.Helper()
	ctx := background(t)
	for _, node := range bed.Cluster.Nodes() {
		_, err := bed.Cluster.Exec(ctx, node, "ctr", "--namespace=k8s.io", "images", "tag", "--force", good, nextImage)
		must(t, err)
	}
	controller := build(t, "controller", nil)
	load(t, silentImage, controller, build(t, "speaker", silences))
	load(t, routelessImage, controller, build(t, "speaker", withoutRoutes))
	load(t, crashingImage, controller, controller) // which does not know the flags of a speaker
}

// builds bounds the build of a program with a changed standard library.
const builds = 10 * time.Minute

// build builds a program with replacements, as `make build` does, so that most packages are
// in the build cache. It returns the path of the program.
func build(t *testing.T, program string, changes []replacement) (binary string) {
	t.Helper()
	dir := t.TempDir()
	replaced := map[string]string{}
	for i, c := range changes {
		changed := c.file
		if !filepath.IsAbs(changed) {
			var err error
			changed, err = filepath.Abs(filepath.Join(bed.Repo, c.file))
			must(t, err)
		}
		replaced[changed] = filepath.Join(dir, fmt.Sprintf("%d.go", i))
		must(t, os.WriteFile(replaced[changed], []byte(c.apply(t, changed)), 0o600))
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replaced})
	must(t, err)
	overlay := filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(overlay, text, 0o600))
	binary = filepath.Join(dir, program)
	ctx, cancel := context.WithTimeout(context.Background(), builds)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "-C", bed.Repo, "build", "-trimpath", "-buildvcs=false", "-overlay", overlay, "-o", binary, "./cmd/"+program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the %s: %v: %s", program, err, out)
	}
	return binary
}

// apply returns the content of a file with the replacement.
func (c replacement) apply(t *testing.T, path string) string {
	t.Helper()
	if c.former == "" {
		return c.text
	}
	source, err := os.ReadFile(path)
	must(t, err)
	if strings.Count(string(source), c.former) != 1 {
		t.Fatalf("%s does not have %q once", path, c.former)
	}
	return strings.Replace(string(source), c.former, c.text, 1)
}

// load makes an image of two programs and loads it into the nodes.
func load(t *testing.T, name, controller, speaker string) {
	t.Helper()
	image := ociimage.Image{
		Name: name, User: ociimage.NonrootUser, Architecture: runtime.GOARCH, Entrypoint: []string{"/controller"},
		Files: []ociimage.File{{Path: "/controller", Source: controller}, {Path: "/speaker", Source: speaker}},
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(archive)
	must(t, err)
	must(t, image.Write(f))
	must(t, f.Close())
	must(t, bed.Cluster.LoadImage(background(t), archive))
}
