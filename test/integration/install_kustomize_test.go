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

	"github.com/lbstack/lbstack/test/remotebase"
)

// remote is the base of docs/install.md: config/default of the repository at the tag of a release. Below it is the
// kustomization there that uses it. `make bundle VERSION=...` sets the tag.
const (
	tag    = "v0.1.0"
	remote = "https://github.com/lbstack/lbstack//config/default?ref=" + tag
)

const overlay = `resources:
- BASE
images:
- name: ghcr.io/lbstack/lbstack
  newName: mirror.example/lbstack/lbstack
replacements:
- source: {kind: Deployment, name: lbstack-operator, fieldPath: "spec.template.spec.containers.[name=operator].image"}
  targets:
  - select: {kind: Deployment, name: lbstack-operator}
    fieldPaths: ["spec.template.spec.containers.[name=operator].env.[name=RELATED_IMAGE_LBSTACK].value"]
`

// TestInstallation_Kustomize has kubectl build config/default from afar, and compares the objects with those of the
// manifest.
func TestInstallation_Kustomize(t *testing.T) {
	c := administrator(t)
	afar, err := remotebase.New(t.Context(), server.Repo, t.TempDir(), tag)
	if err != nil {
		t.Fatal(err)
	}
	build := func(dir string) objects {
		t.Helper()
		text, err := server.Kubectl(t.Context(), "kustomize", dir)
		if err != nil {
			t.Fatalf("kubectl kustomize: %v: %s", err, text)
		}
		return decode(t, text)
	}
	if diff := cmp.Diff(decode(t, output(t, "go", "run", "./hack/installer")), build(afar)); diff != "" {
		t.Errorf("the base (-manifest +base):\n%s", diff)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := c.Create(t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	if out, err := server.Kubectl(t.Context(), "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", afar); err != nil {
		t.Errorf("kubectl apply -k: %v: %s", err, out)
	}

	user := t.TempDir()
	if err := os.WriteFile(filepath.Join(user, "kustomization.yaml"), []byte(strings.Replace(overlay, "BASE", afar, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	mirrored := decode(t, output(t, "go", "run", "./hack/installer", "-image", "mirror.example/lbstack/lbstack:"+tag))
	if diff := cmp.Diff(mirrored, build(user)); diff != "" {
		t.Errorf("an overlay with the image of a mirror (-manifest for the mirror +overlay):\n%s", diff)
	}
}

// TestInstallation_KustomizeIsDocumented: the base and the overlay that are tested are those that users read.
func TestInstallation_KustomizeIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(server.Repo, "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{strings.Replace(overlay, "BASE", remote, 1), "kubectl apply --server-side -k '" + remote + "'"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/install.md lacks this:\n%s", want)
		}
	}
}
