package httpserve

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// HealthHandler serves /healthz and /readyz. The answer to /healthz always has the status 200. The answer to
// /readyz has the status 200 if ready returns nil, and otherwise the status 500 with the text of the error.
func HealthHandler(ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	return mux
}

// maxMetricsAge is how long an answer with metrics is used for further requests, so that a flood of requests
// costs no more than one request each second.
const maxMetricsAge = time.Second

// MetricsHandler serves /metrics in the text format of Prometheus. The function guard wraps the handler of
// the path, so that it can refuse clients.
func MetricsHandler(gatherer prometheus.Gatherer, guard func(path string, inner http.Handler) http.Handler) http.Handler {
	const path = "/metrics"
	mux := http.NewServeMux()
	mux.Handle("GET "+path, guard(path, &cachedMetrics{gatherer: gatherer}))
	return mux
}

// cachedMetrics serves metrics, and stores the last answer.
type cachedMetrics struct {
	gatherer prometheus.Gatherer

	mu   sync.Mutex
	text []byte // readers use it without the lock: it is replaced and never changed
	err  error
	at   time.Time // when the text was gathered; zero: never
}

// ServeHTTP implements http.Handler.
func (m *cachedMetrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	text, err := m.currentText()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	_, _ = w.Write(text) // after an error the client is gone
}

func (m *cachedMetrics) currentText() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() || time.Since(m.at) >= maxMetricsAge {
		m.text, m.err = gatherText(m.gatherer)
		m.at = time.Now()
	}
	return m.text, m.err
}

func gatherText(gatherer prometheus.Gatherer) ([]byte, error) {
	families, err := gatherer.Gather()
	if err != nil {
		return nil, fmt.Errorf("gathering the metrics: %w", err)
	}
	var text bytes.Buffer
	encoder := expfmt.NewEncoder(&text, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return nil, fmt.Errorf("writing the metric %s: %w", family.GetName(), err)
		}
	}
	return text.Bytes(), nil
}
