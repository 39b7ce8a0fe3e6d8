package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/test/eventually"
)

// metricsReader makes a ServiceAccount that may read metrics, and returns a token of it.
func metricsReader(b *bed, name string) (token string) {
	b.Helper()
	(&operatorBed{T: b.T, Client: b.Client}).install("metrics")
	token = account(b, name)
	create(b.T, b.Client, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: b.namespace + "-" + name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "lbstack-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: b.namespace, Name: name}},
	})
	return token
}

// account makes a ServiceAccount without a right, and returns a token of it.
func account(b *bed, name string) (token string) {
	b.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name}}
	create(b.T, b.Client, account)
	request := &authenticationv1.TokenRequest{}
	if err := b.SubResource("token").Create(context.Background(), account, request); err != nil {
		b.Fatalf("requesting a token of %s: %v", name, err)
	}
	return request.Status.Token
}

// reviews returns how many tokens a program has had reviewed, by its metrics.
func reviews(t *testing.T, metrics string) float64 {
	t.Helper()
	for line := range strings.Lines(metrics) {
		if text, is := strings.CutPrefix(line, "lbstack_metrics_token_reviews_total "); is {
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("the metrics do not count reviews:\n%s", metrics)
	return 0
}

// The API server decides who may read the metrics of each program.
func TestMetrics_ReadAccess(t *testing.T) {
	b := newBed(t)
	b.machine("exposed", nil)
	reader, pod := metricsReader(b, "reader"), account(b, "pod")
	reference, err := os.ReadFile(filepath.Join(server.Repo, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range exposedPrograms(t, b.namespace) {
		t.Run(e.name, func(t *testing.T) {
			e.run(t)
			if page, err := fetch(t.Context(), "http://"+e.metrics+"/metrics", reader); err == nil {
				t.Errorf("plain HTTP: got a page, want none:\n%s", page)
			}
			for _, tt := range []struct {
				name, url, token string
				status           int
			}{
				{name: "ServiceAccount with the role", url: "https://" + e.metrics + "/metrics", token: reader},
				{name: "ServiceAccount without the role", url: "https://" + e.metrics + "/metrics", token: pod, status: 403},
				{name: "token of another cluster", url: "https://" + e.metrics + "/metrics", token: "eyJhbGciOiJSUzI1NiJ9.e30.x", status: 401},
				{name: "no token", url: "https://" + e.metrics + "/metrics", status: 401},
				{name: "another path", url: "https://" + e.metrics + "/debug/pprof/", token: reader, status: 404},
			} {
				page, err := fetch(t.Context(), tt.url, tt.token)
				var refused httpError
				if errors.As(err, &refused); refused.status != tt.status || (tt.status == 0) != (err == nil) {
					t.Errorf("%s: got %v, want the status %d (0: 200)", tt.name, err, tt.status)
				}
				for line := range strings.Lines(page) {
					if metric, is := strings.CutPrefix(line, "# TYPE lbstack_"); is {
						name, kind, _ := strings.Cut(strings.TrimSpace(metric), " ")
						if row := "| `lbstack_" + name + "` | " + kind + " |"; !strings.Contains(string(reference), row) {
							t.Errorf("docs/metrics.md has no row %s: add it to hack/metricsdoc", row)
						}
					}
				}
				if tt.status == 0 && !strings.Contains(page, "lbstack_metrics_requests_total{result=\"admitted\"} 1") {
					t.Errorf("%s: got a page without a count of it:\n%s", tt.name, page)
				}
			}
		})
	}
}

// Without the API server only clients that were admitted within the last minute get metrics;
// health is served as before.
func TestMetrics_APIServerAway(t *testing.T) {
	b := newBed(t)
	b.machine("exposed", nil)
	known, next := metricsReader(b, "known"), metricsReader(b, "next")
	e := exposedPrograms(t, b.namespace)[2]
	e.run(t)
	url := "https://" + e.metrics + "/metrics"
	if _, err := fetch(t.Context(), url, known); err != nil {
		t.Fatal(err)
	}
	if err := server.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	var away httpError
	if _, err := fetch(t.Context(), url, next); !errors.As(err, &away) || away.status != 503 {
		t.Errorf("a token that was not reviewed: got %v, want the status 503", err)
	}
	if _, err := fetch(t.Context(), url, known); err != nil {
		t.Errorf("a token that was admitted just before: %v", err)
	}
	if err := answers(t.Context(), e.health, "/readyz"); err != nil {
		t.Error(err)
	}
	if err := server.StartAPIServer(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually.Succeed(t, within, "metrics are served again", func(ctx context.Context) error {
		_, err := fetch(ctx, url, next)
		return err
	})
}
