package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/lbstack/lbstack/hack/devcluster/programs"
	"github.com/lbstack/lbstack/hack/release/archive"
)

// TestRelease makes a release in two copies of the tree, at paths of other lengths, in other time
// zones and for users with other masks, and compares. If RELEASE_SUMS names a file, it compares also with the
// checksums of a release that was made before, and compiles everything anew for the second run. It is for the architecture of this machine alone, unless RELEASE_ARCHITECTURES
// names others, and for all systems of the plugin, unless RELEASE_SYSTEMS names fewer: each has to be compiled.
func TestRelease(t *testing.T) {
	repo, err := programs.FindRepo(".")
	if err != nil {
		t.Fatal(err)
	}
	first := release(t, repo, filepath.Join(t.TempDir(), "a"), "022", "TZ=UTC")
	another := []string{"TZ=Pacific/Chatham"}
	if os.Getenv("RELEASE_SUMS") != "" {
		another = append(another, "GOCACHE="+t.TempDir())
	}
	second := release(t, repo, filepath.Join(t.TempDir(), "another", "place"), "077", another...)
	for _, name := range slices.Sorted(maps.Keys(first)) {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s: two runs give %d and %d bytes, which differ", name, len(first[name]), len(second[name]))
		}
	}
	if len(first) != len(second) {
		t.Errorf("two runs give %d and %d files", len(first), len(second))
	}
	version := versionOf(t, first)
	if diff := cmp.Diff(expected(version), slices.Sorted(maps.Keys(first))); diff != "" {
		t.Fatalf("files of the release (-want +got):\n%s", diff)
	}
	if sums := os.Getenv("RELEASE_SUMS"); sums != "" {
		if diff := cmp.Diff(string(read(t, sums)), string(first["SHA256SUMS"])); diff != "" {
			t.Errorf("checksums of the release that was made before (-before +now):\n%s", diff)
		}
	}
	t.Run("checksums", func(t *testing.T) { checkSums(t, first) })
	t.Run("the image is named by its digest", func(t *testing.T) { checkDigests(t, repo, first) })
	t.Run("bill of materials", func(t *testing.T) { checkBills(t, version, first) })
	t.Run("krew installs the plugin", func(t *testing.T) { checkPlugin(t, repo, first) })
	t.Run("the workflow publishes", func(t *testing.T) { checkWorkflow(t, repo, version, first) })
}

// expected are the files of a release, sorted.
func expected(version string) []string {
	names := []string{"SHA256SUMS", "install.yaml", "krew.yaml", "lbstack-" + strings.TrimPrefix(version, "v") + ".tgz"}
	for _, part := range []string{"image", "bundle", "catalog"} {
		names = append(names, "lbstack-"+version+"-"+part+".tar")
	}
	names = append(names, "lbstack-"+version+"-catalog.yaml")
	for architecture := range strings.FieldsSeq(architectures()) {
		names = append(names, "lbstack-"+version+"-linux-"+architecture+".spdx.json")
		for system := range strings.FieldsSeq(systems()) {
			plugin := "kubectl-lbstack-" + version + "-" + system + "-" + architecture
			names = append(names, plugin+".tar.gz", plugin+".spdx.json")
		}
	}
	slices.Sort(names)
	return names
}

// versionOf is the version that the archive of the image has in its name.
func versionOf(t *testing.T, files map[string][]byte) string {
	t.Helper()
	for name := range files {
		if version, ok := strings.CutSuffix(name, "-image.tar"); ok {
			return strings.TrimPrefix(version, "lbstack-")
		}
	}
	t.Fatalf("the release has no image: %q", slices.Sorted(maps.Keys(files)))
	return ""
}

// copyTree copies the repository, without its history and what was built.
func copyTree(t *testing.T, repo, tree string) {
	t.Helper()
	err := filepath.WalkDir(repo, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(repo, path)
		if err != nil {
			return err
		}
		switch {
		case name == ".git" && !entry.IsDir():
			return nil // a worktree
		case name == ".git" || name == "bin" || name == "dist":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(tree, name), 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(tree, name), content, 0o755)
	})
	if err != nil {
		t.Fatalf("copying the tree: %v", err)
	}
}

// release copies the tree, makes a release of it, and returns its files. Variables are of the environment.
func release(t *testing.T, repo, tree, mask string, variables ...string) map[string][]byte {
	t.Helper()
	copyTree(t, repo, tree)
	// The tools are those of the repository, and not built again: they are not a part of the release.
	arguments := append([]string{"--no-print-directory", "release", "RELEASE_ARCHITECTURES=" + architectures(), "RELEASE_SYSTEMS=" + systems()}, tools(repo)...)
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", "umask " + mask + `; exec make "$@"`, "make"}, arguments...)...)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), variables...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make release: %v: %s", err, output)
	}
	files, err := archive.ReadFolder(filepath.Join(tree, "dist", "release"), "")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(architectures()) {
		for _, program := range []string{"operator", "controller", "speaker"} {
			command := []string{filepath.Join(tree, "bin", "release", name, program), "--version"}
			if name != runtime.GOARCH {
				command = append([]string{emulator(t, name)}, command...)
			}
			output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
			if image := "lbstack-" + strings.TrimSpace(string(output)) + "-image.tar"; err != nil || files[image] == nil {
				t.Errorf("%s for %s --version: %v: %s, want the version of the release", program, name, err, output)
			}
		}
	}
	return files
}

// tools are arguments of make, by which it takes the tools that the repository has.
func tools(repo string) (arguments []string) {
	for variable, tool := range map[string]string{"OPERATOR_SDK": "operator-sdk", "OPM": "opm", "CONTROLLER_GEN": "controller-gen"} {
		path := filepath.Join(repo, "bin", tool)
		arguments = append(arguments, variable+"="+path, "--old-file="+path)
	}
	return arguments
}

// emulator runs programs of another architecture: Debian has it in the package qemu-user-static.
func emulator(t *testing.T, architecture string) string {
	t.Helper()
	path, err := exec.LookPath("qemu-" + map[string]string{"arm64": "aarch64", "amd64": "x86_64"}[architecture] + "-static")
	if err != nil {
		t.Fatalf("running programs for %s: %v: install qemu-user-static", architecture, err)
	}
	return path
}

// architectures are those of the image and the kubectl plugin, systems those of the plugin.
func architectures() string { return setting("RELEASE_ARCHITECTURES", runtime.GOARCH) }

func systems() string { return setting("RELEASE_SYSTEMS", "linux darwin") }

func setting(variable, otherwise string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return otherwise
}

func checkSums(t *testing.T, files map[string][]byte) {
	var want strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != "SHA256SUMS" {
			fmt.Fprintf(&want, "%x  %s\n", sha256.Sum256(files[name]), name)
		}
	}
	if diff := cmp.Diff(want.String(), string(files["SHA256SUMS"])); diff != "" {
		t.Errorf("SHA256SUMS (-want +got):\n%s", diff)
	}
}

// checkDigests follows the digest of the image through the files that name it.
func checkDigests(t *testing.T, repo string, files map[string][]byte) {
	image := "ghcr.io/lbstack/lbstack@" + digest(t, one(t, files, "-image.tar"))
	bundle := "ghcr.io/lbstack/lbstack-bundle@" + digest(t, one(t, files, "-bundle.tar"))
	manifest := decode(t, files["install.yaml"])
	for _, object := range manifest {
		if object.GetKind() != "Deployment" {
			continue
		}
		if text := fmt.Sprint(object.Object["spec"]); strings.Count(text, image) != 2 {
			t.Errorf("the Deployment %s: the image %s is there %d times, want it for the operator and the components", object.GetName(), image, strings.Count(text, image))
		}
	}

	chart := filepath.Join(t.TempDir(), "lbstack.tgz")
	if err := os.WriteFile(chart, one(t, files, ".tgz"), 0o600); err != nil {
		t.Fatal(err)
	}
	helm := func(arguments ...string) []byte {
		t.Helper()
		output, err := exec.CommandContext(t.Context(), filepath.Join(repo, "bin", "helm"), arguments...).CombinedOutput()
		if err != nil {
			t.Fatalf("helm %s: %v: %s", arguments[0], err, output)
		}
		return output
	}
	helm("lint", "--strict", chart)
	installed := decode(t, helm("template", "any", chart, "--namespace", "lbstack-system", "--include-crds", "--no-hooks"))
	delete(manifest, "Namespace lbstack-system") // the user's, with Helm
	if diff := cmp.Diff(manifest, installed); diff != "" {
		t.Errorf("objects of the chart (-manifest +chart):\n%s", diff)
	}
	for _, tt := range []struct{ set, want string }{
		{"image.tag=v9", "ghcr.io/lbstack/lbstack:v9"},
		{"image.digest=sha256:" + strings.Repeat("a", 64), "ghcr.io/lbstack/lbstack@sha256:" + strings.Repeat("a", 64)},
		{"image.repository=mirror.example/lbstack", strings.Replace(image, "ghcr.io/lbstack", "mirror.example", 1)},
	} {
		if text := string(helm("template", "any", chart, "--set", tt.set)); !strings.Contains(text, "image: "+tt.want+"\n") {
			t.Errorf("chart with --set %s: want the image %s", tt.set, tt.want)
		}
	}

	if text := contents(t, one(t, files, "-bundle.tar")); !strings.Contains(text, "image: "+image) {
		t.Errorf("the bundle does not name the image %s", image)
	}
	if text := contents(t, one(t, files, "-catalog.tar")); !strings.Contains(text, bundle) || !strings.Contains(text, image) {
		t.Errorf("the catalogue does not name the bundle %s and the image %s", bundle, image)
	} else if entry := string(one(t, files, "-catalog.yaml")); !strings.HasPrefix(entry, "---\nimage: "+bundle+"\n") || !strings.Contains(text, entry) {
		t.Errorf("the file for catalogues of later releases is not what the catalogue has of this one:\n%.200s", entry)
	}
}

// checkBills reads the bills of materials with the library of the SPDX project.
func checkBills(t *testing.T, version string, files map[string][]byte) {
	for name := range strings.FieldsSeq(architectures()) {
		t.Run("image "+name, func(t *testing.T) {
			checkBill(t, files["lbstack-"+version+"-linux-"+name+".spdx.json"], map[string]string{
				"operator": sha256Of(t, name, "operator", files), "controller": sha256Of(t, name, "controller", files), "speaker": sha256Of(t, name, "speaker", files),
			}, "ghcr.io/lbstack/lbstack", "stdlib", "sigs.k8s.io/controller-runtime", "github.com/osrg/gobgp/v4")
		})
		for system := range strings.FieldsSeq(systems()) {
			t.Run("plugin "+system+" "+name, func(t *testing.T) {
				plugin := "kubectl-lbstack-" + version + "-" + system + "-" + name
				packed := files[plugin+".tar.gz"]
				program := unpack(t, packed)["kubectl-lbstack"]
				checkBill(t, files[plugin+".spdx.json"], map[string]string{
					"kubectl-lbstack": fmt.Sprintf("%x", sha256.Sum256(program.content)), plugin + ".tar.gz": fmt.Sprintf("%x", sha256.Sum256(packed)),
				}, "stdlib", "github.com/spf13/cobra", "k8s.io/cli-runtime")
			})
		}
	}
}

// checkBill: a bill describes one product, and has the packages named, the first ones with these checksums.
func checkBill(t *testing.T, text []byte, sums map[string]string, packages ...string) {
	t.Helper()
	bill, err := spdxjson.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("reading the bill of materials: %v", err)
	}
	if err := spdxlib.ValidateDocument(bill); err != nil {
		t.Error(err)
	}
	described, err := spdxlib.GetDescribedPackageIDs(bill)
	if err != nil || len(described) != 1 {
		t.Errorf("the document describes %v, %v; want one product", described, err)
	}
	if bill.SPDXVersion != "SPDX-2.3" || bill.DataLicense != "CC0-1.0" || bill.CreationInfo == nil || len(bill.CreationInfo.Creators) != 2 {
		t.Errorf("the head of the document is %s, %s, %+v", bill.SPDXVersion, bill.DataLicense, bill.CreationInfo)
	}
	var names []string
	got := map[string]string{}
	for _, p := range bill.Packages {
		names = append(names, p.PackageName)
		for _, sum := range p.PackageChecksums {
			if sum.Algorithm == common.SHA256 {
				got[p.PackageName] = sum.Value
			}
		}
		for _, reference := range p.PackageExternalReferences {
			if reference.RefType != common.TypePackageManagerPURL || !strings.HasPrefix(reference.Locator, "pkg:") {
				t.Errorf("%s has the reference %+v, want a package URL", p.PackageName, reference)
			}
		}
	}
	if diff := cmp.Diff(sums, got); diff != "" {
		t.Errorf("checksums of files (-in the release +in the bill):\n%s", diff)
	}
	for _, want := range packages {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing in %q", want, names)
		}
	}
}

// sha256Of is the checksum of a program in the image of an architecture.
func sha256Of(t *testing.T, architecture, program string, files map[string][]byte) string {
	t.Helper()
	layout, err := archive.Untar(one(t, files, "-image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range layout {
		var manifest struct {
			Config struct{ Digest string }
			Layers []struct{ Digest string }
		}
		var config struct{ Architecture string }
		if json.Unmarshal(blob, &manifest) != nil || len(manifest.Layers) != 1 {
			continue // another blob
		}
		if json.Unmarshal(layout[blobOf(manifest.Config.Digest)], &config) != nil || config.Architecture != architecture {
			continue
		}
		layer, err := archive.Untar(layout[blobOf(manifest.Layers[0].Digest)])
		if err != nil {
			t.Fatal(err)
		}
		for path, content := range layer {
			if filepath.Base(path) == program {
				return fmt.Sprintf("%x", sha256.Sum256(content))
			}
		}
	}
	t.Fatalf("the image has no program %s for %s", program, architecture)
	return ""
}

func blobOf(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }

// one returns the only file with a suffix.
func one(t *testing.T, files map[string][]byte, suffix string) []byte {
	t.Helper()
	var found []string
	for name := range files {
		if strings.HasSuffix(name, suffix) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		t.Fatalf("files of the release with the suffix %s: %q, want one", suffix, found)
	}
	return files[found[0]]
}

// digest returns the digest of the one image of an archive, and checks that its content has it.
func digest(t *testing.T, image []byte) string {
	t.Helper()
	layout, err := archive.Untar(image)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range layout {
		if sum, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && fmt.Sprintf("%x", sha256.Sum256(content)) != sum {
			t.Errorf("the content of %s has another digest", name)
		}
	}
	var index struct {
		Manifests []struct{ Digest string }
	}
	if err := json.Unmarshal(layout["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("index.json: %v, %d images, want one", err, len(index.Manifests))
	}
	return index.Manifests[0].Digest
}

// contents returns the text of the layers of an image, which are not compressed.
func contents(t *testing.T, image []byte) string {
	t.Helper()
	layout, err := archive.Untar(image)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Join(slices.Collect(maps.Values(layout)), nil))
}

func decode(t *testing.T, text []byte) map[string]*unstructured.Unstructured {
	t.Helper()
	all := map[string]*unstructured.Unstructured{}
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			all[object.GetKind()+" "+object.GetName()] = object
		}
	}
}
