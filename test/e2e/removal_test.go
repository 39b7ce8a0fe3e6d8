package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// kubectl runs kubectl on the cluster, and returns what it printed.
func kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	line, err := bed.Cluster.KubectlCommandLine(args...)
	must(t, err)
	cmd := exec.CommandContext(background(t), line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+bed.Cluster.KubeconfigPath(), "KUBECACHEDIR="+t.TempDir())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

// The operator is removed first without the removal of the stack, then in the right order
// while a node is dead, and then is installed again.
func TestRemovalAndInstallationAgain(t *testing.T) {
	manifest := filepath.Join(bed.Repo, "dist", "install.yaml")
	install := func() {
		if out, err := kubectl(t, "apply", "--server-side", "--force-conflicts", "-f", manifest); err != nil {
			t.Fatalf("installing: %v: %s", err, out)
		}
		if out, err := kubectl(t, "-n", componentNamespace, "rollout", "status", "deployment/lbstack-operator", "--timeout=100s"); err != nil {
			t.Fatalf("waiting for the operator: %v: %s", err, out)
		}
	}
	t.Cleanup(func() { install() })
	installed(t)
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	// The second Service has the lower address once the first is gone: only its claim gives it its own address.
	first := served(t)
	balancer(t, "second")
	second, err := bed.Address(background(t), "second")
	must(t, err)
	withdraw(t, "web")

	out, err := kubectl(t, "delete", "-f", manifest)
	if want := "run `kubectl delete loadbalancerstack default` first"; err == nil || !strings.Contains(out, want) {
		t.Fatalf("kubectl delete under a stack: got %v and %q, want an error with %q", err, out, want)
	}
	if _, err := bed.Page(background(t), second); err != nil {
		t.Errorf("after the refusal: %v", err)
	}

	victim := bed.Cluster.Nodes()[0]
	must(t, bed.Cluster.Kill(victim))
	t.Cleanup(func() { must(t, bed.Cluster.Start(background(t), victim)) })
	begun := time.Now()
	must(t, bed.Client.Delete(background(t), stack))
	gone(t, stack)
	t.Logf("with a dead node the stack was gone after %s", time.Since(begun).Round(100*time.Millisecond))
	must(t, bed.Cluster.Start(background(t), victim))

	installed(t)
	if again, err := bed.Address(background(t), "second"); err != nil || again != second {
		t.Errorf("after the stack was made again the second Service has %q (%v), want %s and not %s", again, err, second, first)
	}
	if _, err := bed.Page(background(t), second); err != nil {
		t.Error(err)
	}

	if out, err := kubectl(t, "delete", "loadbalancerstack", "default"); err != nil {
		t.Fatalf("deleting the stack: %v: %s", err, out)
	}
	begun = time.Now()
	if out, err := kubectl(t, "delete", "-f", manifest); err != nil {
		t.Fatalf("deleting the installation: %v: %s", err, out)
	}
	t.Logf("the installation was gone after %s", time.Since(begun).Round(100*time.Millisecond))
	eventually.Succeed(t, within, "nothing of the manifest is left", func(context.Context) error {
		out, err := kubectl(t, "get", "--ignore-not-found", "--output=name", "-f", manifest)
		if err == nil && out != "" {
			err = fmt.Errorf("left: %s", strings.Join(strings.Fields(out), ", "))
		}
		return err
	})
	install()
	installed(t)
	if again, err := bed.Address(background(t), "second"); err != nil || again != second {
		t.Errorf("after everything was installed again the second Service has %q (%v), want %s and not %s", again, err, second, first)
	}
	served(t)
}
