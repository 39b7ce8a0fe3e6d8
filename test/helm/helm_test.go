package helm

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

const (
	namespace = "lbstack-system"
	release   = "lbstack"
	// within is how long the cluster has for a step.
	within = 5 * time.Minute
)

// The values of the release that is installed; an upgrade changes them.
const values = `
stack:
  ipAddressPools: [{name: first-pool, addresses: [192.168.1.240-192.168.1.250]}]
  l2Advertisements: [{name: example}]
`

// version is that of the chart in Chart.yaml.
var version = regexp.MustCompile(`(?m)^version: .*$`)

// bed is the cluster of `make test-helm`, with the image and without the operator.
type bed struct {
	*testing.T
	*scenario.Scenario
	values string
}

func TestChart_LifeOfARelease(t *testing.T) {
	s, err := scenario.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{T: t, Scenario: s, values: filepath.Join(t.TempDir(), "values.yaml")}
	b.must(os.WriteFile(b.values, []byte(values), 0o600))
	labels := map[string]string{"pod-security.kubernetes.io/enforce": "privileged"}
	b.must(b.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: labels}}))

	b.helm("install", release, b.earlierChart(), "--values", b.values, "--wait", "--timeout", "5m")
	b.ready()
	if !b.isEarlier() {
		t.Fatal("the CRD of the earlier chart lacks its field")
	}
	b.must(b.Apply(b.step(), "web.yaml", "service.yaml"))
	address, err := b.Address(b.step(), scenario.SampleService)
	b.must(err)
	b.page(address)
	b.helm("test", release, "--timeout", "5m")

	chart := filepath.Join(b.Repo, "charts", "lbstack")
	b.helm("upgrade", release, chart, "--values", b.values, "--set", "replicas=1,stack.controller.replicas=1", "--wait", "--timeout", "5m")
	b.ready()
	if b.isEarlier() {
		t.Error("the upgrade left the CRD of the earlier chart")
	}
	b.replicas(1)
	b.page(address)
	b.helm("test", release, "--timeout", "5m")

	b.helm("rollback", release, "1", "--wait", "--timeout", "5m")
	b.ready()
	b.replicas(2)
	b.page(address)

	if out, err := b.run("uninstall", release, "--wait", "--timeout", "1m", "--debug"); err == nil || !strings.Contains(out, "kubectl delete loadbalancerstack default") {
		t.Errorf("helm uninstall under a stack: %v: %s; want a refusal that names the command to run", err, out)
	}
	b.ready()
	b.page(address)

	b.removeStack()
	b.helm("uninstall", release, "--wait", "--timeout", "5m")
	var deployment appsv1.Deployment
	if err := b.Client.Get(b.step(), client.ObjectKey{Namespace: namespace, Name: "lbstack-operator"}, &deployment); !apierrors.IsNotFound(err) {
		t.Errorf("the operator after helm uninstall: %v, want it gone", err)
	}
	b.helm("install", release, chart, "--values", b.values, "--wait", "--timeout", "5m")
	b.ready()
	again, err := b.Address(b.step(), scenario.SampleService)
	b.must(err)
	if again != address {
		t.Errorf("address after the installation again: %s, want %s as before", again, address)
	}
	b.page(again)
}

// earlierChart is the chart with another version and a field of a CRD that the present one does not have.
func (b *bed) earlierChart() string {
	b.Helper()
	source, target := filepath.Join(b.Repo, "charts", "lbstack"), filepath.Join(b.TempDir(), "lbstack")
	b.must(filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(target, name), 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(content)
		switch name {
		case "Chart.yaml":
			text = version.ReplaceAllString(text, "version: 0.0.1")
		case filepath.Join("crds", "communities.lbstack.io.yaml"):
			text = strings.Replace(text, "\n              communities:\n", "\n              ofTheEarlierVersion:\n                type: string\n              communities:\n", 1)
		}
		return os.WriteFile(filepath.Join(target, name), []byte(text), 0o600)
	}))
	return target
}

// isEarlier returns whether the CRD has the field of the earlier chart.
func (b *bed) isEarlier() bool {
	b.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	b.must(b.Client.Get(b.step(), client.ObjectKey{Name: "communities.lbstack.io"}, crd))
	return strings.Contains(fmt.Sprint(crd.Object["spec"]), "ofTheEarlierVersion")
}

func (b *bed) ready() {
	b.Helper()
	b.must(b.StackReady(b.step()))
}

func (b *bed) page(address string) {
	b.Helper()
	if _, err := b.Page(b.step(), address); err != nil {
		b.Fatalf("the page at %s: %v", address, err)
	}
}

// replicas compares the number of operators with that of the values.
func (b *bed) replicas(want int32) {
	b.Helper()
	var deployment appsv1.Deployment
	b.must(b.Client.Get(b.step(), client.ObjectKey{Namespace: namespace, Name: "lbstack-operator"}, &deployment))
	if got := *deployment.Spec.Replicas; got != want {
		b.Errorf("the release has %d operators, want %d", got, want)
	}
}

func (b *bed) removeStack() {
	b.Helper()
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	b.must(b.Client.Delete(b.step(), stack))
	eventually.Succeed(b.T, within, "the stack is gone", func(ctx context.Context) error {
		if err := b.Client.Get(ctx, client.ObjectKeyFromObject(stack), stack); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there, %s: %w", stack.Status.Summary, err)
		}
		return nil
	})
}

// helm runs bin/helm on the cluster.
func (b *bed) helm(args ...string) {
	b.Helper()
	began := time.Now()
	if out, err := b.run(args...); err != nil {
		b.Fatalf("helm %s: %v: %s", strings.Join(args, " "), err, out)
	}
	b.Logf("helm %s: %.1f s", args[0], time.Since(began).Seconds())
}

func (b *bed) run(args ...string) (string, error) {
	b.Helper()
	args = append(args, "--namespace", namespace, "--kubeconfig", b.Cluster.KubeconfigPath())
	out, err := exec.CommandContext(b.Context(), filepath.Join(b.Repo, "bin", "helm"), args...).CombinedOutput()
	return string(out), err
}

// step returns a context that bounds one step.
func (b *bed) step() context.Context {
	ctx, cancel := context.WithTimeout(b.Context(), within)
	b.Cleanup(cancel)
	return ctx
}

func (b *bed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
