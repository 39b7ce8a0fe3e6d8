package helm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/remotebase"
	"github.com/lbstack/lbstack/test/scenario"
)

// TestBase_FromAnEmptyCluster does what docs/install.md says for kustomize: a remote base is applied, the stack after
// it; both are deleted in the other order. It runs before the tests of the chart, which need an empty cluster as well.
func TestBase_FromAnEmptyCluster(t *testing.T) {
	s, err := scenario.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{T: t, Scenario: s}
	base, err := remotebase.New(t.Context(), s.Repo, t.TempDir(), "v0.1.0")
	b.must(err)
	b.kubectl("apply", "--server-side", "-k", base)
	b.kubectl("-n", namespace, "rollout", "status", "deployment/lbstack-operator", "--timeout", "5m")
	b.kubectl("apply", "-f", filepath.Join(s.Repo, "config", "samples", "lbstack_v1beta1_loadbalancerstack.yaml"))
	b.kubectl("wait", "loadbalancerstack/default", "--for=condition=Ready", "--timeout", "5m")
	b.must(b.Apply(b.step(), "web.yaml", "service.yaml"))
	address, err := b.Address(b.step(), scenario.SampleService)
	b.must(err)
	b.page(address)

	b.kubectl("delete", "loadbalancerstack", "default", "--timeout", "5m")
	b.kubectl("delete", "-k", base, "--timeout", "5m")
	b.kubectl("delete", "-f", filepath.Join(s.Repo, "config", "samples", "service.yaml"), "-f", filepath.Join(s.Repo, "config", "samples", "web.yaml"))
	eventually.Succeed(t, within, "nothing of lbstack is left", func(context.Context) error {
		const kinds = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
		for name := range strings.FieldsSeq(b.kubectl("get", kinds, "--output=name")) {
			if strings.Contains(name, "lbstack") {
				return fmt.Errorf("%s is there", name)
			}
		}
		return nil
	})
}

// kubectl runs the cluster's own kubectl, and returns what it printed.
func (b *bed) kubectl(args ...string) string {
	b.Helper()
	line, err := b.Cluster.KubectlCommandLine(args...)
	b.must(err)
	cmd := exec.CommandContext(b.step(), line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.Cluster.KubeconfigPath(), "KUBECACHEDIR="+filepath.Join(b.Cluster.Dir(), "kubectl-cache"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
