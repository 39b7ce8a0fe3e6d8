package helm

import (
	"context"
	"fmt"
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

// earlier is the version that is upgraded. It is built from this tree with another CRD of communities, which has the
// field extraField.
const (
	earlier    = "v0.0.9"
	extraField = "ofTheEarlierVersion"
)

// Both versions of a chart in Chart.yaml.
var (
	chartVersion = regexp.MustCompile(`(?m)^version: .*$`)
	appVersion   = regexp.MustCompile(`(?m)^appVersion: (.*)$`)
)

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

	b.must(b.LoadBuild(b.step(), t.TempDir(), scenario.Build{Version: earlier, Replaced: map[string]string{
		"config/crd/bases/lbstack.io_communities.yaml": b.withField("config/crd/bases/lbstack.io_communities.yaml"),
	}}))
	b.helm("install", release, b.earlierChart(), "--values", b.values, "--wait", "--timeout", "5m")
	b.runs(earlier)
	b.must(b.Apply(b.step(), "web.yaml", "service.yaml"))
	address, err := b.Address(b.step(), scenario.SampleService)
	b.must(err)
	b.page(address)
	b.helm("test", release, "--timeout", "5m")

	chart, current := filepath.Join(b.Repo, "charts", "lbstack"), b.version()
	b.helm("upgrade", release, chart, "--values", b.values, "--set", "replicas=1,stack.controller.replicas=1", "--wait", "--timeout", "5m")
	b.runs(current)
	b.replicas(1)
	b.page(address)
	b.helm("test", release, "--timeout", "5m")

	// The way back needs a permission: until then the CRDs stay, too.
	permit := "annotate lbs default lbstack.io/allow-downgrade=" + earlier + " --overwrite"
	if out, err := b.run("rollback", release, "1", "--wait", "--timeout", "5m"); err == nil || !strings.Contains(out, "kubectl "+permit) {
		t.Errorf("helm rollback without permission: %v: %s; want a refusal that names the command to run", err, out)
	}
	b.runs(current)
	b.replicas(1)
	b.kubectl(strings.Fields(permit)...)
	b.helm("rollback", release, "1", "--wait", "--timeout", "5m")
	b.runs(earlier)
	b.replicas(2)
	b.page(address)
	if left := b.kubectl("get", "clusterroles,clusterrolebindings", "--output=name"); strings.Contains(left, "lbstack-upgrade-crds") {
		t.Errorf("rights of the Job for the CRDs, after it succeeded:\n%s", left)
	}

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
	// The CRDs are still those of the earlier chart.
	if !b.isEarlier() {
		t.Error("helm uninstall changed a CRD")
	}
	b.helm("install", release, chart, "--values", b.values, "--wait", "--timeout", "5m")
	b.runs(current)
	again, err := b.Address(b.step(), scenario.SampleService)
	b.must(err)
	if again != address {
		t.Errorf("address after the installation again: %s, want %s as before", again, address)
	}
	b.page(again)
}

// earlierChart is the chart of the earlier version.
func (b *bed) earlierChart() string {
	b.Helper()
	chart := filepath.Join(b.TempDir(), "lbstack")
	b.must(os.CopyFS(chart, os.DirFS(filepath.Join(b.Repo, "charts", "lbstack"))))
	about := chartVersion.ReplaceAllString(b.read("charts/lbstack/Chart.yaml"), "version: "+strings.TrimPrefix(earlier, "v"))
	about = appVersion.ReplaceAllString(about, "appVersion: "+earlier)
	b.must(os.WriteFile(filepath.Join(chart, "Chart.yaml"), []byte(about), 0o600))
	const crd = "crds/communities.lbstack.io.yaml"
	b.must(os.WriteFile(filepath.Join(chart, crd), []byte(b.withField("charts/lbstack/"+crd)), 0o600))
	return chart
}

// withField is a file of the repository with the CRD of communities, with the field of the earlier version.
func (b *bed) withField(name string) string {
	b.Helper()
	text, before := b.read(name), "\n              communities:\n"
	if strings.Count(text, before) != 1 {
		b.Fatalf("%s does not have the field communities once", name)
	}
	return strings.Replace(text, before, "\n              "+extraField+":\n                type: string"+before, 1)
}

// version is that of lbstack in the chart of the repository.
func (b *bed) version() string {
	b.Helper()
	found := appVersion.FindStringSubmatch(b.read("charts/lbstack/Chart.yaml"))
	if found == nil {
		b.Fatal("the chart has no appVersion")
	}
	return found[1]
}

func (b *bed) read(name string) string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.Repo, name))
	b.must(err)
	return string(text)
}

// runs waits until a version runs on all nodes and the stack is Ready, and compares the CRDs.
func (b *bed) runs(version string) {
	b.Helper()
	eventually.Succeed(b.T, within, version+" runs on all nodes", func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		err := b.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack)
		if err == nil && stack.Status.Version != version {
			err = fmt.Errorf("the stack has the version %q: %s", stack.Status.Version, stack.Status.Summary)
		}
		return err
	})
	b.ready()
	if isEarlier := b.isEarlier(); isEarlier != (version == earlier) {
		b.Errorf("%s runs, and the CRD is that of %s: %t", version, earlier, isEarlier)
	}
}

// isEarlier returns whether the CRD has the field of the earlier version.
func (b *bed) isEarlier() bool {
	b.Helper()
	return strings.Contains(b.kubectl("get", "crd/communities.lbstack.io", "--output=jsonpath={.spec}"), extraField)
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
