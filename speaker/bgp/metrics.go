package bgp

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
)

// Metrics of all sessions of this node.
type Metrics struct {
	established *prometheus.GaugeVec
	transitions *prometheus.CounterVec
	prefixes    *prometheus.GaugeVec
	messages    *prometheus.CounterVec
	handled     prometheus.Histogram
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		established: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lbstack_bgp_session_established", Help: "Whether the session of a BGPPeer is established."}, []string{"peer"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lbstack_bgp_session_transitions_total", Help: "How often sessions were established and ended."}, []string{"peer", "to"}),
		prefixes:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lbstack_bgp_announced_prefixes", Help: "How many prefixes the router of a BGPPeer has from this node."}, []string{"peer"}),
		messages:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lbstack_bgp_messages_total", Help: "BGP messages: received ones, and writes of one or more."}, []string{"peer", "direction"}),
	}
	m.handled = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "lbstack_bgp_announce_seconds", Help: "From when a change in the cluster was seen until its routes were handed to the sessions.",
		Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1},
	})
	registry.MustRegister(m.established, m.transitions, m.prefixes, m.messages, m.handled)
	return m
}

// Handled notes how long a change in the cluster took to reach the sessions.
func (m *Metrics) Handled(d time.Duration) { m.handled.Observe(d.Seconds()) }

// peerMetrics are those of one peer.
type peerMetrics struct {
	established, prefixes    prometheus.Gauge
	up, down, sent, received prometheus.Counter
}

func (m *Metrics) of(peer bgp.PeerName) peerMetrics {
	name := string(peer)
	return peerMetrics{
		established: m.established.WithLabelValues(name), prefixes: m.prefixes.WithLabelValues(name),
		up: m.transitions.WithLabelValues(name, "established"), down: m.transitions.WithLabelValues(name, "ended"),
		sent: m.messages.WithLabelValues(name, "sent"), received: m.messages.WithLabelValues(name, "received"),
	}
}

func (m *Metrics) forget(peer bgp.PeerName) {
	labels := prometheus.Labels{"peer": string(peer)}
	m.established.DeletePartialMatch(labels)
	m.transitions.DeletePartialMatch(labels)
	m.prefixes.DeletePartialMatch(labels)
	m.messages.DeletePartialMatch(labels)
}

func (m peerMetrics) note(s Status) {
	m.established.Set(0)
	if s.State == session.Established {
		m.established.Set(1)
	}
	m.prefixes.Set(float64(s.Prefixes))
}
