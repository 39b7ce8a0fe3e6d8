package controlplane_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/controlplane"
	"github.com/lbstack/lbstack/hack/devcluster/programs"
)

// timeout bounds a start on a busy machine. A start takes a few seconds.
const timeout = 3 * time.Minute

func binaries(t *testing.T) programs.Binaries {
	t.Helper()
	repo, err := programs.FindRepo(".")
	if err != nil {
		t.Fatal(err)
	}
	found, err := programs.EnsureBinaries(t.Context(), repo, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func start(t *testing.T, o controlplane.Options) *controlplane.ControlPlane {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cp, err := controlplane.Start(ctx, o)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return cp
}

func kubectl(t *testing.T, cp *controlplane.ControlPlane, args ...string) string {
	t.Helper()
	out, err := cp.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestControlPlane(t *testing.T) {
	cp := start(t, controlplane.Options{Binaries: binaries(t), Log: t.Output()})
	kubectl(t, cp, "create", "configmap", "kept", "--from-literal=key=value")

	t.Run("a Service gets a cluster IP of each family", func(t *testing.T) {
		manifest := filepath.Join(t.TempDir(), "service.yaml")
		if err := os.WriteFile(manifest, []byte(dualStackService), 0o600); err != nil {
			t.Fatal(err)
		}
		kubectl(t, cp, "create", "-f", manifest)
		got := strings.Fields(kubectl(t, cp, "get", "service", "web", "-o", "jsonpath={.spec.clusterIPs[0]} {.spec.clusterIPs[1]}"))
		if len(got) != 2 || !strings.HasPrefix(got[0], "10.96.") || !strings.HasPrefix(got[1], "fd96::") {
			t.Errorf("got cluster IPs %q, want one of 10.96.0.0/16 and one of fd96::/112", got)
		}
	})
	t.Run("a Pod needs no service account", func(t *testing.T) {
		kubectl(t, cp, "run", "pod", "--image=localhost/none")
	})
	t.Run("an outage keeps the data and the address", func(t *testing.T) {
		host := cp.ServerURL()
		if err := cp.StopAPIServer(); err != nil {
			t.Fatalf("StopAPIServer: %v", err)
		}
		if out, err := cp.Kubectl(t.Context(), "get", "--raw=/readyz"); err == nil {
			t.Errorf("in the outage the API server answers %q", out)
		}
		if err := cp.StopAPIServer(); err == nil {
			t.Error("a second StopAPIServer: got no error, want one")
		}
		began := time.Now()
		if err := cp.StartAPIServer(t.Context()); err != nil {
			t.Fatalf("StartAPIServer: %v", err)
		}
		t.Logf("ready again after %.1f s", time.Since(began).Seconds())
		if cp.ServerURL() != host {
			t.Errorf("host: got %s, want %s", cp.ServerURL(), host)
		}
		if got, want := kubectl(t, cp, "get", "configmap", "kept", "-o", "jsonpath={.data.key}"), "value"; got != want {
			t.Errorf("kept data: got %q, want %q", got, want)
		}
		if err := cp.StartAPIServer(t.Context()); err == nil {
			t.Error("StartAPIServer of one that runs: got no error, want one")
		}
	})
	t.Run("a deleted namespace goes when the controllers run", func(t *testing.T) {
		if err := cp.StartControllerManager(t.Context()); err != nil {
			t.Fatalf("StartControllerManager: %v", err)
		}
		kubectl(t, cp, "create", "namespace", "brief")
		kubectl(t, cp, "create", "configmap", "inside", "--namespace=brief")
		kubectl(t, cp, "wait", "--namespace=brief", "--for=create", "serviceaccount/default", "--timeout=60s")
		kubectl(t, cp, "delete", "namespace", "brief", "--timeout=60s")
	})
}

const dualStackService = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  ipFamilyPolicy: RequireDualStack
  ports: [{port: 80}]
`

func TestStartFails(t *testing.T) {
	found := binaries(t)
	for _, tc := range []struct {
		name    string
		options controlplane.Options
		want    string
	}{
		{
			"an unknown flag is quoted from the log of the API server",
			controlplane.Options{Binaries: found, APIServerFlags: []string{"--no-such-flag"}}, "unknown flag: --no-such-flag",
		},
		{
			"an etcd that ends at once is named",
			controlplane.Options{Binaries: programs.Binaries{Kubernetes: found.Kubernetes, Etcd: "/bin/false"}}, "etcd (exit status 1)",
		},
		{
			"a program that is not there is named",
			controlplane.Options{Binaries: programs.Binaries{Kubernetes: "/nonexistent", Etcd: found.Etcd}}, "starting kube-apiserver",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.options.Dir = t.TempDir()
			cp, err := controlplane.Start(t.Context(), tc.options)
			if err == nil {
				t.Fatal(cp.Stop(), "got no error, want one")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one that holds %q", err, tc.want)
			}
		})
	}
}

func TestStopRemovesTheTemporaryDirectory(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	cp := start(t, controlplane.Options{Binaries: binaries(t)})
	if err := cp.Stop(); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	left, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 {
		t.Errorf("got %v left, want nothing", left)
	}
	if err := cp.Stop(); err != nil {
		t.Errorf("a second Stop: got %v, want no error", err)
	}
	if err := cp.StartAPIServer(t.Context()); err == nil {
		t.Error("StartAPIServer after Stop: got no error, want one")
	}
}
