package bfd

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/bfd"
)

// The reasons to ignore a packet: values of the label reason.
const (
	ignoredMalformed = "malformed"
	ignoredTTL       = "ttl"
	ignoredUnknown   = "unknown"
)

// Metrics are the Prometheus metrics of all sessions.
type Metrics struct {
	sessions                            *prometheus.GaugeVec
	ignored                             *prometheus.CounterVec
	transitions, flaps, in, out, unsent prometheus.Counter
	late, stalls                        prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts(metricOptions("sessions", "BFD sessions by the state of this side: AdminDown, Down, Init, Up.")), []string{"state"}),
		ignored: prometheus.NewCounterVec(prometheus.CounterOpts(metricOptions("packets_ignored_total",
			"Packets received and ignored, by reason: malformed, ttl (the packet has passed more routers than the session allows) or unknown (the packet belongs to no session).")), []string{"reason"}),
		transitions: newCounter("transitions_total", "How often the state of a session changed."),
		flaps:       newCounter("flaps_total", "How often a session left Up though no administrator took it down."),
		in:          newCounter("packets_received_total", "Packets received for a session."),
		out:         newCounter("packets_sent_total", "Packets sent."),
		unsent:      newCounter("packets_unsent_total", "Packets that were not sent, since the kernel did not accept them."),
		late:        newCounter("late_ticks_total", "Timer events of sessions that were handled more than 20 ms late, since the speaker got too little CPU time."),
		stalls:      newCounter("stalls_total", "How often a session gave the peer more time to send a packet, since the speaker had not run for a while."),
	}
	for _, s := range []bfd.State{bfd.AdminDown, bfd.Down, bfd.Init, bfd.Up} {
		m.addSessions(s, 0)
	}
	for _, reason := range []string{ignoredMalformed, ignoredTTL, ignoredUnknown} {
		m.ignored.WithLabelValues(reason)
	}
	registry.MustRegister(m.sessions, m.ignored, m.transitions, m.flaps, m.in, m.out, m.unsent, m.late, m.stalls)
	return m
}

func metricOptions(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: "lbstack", Subsystem: "bfd", Name: name, Help: help}
}

func newCounter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts(metricOptions(name, help)))
}

func (m *Metrics) countIgnored(reason string) { m.ignored.WithLabelValues(reason).Inc() }

func (m *Metrics) addSessions(s bfd.State, n float64) { m.sessions.WithLabelValues(s.String()).Add(n) }

// countChanges counts the differences between two statuses of a session.
func (m *Metrics) countChanges(before, after bfd.Status) {
	if before.State != after.State {
		m.addSessions(before.State, -1)
		m.addSessions(after.State, 1)
	}
	m.transitions.Add(float64(after.Transitions - before.Transitions))
	m.flaps.Add(float64(after.Flaps - before.Flaps))
	m.stalls.Add(float64(after.Stalls - before.Stalls))
}
