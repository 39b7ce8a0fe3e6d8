package bgp

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/bgp/wire"
)

// Metrics are the Prometheus metrics of all sessions of this node.
type Metrics struct {
	established *prometheus.GaugeVec
	transitions *prometheus.CounterVec
	prefixes    *prometheus.GaugeVec
	failed      *prometheus.CounterVec
	messages    *prometheus.CounterVec
	updates     directionCounter
	announce    prometheus.Histogram
}

// directionCounter has one counter for sent messages and one for received ones.
type directionCounter struct{ sent, received *prometheus.CounterVec }

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		established: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lbstack_bgp_session_established", Help: "Whether the session of a BGPPeer is established."}, []string{"peer"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lbstack_bgp_session_transitions_total", Help: `How often the session of a BGPPeer was established (to="established") or ended (to="ended").`}, []string{"peer", "to"}),
		prefixes:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lbstack_bgp_announced_prefixes", Help: "How many prefixes the router of a BGPPeer has from this node."}, []string{"peer"}),
		failed:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lbstack_bgp_attempts_failed_total", Help: "How often an attempt to connect to the router of a BGPPeer failed, or a connection with it was lost."}, []string{"peer"}),
		messages:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lbstack_bgp_messages_total", Help: "BGP messages of all types. A sent message counts once it is written completely to the connection."}, []string{"peer", "direction"}),
		updates: directionCounter{
			sent:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lbstack_bgp_updates_sent_total", Help: "BGP UPDATE messages that were written to the connection with the router of a BGPPeer; a message has one or more prefixes, or is an End-of-RIB."}, []string{"peer"}),
			received: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lbstack_bgp_updates_received_total", Help: "BGP UPDATE messages that the router of a BGPPeer sent. The speaker ignores their routes."}, []string{"peer"}),
		},
	}
	m.announce = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "lbstack_bgp_announce_seconds",
		Help: "Time from when this node received a change of a Service, of its endpoints or of other objects that decide about routes, until the resulting UPDATEs were written to the connection with a router. " +
			"There is one observation for each write to each router. Writes at the beginning of a session and for a drain do not count.",
		Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 5},
	})
	registry.MustRegister(m.established, m.transitions, m.prefixes, m.failed, m.messages, m.updates.sent, m.updates.received, m.announce)
	return m
}

// peerMetrics are the metrics of one peer.
type peerMetrics struct {
	established, prefixes        prometheus.Gauge
	up, down, failed             prometheus.Counter
	sent, received               prometheus.Counter // messages
	updatesSent, updatesReceived prometheus.Counter
	announce                     prometheus.Observer // shared by all peers: one histogram each would be many series
}

func (m *Metrics) metricsOf(peer bgp.PeerName) peerMetrics {
	name := string(peer)
	return peerMetrics{
		established: m.established.WithLabelValues(name), prefixes: m.prefixes.WithLabelValues(name),
		up: m.transitions.WithLabelValues(name, "established"), down: m.transitions.WithLabelValues(name, "ended"),
		failed: m.failed.WithLabelValues(name),
		sent:   m.messages.WithLabelValues(name, "sent"), received: m.messages.WithLabelValues(name, "received"),
		updatesSent: m.updates.sent.WithLabelValues(name), updatesReceived: m.updates.received.WithLabelValues(name),
		announce: m.announce,
	}
}

func (m *Metrics) forgetPeer(peer bgp.PeerName) {
	labels := prometheus.Labels{"peer": string(peer)}
	m.established.DeletePartialMatch(labels)
	m.transitions.DeletePartialMatch(labels)
	m.prefixes.DeletePartialMatch(labels)
	m.failed.DeletePartialMatch(labels)
	m.messages.DeletePartialMatch(labels)
	m.updates.sent.DeletePartialMatch(labels)
	m.updates.received.DeletePartialMatch(labels)
}

func (m peerMetrics) setStatus(s Status) {
	m.established.Set(0)
	if s.State == session.Established {
		m.established.Set(1)
	}
	m.prefixes.Set(float64(s.Prefixes))
}

// countWritten counts the messages in the given octets, which were written to a connection.
func (m peerMetrics) countWritten(octets []byte) {
	messages, updates := wire.CountMessages(octets)
	m.sent.Add(float64(messages))
	m.updatesSent.Add(float64(updates))
}

func (m peerMetrics) countRead(message any) {
	m.received.Inc()
	if _, is := message.(session.Update); is {
		m.updatesReceived.Inc()
	}
}
