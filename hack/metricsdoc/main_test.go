package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

func TestPageIsUpToDate(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := withTables(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(page)); diff != "" {
		t.Errorf("docs/metrics.md is not what make docs writes (-want +got):\n%s", diff)
	}
}

// The checks are those of promtool check metrics.
func TestNamesFollowTheConventions(t *testing.T) {
	for _, p := range metricGroups {
		sampled, _, err := gatherFamilies(p.register)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := collectMetrics(p.register)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if !strings.HasPrefix(row.name, "lbstack_") || !strings.HasSuffix(row.help, ".") || strings.Contains(row.help, "|") {
				t.Errorf("%s: want a name with lbstack_ and a help that is a sentence, got %q", row.name, row.help)
			}
			if row.kind == "gauge" { // some have no sample yet
				sampled = append(sampled, &dto.MetricFamily{Name: new(row.name), Help: new(row.help), Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{Gauge: &dto.Gauge{}}}})
			}
		}
		problems, err := promlint.NewWithMetricFamilies(sampled).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problems {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
}

func TestCollect_LabelWithoutABound(t *testing.T) {
	_, err := collectMetrics(func(r prometheus.Registerer) {
		r.MustRegister(prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lbstack_x_total", Help: "X."}, []string{"service"}))
	})
	if err == nil || !strings.Contains(err.Error(), "service has no bound") {
		t.Errorf("got the error %v, want one that names the label", err)
	}
}
