package integration

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/test/apiserver"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestInstallation_AnyOrder applies the manifest and a stack as one application, with the stack first, on an
// API server that has no CRDs yet: a GitOps tool that applies everything again until nothing fails comes to an
// end. The operator runs before there are CRDs, and is started again as the kubelet does when it ends.
func TestInstallation_AnyOrder(t *testing.T) {
	empty, err := apiserver.StartEmpty(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := empty.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := empty.Client()
	if err != nil {
		t.Fatal(err)
	}
	run := func() *process {
		return start(t, "operator", []string{"KUBECONFIG=" + empty.KubeconfigPath(), "POD_NAMESPACE=" + systemNamespace, "RELATED_IMAGE_LBSTACK=" + operatorImage},
			"--metrics-bind-address=0", "--health-probe-bind-address=0")
	}
	operator := run()

	application := decode(t, output(t, "go", "run", "./hack/installer"))
	maps.Copy(application, decode(t, output(t, "cat", "config/samples/lbstack_v1beta1_loadbalancerstack.yaml")))
	const stack = "LoadBalancerStack default"
	// sync applies all objects, in the reverse order of an installation, and returns those that failed.
	sync := func(ctx context.Context) (failed []string, last error) {
		names := slices.Sorted(maps.Keys(application))
		slices.SortStableFunc(names, func(a, b string) int { return rankBackwards(a) - rankBackwards(b) })
		for _, name := range names {
			object := application[name].DeepCopy()
			if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("gitops"), client.ForceOwnership); err != nil {
				failed, last = append(failed, name), fmt.Errorf("applying the %s: %w", name, err)
			}
		}
		return failed, last
	}
	failed, err := sync(t.Context())
	if !slices.Contains(failed, stack) || !meta.IsNoMatchError(err) && !strings.Contains(err.Error(), "not found") {
		t.Fatalf("first attempt: %q failed, the last with %v; want the stack among them, whose kind is not there yet", failed, err)
	}
	eventually.Succeed(t, within, "everything is applied", func(ctx context.Context) error {
		_, err := sync(ctx)
		return err
	})
	eventually.Succeed(t, within, "the operator installs the speakers", func(ctx context.Context) error {
		select {
		case <-operator.done:
			t.Logf("the operator ended, and is started again:\n%s", operator.log)
			operator = run()
		default:
		}
		daemonSet := speakerDaemonSet()
		return c.Get(ctx, client.ObjectKeyFromObject(daemonSet), daemonSet)
	})
	nothingDiffers(t, empty, slices.Collect(maps.Values(application)))
	operator.stop(syscall.SIGTERM)
}

// nothingDiffers applies the objects of an application as Argo CD and Flux do, with the labels by which they prune,
// and wants none to differ from what it is in the cluster then: the operator is at work on it.
func nothingDiffers(t *testing.T, on *apiserver.Server, application []*unstructured.Unstructured) {
	var manifest bytes.Buffer
	for _, object := range application {
		object = object.DeepCopy()
		object.SetLabels(with(object.GetLabels(), tracking.labels))
		object.SetAnnotations(with(object.GetAnnotations(), tracking.annotations))
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		manifest.WriteString("---\n")
		manifest.Write(text)
	}
	file := filepath.Join(t.TempDir(), "application.yaml")
	if err := os.WriteFile(file, manifest.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tool := range applyingTools {
		t.Run(tool.name, func(t *testing.T) {
			for _, command := range []string{"apply", "diff"} { // diff fails if there is a difference
				if out, err := on.Kubectl(t.Context(), append([]string{command, "-f", file}, tool.args...)...); err != nil {
					t.Fatalf("kubectl %s: %v: %s", command, err, out)
				}
			}
		})
	}
}

// with returns the entries of both.
func with(a, b map[string]string) map[string]string {
	all := maps.Clone(b)
	maps.Copy(all, a)
	return all
}

// rankBackwards puts the stack first, and namespaces and CRDs last.
func rankBackwards(name string) int {
	for rank, kind := range []string{"LoadBalancerStack", "Deployment"} {
		if strings.HasPrefix(name, kind+" ") {
			return rank
		}
	}
	if strings.HasPrefix(name, "CustomResourceDefinition ") || strings.HasPrefix(name, "Namespace ") {
		return 9
	}
	return 5
}
