package layer2

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what happens to the ownership of addresses.
type Metrics struct {
	// Moves counts addresses that this node took, by cause.
	Moves *prometheus.CounterVec
	// Failover is the time, in seconds, from the last message of a dead owner until this node took its address
	// over.
	Failover prometheus.Histogram
	// Duplicate is the sum, over the addresses that this node owns, of the seconds during which other nodes
	// claimed the address too.
	Duplicate prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		Moves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "lbstack", Subsystem: "speaker", Name: "moves_total",
			Help: "Addresses that this node took, by cause: first, failure, handover, failback, request.",
		}, []string{"cause"}),
		Failover: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "lbstack", Subsystem: "speaker", Name: "failover_seconds",
			Help:    "Time from the last message of a dead owner until this node took its address over.",
			Buckets: []float64{0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 5, 10},
		}),
		Duplicate: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "lbstack", Subsystem: "speaker", Name: "duplicate_owner_seconds_total",
			Help: "Time during which other nodes claimed addresses that this node owns: the sum over these addresses.",
		}),
	}
	registry.MustRegister(m.Moves, m.Failover, m.Duplicate)
	return m
}
