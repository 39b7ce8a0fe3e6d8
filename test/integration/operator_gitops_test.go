package integration

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// tracking is how GitOps tools recognize what they apply. Objects with it that are not in
// their source are deleted, so that the operator must not copy it.
var tracking = struct{ labels, annotations map[string]string }{
	labels: map[string]string{
		"argocd.argoproj.io/instance":           "lbstack",
		"kustomize.toolkit.fluxcd.io/name":      "lbstack",
		"kustomize.toolkit.fluxcd.io/namespace": "flux-system",
	},
	annotations: map[string]string{"argocd.argoproj.io/tracking-id": "lbstack:lbstack.io/LoadBalancerStack:/default"},
}

// applyingTools are the ways in which GitOps tools apply.
var applyingTools = []struct {
	name string
	args []string
}{
	{"server-side apply", []string{"--server-side", "--force-conflicts", "--field-manager=argocd-controller"}},
	{"server-side apply of another manager", []string{"--server-side", "--force-conflicts", "--field-manager=kustomize-controller"}},
	{"client-side apply", []string{"--field-manager=kubectl-client-side-apply"}},
}

// The same file is applied again and again: nothing may differ afterwards, and nothing may be
// written because of it.
func TestStack_GitOpsToolsFindNoDifference(t *testing.T) {
	b := newReadyBed(t)
	file := b.stackFile()
	for _, tool := range applyingTools {
		t.Run(tool.name, func(t *testing.T) {
			kubectl := func(command string) string {
				t.Helper()
				out, err := server.Kubectl(t.Context(), append([]string{command, "-f", file}, tool.args...)...)
				if err != nil {
					t.Fatalf("kubectl %s: %v: %s", command, err, out)
				}
				return string(out)
			}
			kubectl("apply") // takes the fields over
			b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
			b.nothingIsWritten()
			before := b.versions()
			if diff := kubectl("diff"); diff != "" {
				t.Errorf("kubectl diff after the first apply:\n%s", diff)
			}
			kubectl("apply")
			b.nothingIsWritten()
			if now := b.versions(); !maps.Equal(before, now) {
				t.Errorf("resource versions after the second apply (-before +now):\n%s", cmp.Diff(before, now))
			}
		})
	}
	for _, object := range append(components(), pool("first-pool"), advertisement("example")) {
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		for key := range tracking.labels {
			if _, has := object.GetLabels()[key]; has {
				t.Errorf("%s has the label %s of a GitOps tool", name(object), key)
			}
		}
		for key := range tracking.annotations {
			if _, has := object.GetAnnotations()[key]; has {
				t.Errorf("%s has the annotation %s of a GitOps tool", name(object), key)
			}
		}
	}
}

// stackFile writes the stack as it stands in a repository, without what only the cluster has.
func (b *operatorBed) stackFile() string {
	b.Helper()
	stack := &v1beta1.LoadBalancerStack{}
	stack.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("LoadBalancerStack"))
	stack.Name, stack.Labels, stack.Annotations, stack.Spec = v1beta1.LoadBalancerStackName, tracking.labels, tracking.annotations, aSpec()
	raw, err := yaml.Marshal(stack)
	if err != nil {
		b.Fatal(err)
	}
	text, _, _ := strings.Cut(string(raw), "\nstatus:")
	path := filepath.Join(b.TempDir(), "stack.yaml")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}
