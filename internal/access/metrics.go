package access

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts requests for metrics, and reviews of tokens.
type Metrics struct {
	requests *prometheus.CounterVec
	reviews  prometheus.Counter
}

// NewMetrics registers the metrics, and returns them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "lbstack", Subsystem: "metrics", Name: "requests_total",
			Help: "Requests for metrics by result: admitted, unauthenticated, forbidden, limited (too many tokens to review), failed (the API server did not answer).",
		}, []string{"result"}),
		reviews: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "lbstack", Subsystem: "metrics", Name: "token_reviews_total",
			Help: "Tokens that were sent to the API server for review.",
		}),
	}
	for _, d := range []Decision{Admitted, Unauthenticated, Forbidden, Limited, Failed} {
		m.requests.WithLabelValues(string(d))
	}
	registry.MustRegister(m.requests, m.reviews)
	return m
}
