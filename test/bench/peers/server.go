package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lbstack/lbstack/test/eventually"
)

// served counts what the API server has done so far for all of its clients.
type served struct {
	requests, writes int64
	processor        float64 // seconds
	byWrite          map[string]int64
}

// others are the resources that Kubernetes itself writes and reads all the time. Requests for them do not count.
var others = []string{"leases", "nodes", "pods", "deployments", "replicasets", "tokenreviews", "subjectaccessreviews", "serviceaccounts", "apiservices", ""}

// writing are the verbs that change something.
var writing = []string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}

func (s served) minus(before served) served {
	d := served{requests: s.requests - before.requests, writes: s.writes - before.writes, processor: s.processor - before.processor, byWrite: map[string]int64{}}
	for what, n := range s.byWrite {
		if n > before.byWrite[what] {
			d.byWrite[what] = n - before.byWrite[what]
		}
	}
	return d
}

func (s served) String() string {
	return fmt.Sprintf("%d requests, %d of them writes %v, %.2f s of a processor", s.requests, s.writes, s.byWrite, s.processor)
}

// calmServer waits until nothing has been written for a while, and returns the counts of the API server until then.
func (b *bench) calmServer(ctx context.Context) (now served, err error) {
	config, err := clientcmd.BuildConfigFromFlags("", b.Cluster.KubeconfigPath())
	if err != nil {
		return now, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	reading, err := rest.HTTPClientFor(config)
	if err != nil {
		return now, fmt.Errorf("preparing a client: %w", err)
	}
	defer reading.CloseIdleConnections()
	since := time.Now()
	err = eventually.PollEvery(ctx, quiet/3, func(ctx context.Context) error {
		next, err := scrape(ctx, reading, config.Host)
		if err != nil {
			return err
		}
		if next.writes != now.writes {
			now, since = next, time.Now()
		}
		if time.Since(since) < quiet {
			return fmt.Errorf("the API server was written to %s ago: %v", time.Since(since), now.byWrite)
		}
		return nil
	})
	return now, err
}

func scrape(ctx context.Context, client *http.Client, host string) (served, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/metrics", http.NoBody)
	if err != nil {
		return served{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return served{}, fmt.Errorf("reading the metrics of the API server: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return served{}, fmt.Errorf("reading the metrics of the API server: %s", response.Status)
	}
	return parseServed(response.Body)
}

// parseServed reads apiserver_request_total and process_cpu_seconds_total.
func parseServed(text io.Reader) (served, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return served{}, fmt.Errorf("parsing the metrics of the API server: %w", err)
	}
	s := served{byWrite: map[string]int64{}}
	for _, m := range families["apiserver_request_total"].GetMetric() {
		labels := named(m)
		if slices.Contains(others, labels["resource"]) || labels["verb"] == "WATCH" {
			continue
		}
		n := int64(m.GetCounter().GetValue())
		s.requests += n
		if slices.Contains(writing, labels["verb"]) {
			s.writes += n
			s.byWrite[strings.TrimSuffix(labels["verb"]+" "+labels["resource"]+"/"+labels["subresource"], "/")] += n
		}
	}
	for _, m := range families["process_cpu_seconds_total"].GetMetric() {
		s.processor += m.GetCounter().GetValue()
	}
	return s, nil
}

func named(m *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}
