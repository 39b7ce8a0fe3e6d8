// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// These tests bring real clusters up and need root. Run them with
//
//	go test -tags e2e -timeout 15m ./cluster
package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
	"github.com/lbstack/lbstack/hack/devcluster/ociimage"
)

const manifest = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: [{operator: Exists}]
      containers:
      - name: web
        image: ` + cluster.WebImage + `
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ipFamilyPolicy: RequireDualStack, ports: [{port: 80, targetPort: 8080}]}
`

func TestACluster(t *testing.T) {
	ctx := t.Context()
	name := "selftest"
	began := time.Now()
	c, err := cluster.Up(ctx, cluster.Options{Name: name, Nodes: 2, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up in %s", time.Since(began))
	t.Cleanup(func() {
		if err := cluster.Down(context.Background(), name); err != nil {
			t.Errorf("taking the cluster down: got %v, want no error", err)
		}
		expectNothingLeft(t, c, name)
	})
	kubectl(t, c, manifest, "apply", "--filename=-")
	kubectl(t, c, "", "rollout", "status", "daemonset/web", "--timeout=60s")

	t.Run("bringing it up again returns at once", func(t *testing.T) {
		began := time.Now()
		if _, err := cluster.Up(ctx, cluster.Options{Name: name}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("got it back after %s, want 3s at most", took)
		}
	})
	t.Run("a Service answers on every host of the cluster in both families", func(t *testing.T) {
		for _, family := range []string{"{.spec.clusterIPs[0]}", "{.spec.clusterIPs[1]}"} {
			address := kubectl(t, c, "", "get", "service", "web", "--output=jsonpath="+family)
			for _, host := range append(c.Nodes(), "control-plane") {
				await(t, host+" asks "+address, func() error { return ask(c, host, net.JoinHostPort(address, "80")) })
			}
		}
	})
	t.Run("pods reach pods of other nodes, and the client reaches pods", func(t *testing.T) {
		for _, address := range strings.Fields(kubectl(t, c, "", "get", "pods", "--output=jsonpath={range .items[*]}{.status.podIPs[*].ip} {end}")) {
			for _, host := range append(c.Nodes(), "client") {
				await(t, host+" asks "+address, func() error { return ask(c, host, net.JoinHostPort(address, "8080")) })
			}
		}
	})
	t.Run("logs and exec come through the API server", func(t *testing.T) {
		if got := kubectl(t, c, "", "exec", "daemonset/web", "--", "/web", "-help"); got != "" {
			t.Errorf("output of the program: got %q, want none on the standard output", got)
		}
		kubectl(t, c, "", "logs", "daemonset/web")
	})
	t.Run("the router's programs go before those of the nodes", func(t *testing.T) {
		weight := func(host string) int {
			out, err := c.Exec(ctx, host, "sh", "-c", "cat /sys/fs/cgroup/cpu*/cpu.shares /sys/fs/cgroup/cpu.weight 2>/dev/null | head -1")
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(strings.TrimSpace(string(out)))
			if err != nil {
				t.Fatalf("weight of %s: %v", host, err)
			}
			return n
		}
		if router, node := weight("router"), weight("node1"); node < 1 || router != 100*node {
			t.Errorf("weights of the router and of a node: got %d and %d, want the first to be 100 times the second", router, node)
		}
	})
	t.Run("a host whose cable is pulled has no carrier", func(t *testing.T) {
		for _, up := range []bool{false, true} {
			if err := c.SetLink("client", up); err != nil {
				t.Fatal(err)
			}
			await(t, fmt.Sprintf("carrier is %t", up), func() error {
				out, err := c.Exec(ctx, "client", "ip", "link", "show", "eth0")
				if err == nil && strings.Contains(string(out), "NO-CARRIER") == up {
					err = fmt.Errorf("link %s", out)
				}
				return err
			})
		}
	})
	t.Run("a paused node answers nothing until it is resumed", func(t *testing.T) {
		target := podOf(t, c, "node2")
		if err := c.Pause("node2"); err != nil {
			t.Fatal(err)
		}
		if err := ask(c, "node1", target); err == nil {
			t.Error("asking a pod of it: got an answer, want none")
		}
		if err := c.Resume("node2"); err != nil {
			t.Fatal(err)
		}
		await(t, "the pod answers again", func() error { return ask(c, "node1", target) })
	})
	t.Run("a node that was killed comes back with its pods", func(t *testing.T) {
		if err := c.Kill("node2"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(ctx, "node2", "true"); !errors.Is(err, cluster.ErrPoweredOff) {
			t.Errorf("running a program on it: got %v, want %v", err, cluster.ErrPoweredOff)
		}
		if err := c.Start(ctx, "node2"); err != nil {
			t.Fatal(err)
		}
		await(t, "a pod of it answers", func() error { return ask(c, "client", podOf(t, c, "node2")) })
	})
	t.Run("a program that was stopped stays stopped until it is started", func(t *testing.T) {
		if err := c.StopControlPlaneProgram("kube-apiserver"); err != nil {
			t.Fatal(err)
		}
		if err := ask(c, "node1", "192.168.1.10:6443"); err == nil {
			t.Error("asking the API server: got an answer, want none")
		}
		if err := c.StartControlPlaneProgram("kube-apiserver"); err != nil {
			t.Fatal(err)
		}
		await(t, "the API server answers", func() error { return ask(c, "node1", "192.168.1.10:6443") })
	})
	t.Run("bringing it up repairs what is broken", func(t *testing.T) {
		for _, breakIt := range []func() error{
			func() error { return c.Kill("node1") }, func() error { return c.Pause("node2") }, func() error { return c.SetLink("router", false) },
			func() error { return c.StopControlPlaneProgram("kube-scheduler") },
		} {
			if err := breakIt(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := cluster.Up(ctx, cluster.Options{Name: name, Progress: t.Output()}); err != nil {
			t.Fatal(err)
		}
		for _, h := range c.Status(ctx) {
			if h.Power == cluster.PowerOff || h.Power == cluster.PowerPaused || !h.Link {
				t.Errorf("host %s: got %s, link %t, want it to run with its link", h.Name, h.Power, h.Link)
			}
		}
	})
	t.Run("the control plane keeps what it stored when its power fails", func(t *testing.T) {
		if err := c.Kill("control-plane"); err != nil {
			t.Fatal(err)
		}
		if err := c.Start(ctx, "control-plane"); err != nil {
			t.Fatal(err)
		}
		kubectl(t, c, "", "get", "service", "web")
	})
	t.Run("an image is loaded into every node", func(t *testing.T) {
		archive := filepath.Join(t.TempDir(), "image.tar")
		var b bytes.Buffer
		image := ociimage.Image{Name: "example.com/loaded:1", Files: []ociimage.File{{Path: "/a", Content: []byte("a")}}}
		if err := image.Write(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(archive, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.LoadImage(ctx, archive); err != nil {
			t.Fatal(err)
		}
		for _, node := range c.Nodes() {
			out, err := c.Exec(ctx, node, "ctr", "-n", "k8s.io", "images", "ls", "-q")
			if err != nil || !strings.Contains(string(out), image.Name) {
				t.Errorf("images of %s: got %s, %v, want %s among them", node, out, err, image.Name)
			}
		}
	})
}

// ask dials from the host and wants any answer of an HTTP server.
func ask(c *cluster.Cluster, host, target string) error {
	return c.RunInHost(host, func() error {
		conn, err := net.DialTimeout("tcp", target, 2*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		request, err := http.NewRequest(http.MethodGet, "http://"+target+"/", nil)
		if err != nil {
			return err
		}
		if err := request.Write(conn); err != nil {
			return err
		}
		_, err = io.ReadFull(conn, make([]byte, len("HTTP/1.1")))
		return err
	})
}

func podOf(t *testing.T, c *cluster.Cluster, node string) string {
	t.Helper()
	address := kubectl(t, c, "", "get", "pods", "--field-selector=spec.nodeName="+node, "--output=jsonpath={.items[0].status.podIP}")
	return net.JoinHostPort(address, "8080")
}

func kubectl(t *testing.T, c *cluster.Cluster, input string, args ...string) string {
	t.Helper()
	line, err := c.KubectlCommandLine(args...)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.KubeconfigPath(), "KUBECACHEDIR="+t.TempDir())
	cmd.Stdin = strings.NewReader(input)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %v: %v: %s", args, err, complaint.String())
	}
	return strings.TrimSpace(string(out))
}

func await(t *testing.T, what string, fn func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = fn(); err == nil {
			return
		}
	}
	t.Errorf("%s: got %v, want no error", what, err)
}

func expectNothingLeft(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	if _, err := os.Stat(c.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cluster's folder: got %v, want it gone", err)
	}
	for _, pattern := range []string{"/var/run/netns/lbstack-" + name + "-*", "/sys/fs/cgroup/lbstack/" + name, "/sys/fs/cgroup/*/lbstack/" + name} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left over: got %v, want nothing", left)
		}
	}
	for _, file := range []string{"mounts", "cmdline"} {
		paths, _ := filepath.Glob("/proc/[0-9]*/" + file)
		for _, path := range paths {
			if data, _ := os.ReadFile(path); bytes.Contains(data, []byte(c.Dir())) {
				t.Errorf("%s: got the cluster's folder in it, want it nowhere", path)
			}
		}
	}
}
