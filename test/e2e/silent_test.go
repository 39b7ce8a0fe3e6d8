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

// silentImage is an image whose speaker does everything but send ARP and NDP: it gets ready, claims
// addresses and reports that it announces them.
const silentImage = "ghcr.io/lbstack/lbstack:silent"

// buildSilent builds the image and loads it into the nodes. The difference is one line of the source,
// which is replaced at build time.
func buildSilent(t *testing.T) {
	t.Helper()
	root, err := filepath.Abs("../..")
	must(t, err)
	dir := t.TempDir()
	changed, err := filepath.Abs(filepath.Join(root, "speaker/app/respond.go"))
	must(t, err)
	source, err := os.ReadFile(changed)
	must(t, err)
	const answers, silent = "MayAnswer: peers.MayAnswer,", "MayAnswer: func() bool { return false },"
	if strings.Count(string(source), answers) != 1 {
		t.Fatalf("%s does not have %q once", changed, answers)
	}
	replacement, overlay := filepath.Join(dir, "respond.go"), filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(replacement, []byte(strings.Replace(string(source), answers, silent, 1)), 0o600))
	text, err := json.Marshal(map[string]map[string]string{"Replace": {changed: replacement}})
	must(t, err)
	must(t, os.WriteFile(overlay, text, 0o600))
	image := ociimage.Image{Name: silentImage, User: ociimage.Nonroot, Architecture: runtime.GOARCH}
	for _, program := range []string{"controller", "speaker"} {
		binary := filepath.Join(dir, program)
		must(t, goBuild(background(t), root, "-overlay", overlay, "-o", binary, "./cmd/"+program))
		image.Files = append(image.Files, ociimage.File{Path: "/" + program, Source: binary})
	}
	image.Entrypoint = []string{"/controller"}
	archive := filepath.Join(dir, "image.tar")
	f, err := os.Create(archive)
	must(t, err)
	must(t, image.Write(f))
	must(t, f.Close())
	must(t, bed.Cluster.LoadImage(background(t), archive))
}

// goBuild builds as `make build` does, so that most of it is in the build cache.
func goBuild(ctx context.Context, root string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"-C", root, "build", "-trimpath", "-buildvcs=false"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", args[len(args)-1], err, out)
	}
	return nil
}
