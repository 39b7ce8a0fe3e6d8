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

	"github.com/lbstack/lbstack/hack/devcluster/ociimage"
)

// Images of another version, besides the one that is installed.
const (
	// nextImage has the same programs.
	nextImage = "ghcr.io/lbstack/lbstack:next"
	// silentImage has a speaker that does everything but send ARP, NDP and routes: it gets ready, claims
	// addresses and reports that it announces them.
	silentImage = "ghcr.io/lbstack/lbstack:silent"
	// crashingImage has a program as speaker that ends at once.
	crashingImage = "ghcr.io/lbstack/lbstack:crashing"
	// absentImage is not there.
	absentImage = "registry.invalid/lbstack:none"
)

// silences are the lines of the source that are replaced in the speaker of silentImage.
var silences = []struct{ file, sends, sendsNot string }{
	{"speaker/app/respond.go", "MayAnswer: peers.MayAnswer,", "MayAnswer: func() bool { return false },"},
	{"speaker/bgp/table.go", "return s.Announce(g.family, prefixes, g.attributes)", "return nil, nil"},
}

// loadImages builds the images and loads them into the nodes. The installed one is named good.
func loadImages(t *testing.T, good string) {
	t.Helper()
	ctx := background(t)
	for _, node := range bed.Cluster.Nodes() {
		_, err := bed.Cluster.Exec(ctx, node, "ctr", "--namespace=k8s.io", "images", "tag", "--force", good, nextImage)
		must(t, err)
	}
	dir := t.TempDir()
	overlay := silence(t, dir)
	built := map[string]string{}
	for _, program := range []string{"controller", "speaker"} {
		built[program] = filepath.Join(dir, program)
		must(t, goBuild(ctx, "-overlay", overlay, "-o", built[program], "./cmd/"+program))
	}
	load(t, silentImage, built)
	built["speaker"] = built["controller"] // which does not know the speaker's flags
	load(t, crashingImage, built)
}

// silence writes the changed source of silentImage, and returns the file that has go build take it.
func silence(t *testing.T, dir string) (overlay string) {
	t.Helper()
	replaced := map[string]string{}
	for i, s := range silences {
		changed, err := filepath.Abs(filepath.Join(bed.Repo, s.file))
		must(t, err)
		source, err := os.ReadFile(changed)
		must(t, err)
		if strings.Count(string(source), s.sends) != 1 {
			t.Fatalf("%s does not have %q once", changed, s.sends)
		}
		replaced[changed] = filepath.Join(dir, fmt.Sprintf("%d.go", i))
		must(t, os.WriteFile(replaced[changed], []byte(strings.Replace(string(source), s.sends, s.sendsNot, 1)), 0o600))
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replaced})
	must(t, err)
	overlay = filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(overlay, text, 0o600))
	return overlay
}

// load makes an image of programs and loads it into the nodes.
func load(t *testing.T, name string, programs map[string]string) {
	t.Helper()
	image := ociimage.Image{Name: name, User: ociimage.Nonroot, Architecture: runtime.GOARCH, Entrypoint: []string{"/controller"}}
	for _, program := range []string{"controller", "speaker"} {
		image.Files = append(image.Files, ociimage.File{Path: "/" + program, Source: programs[program]})
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(archive)
	must(t, err)
	must(t, image.Write(f))
	must(t, f.Close())
	must(t, bed.Cluster.LoadImage(background(t), archive))
}

// goBuild builds as `make build` does, so that most of it is in the build cache.
func goBuild(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"-C", bed.Repo, "build", "-trimpath", "-buildvcs=false"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", args[len(args)-1], err, out)
	}
	return nil
}
