package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// overlay is the kustomization of docs/install.md that uses config/default as a base.
const overlay = `resources:
- BASE
images:
- name: ghcr.io/lbstack/lbstack
  newName: mirror.example/lbstack
replacements:
- source: {kind: Deployment, name: lbstack-operator, fieldPath: "spec.template.spec.containers.[name=operator].image"}
  targets:
  - select: {kind: Deployment, name: lbstack-operator}
    fieldPaths: ["spec.template.spec.containers.[name=operator].env.[name=RELATED_IMAGE_LBSTACK].value"]
`

// TestInstallation_Kustomize builds config/default of a clean copy of config/ with kubectl, as a remote base,
// and compares the objects with those of the manifest.
func TestInstallation_Kustomize(t *testing.T) {
	c, clean := administrator(t), t.TempDir()
	if err := os.CopyFS(filepath.Join(clean, "config"), os.DirFS(filepath.Join(server.Repo, "config"))); err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(clean, "config", "default")
	build := func(dir string) objects {
		t.Helper()
		text, err := server.Kubectl(t.Context(), "kustomize", dir)
		if err != nil {
			t.Fatalf("kubectl kustomize: %v: %s", err, text)
		}
		return decode(t, text)
	}
	if diff := cmp.Diff(decode(t, output(t, "go", "run", "./hack/installer")), build(base)); diff != "" {
		t.Errorf("the base (-manifest +base):\n%s", diff)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := c.Create(t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	if out, err := server.Kubectl(t.Context(), "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", base); err != nil {
		t.Errorf("kubectl apply -k: %v: %s", err, out)
	}

	user := filepath.Join(clean, "user")
	if err := os.MkdirAll(user, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(user, "kustomization.yaml"), []byte(strings.Replace(overlay, "BASE", "../config/default", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	mirrored := decode(t, output(t, "go", "run", "./hack/installer", "-image", "mirror.example/lbstack:v0.1.0"))
	if diff := cmp.Diff(mirrored, build(user)); diff != "" {
		t.Errorf("an overlay with the image of a mirror (-manifest for the mirror +overlay):\n%s", diff)
	}
}

// TestInstallation_KustomizeIsDocumented: the overlay that is tested is the one that users read.
func TestInstallation_KustomizeIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(server.Repo, "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(overlay, "BASE", "https://github.com/lbstack/lbstack//config/default?ref=v0.1.0", 1)
	if !strings.Contains(string(text), want) {
		t.Errorf("docs/install.md lacks this kustomization:\n%s", want)
	}
}
