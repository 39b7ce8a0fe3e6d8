package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/test/eventually"
)

// Where Prometheus runs: on a node, from which it reaches all pods.
const prometheusHost, prometheusAddress = "node1", "127.0.0.1:9099"

// TestMetrics_PrometheusReadsAllPrograms runs Debian's Prometheus with the ServiceAccount and the
// configuration of docs/metrics.md, but for its discovery, and checks each page that it reads with
// promtool.
func TestMetrics_PrometheusReadsAllPrograms(t *testing.T) {
	installed(t)
	ctx := background(t)
	for document := range strings.SplitSeq(documented(t, "ServiceAccount that reads"), "\n---\n") {
		object := &unstructured.Unstructured{}
		must(t, yaml.Unmarshal([]byte(document), &object.Object))
		must(t, bed.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()), client.FieldOwner("lbstack-scenario"), client.ForceOwnership))
		t.Cleanup(func() { must(t, client.IgnoreNotFound(bed.Client.Delete(context.Background(), object))) })
	}
	token := prometheus(t, ctx)

	want := map[string]int{"operator": 2, "controller": 2, "speaker": len(bed.Cluster.Nodes())}
	var active []target
	eventually.Succeed(t, within, "Prometheus reads the metrics of all programs", func(ctx context.Context) (err error) {
		if active, err = targets(ctx); err != nil {
			return err
		}
		up := map[string]int{}
		for _, a := range active {
			if a.Health == "up" && a.Labels["job"] == "lbstack" && a.Labels["node"] != "" && a.Labels["pod"] != "" {
				up[a.Labels["component"]]++
			}
		}
		for component, n := range want {
			if up[component] != n {
				return fmt.Errorf("targets of the %s that are up: got %d, want %d of\n%+v", component, up[component], n, active)
			}
		}
		return nil
	})
	eventually.Succeed(t, within, "Prometheus answers with what speakers know", func(ctx context.Context) error {
		var got struct {
			Data struct {
				Result []struct {
					Value [2]any `json:"value"`
				} `json:"result"`
			} `json:"data"`
		}
		if err := decode(ctx, "/api/v1/query?query=min(lbstack_mesh_live_speakers)", &got); err != nil {
			return err
		}
		if n := fmt.Sprint(want["speaker"]); len(got.Data.Result) != 1 || got.Data.Result[0].Value[1] != n {
			return fmt.Errorf("speakers that are alive: got %+v, want %s", got.Data.Result, n)
		}
		return nil
	})
	for _, a := range active {
		page, err := get(ctx, a.URL, token)
		must(t, err)
		checked(t, a.Labels["pod"], page)
	}
}

// documented returns the block of docs/metrics.md that begins with a comment.
func documented(t *testing.T, comment string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(bed.Repo, "docs", "metrics.md"))
	must(t, err)
	_, rest, found := strings.Cut(string(page), "```yaml\n# "+comment)
	_, rest, _ = strings.Cut(rest, "\n")
	block, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatalf("docs/metrics.md has no block with the comment %q", comment)
	}
	return block
}

// prometheus runs Prometheus until the test ends, and returns the token that it reads metrics with.
func prometheus(t *testing.T, ctx context.Context) (token string) {
	t.Helper()
	dir := t.TempDir()
	request := &authenticationv1.TokenRequest{}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: componentNamespace, Name: "lbstack-prometheus"}}
	must(t, bed.Client.SubResource("token").Create(ctx, account, request))
	token = request.Status.Token
	tokenFile := filepath.Join(dir, "token")
	must(t, os.WriteFile(tokenFile, []byte(token), 0o600))

	// Prometheus is no pod in this test, and has the token in another file. Debian builds it without the
	// discovery of Kubernetes, so that it gets the discovered pods as static targets.
	var settings map[string]any
	must(t, yaml.Unmarshal([]byte(documented(t, "configuration of Prometheus")), &settings))
	job := settings["scrape_configs"].([]any)[0].(map[string]any)
	job["scrape_interval"], job["scrape_timeout"] = "2s", "2s"
	job["authorization"] = map[string]any{"credentials_file": tokenFile}
	delete(job, "kubernetes_sd_configs")
	job["static_configs"] = discovered(t, ctx, token)
	text, err := yaml.Marshal(settings)
	must(t, err)
	file := filepath.Join(dir, "prometheus.yaml")
	must(t, os.WriteFile(file, text, 0o600))

	// In the network namespace of the node, with the files of this machine.
	cmd := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+prometheusAddress)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	must(t, bed.Cluster.RunInHost(prometheusHost, cmd.Start))
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of Prometheus:\n%s", log.String())
		}
	})
	return token
}

// discovered lists what the discovery of pods finds with a token: each port of each container, with
// the labels of its pod that docs/metrics.md uses.
func discovered(t *testing.T, ctx context.Context, token string) (found []any) {
	t.Helper()
	administrator, err := clientcmd.BuildConfigFromFlags("", bed.Cluster.KubeconfigPath())
	must(t, err)
	config := rest.AnonymousClientConfig(administrator)
	config.BearerToken = token
	reader, err := client.New(config, client.Options{})
	must(t, err)
	var pods corev1.PodList
	must(t, reader.List(ctx, &pods, client.InNamespace(componentNamespace)))
	for _, pod := range pods.Items {
		for _, port := range pod.Spec.Containers[0].Ports {
			found = append(found, map[string]any{
				"targets": []string{net.JoinHostPort(pod.Status.PodIP, fmt.Sprint(port.ContainerPort))},
				"labels": map[string]string{
					"__meta_kubernetes_pod_name": pod.Name, "__meta_kubernetes_pod_node_name": pod.Spec.NodeName,
					"__meta_kubernetes_pod_container_port_name":               port.Name,
					"__meta_kubernetes_pod_label_app_kubernetes_io_component": pod.Labels["app.kubernetes.io/component"],
				},
			})
		}
	}
	return found
}

// target is a scrape target of Prometheus.
type target struct {
	URL    string            `json:"scrapeUrl"`
	Health string            `json:"health"`
	Error  string            `json:"lastError"`
	Labels map[string]string `json:"labels"`
}

func targets(ctx context.Context) ([]target, error) {
	var got struct {
		Data struct {
			Active []target `json:"activeTargets"`
		} `json:"data"`
	}
	err := decode(ctx, "/api/v1/targets?state=active", &got)
	return got.Data.Active, err
}

// decode reads an answer of Prometheus.
func decode(ctx context.Context, path string, into any) error {
	answer, err := get(ctx, "http://"+prometheusAddress+path, "")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("reading the answer of Prometheus to %s: %w", path, err)
	}
	return nil
}

// get reads a page from the host of Prometheus, as Prometheus does: without verifying a certificate.
func get(ctx context.Context, url, token string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	from := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
			err = bed.Cluster.RunInHost(prometheusHost, func() (err error) {
				conn, err = net.DialTimeout(network, address, 5*time.Second)
				return err
			})
			return conn, err
		},
	}
	response, err := (&http.Client{Transport: from, Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return nil, err
	}
	page, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: got the status %s: %s", url, response.Status, page)
	}
	return page, err
}

// checked has promtool check the metrics of lbstack on a page. Metrics of other libraries are left out.
func checked(t *testing.T, pod string, page []byte) {
	t.Helper()
	var own strings.Builder
	for line := range strings.Lines(string(page)) {
		if fields := strings.Fields(line); len(fields) > 0 && slices.ContainsFunc(fields[:min(3, len(fields))], func(f string) bool { return strings.HasPrefix(f, "lbstack_") }) {
			own.WriteString(line)
		}
	}
	if own.Len() == 0 {
		t.Errorf("%s: its page has no metric of lbstack:\n%s", pod, page)
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(own.String())
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: promtool check metrics: %v\n%s", pod, err, out)
	}
}
