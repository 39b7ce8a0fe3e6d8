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
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts(options("sessions", "BFD sessions by the state of this side: AdminDown, Down, Init, Up.")), []string{"state"}),
		ignored: prometheus.NewCounterVec(prometheus.CounterOpts(options("packets_ignored_total",
			"Packets received and ignored, by reason: malformed, ttl (the packet has passed more routers than the session allows) or unknown (the packet belongs to no session).")), []string{"reason"}),
		transitions: counter("transitions_total", "How often the state of a session changed."),
		flaps:       counter("flaps_total", "How often a session left Up though no administrator took it down."),
		in:          counter("packets_received_total", "Packets received for a session."),
		out:         counter("packets_sent_total", "Packets sent."),
		unsent:      counter("packets_unsent_total", "Packets that were not sent, since the kernel did not accept them."),
		late:        counter("late_ticks_total", "Timer events of sessions that were handled more than 20 ms late, since the speaker got too little CPU time."),
		stalls:      counter("stalls_total", "How often a session waited longer for packets of the peer before it went down, since the speaker had not run for a while."),
	}
	for _, s := range []bfd.State{bfd.AdminDown, bfd.Down, bfd.Init, bfd.Up} {
		m.state(s, 0)
	}
	for _, reason := range []string{ignoredMalformed, ignoredTTL, ignoredUnknown} {
		m.ignored.WithLabelValues(reason)
	}
	registry.MustRegister(m.sessions, m.ignored, m.transitions, m.flaps, m.in, m.out, m.unsent, m.late, m.stalls)
	return m
}

func options(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: "lbstack", Subsystem: "bfd", Name: name, Help: help}
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts(options(name, help)))
}

func (m *Metrics) ignore(reason string) { m.ignored.WithLabelValues(reason).Inc() }

func (m *Metrics) state(s bfd.State, n float64) { m.sessions.WithLabelValues(s.String()).Add(n) }

// move counts the differences between two statuses of a session.
func (m *Metrics) move(before, after bfd.Status) {
	if before.State != after.State {
		m.state(before.State, -1)
		m.state(after.State, 1)
	}
	m.transitions.Add(float64(after.Transitions - before.Transitions))
	m.flaps.Add(float64(after.Flaps - before.Flaps))
	m.stalls.Add(float64(after.Stalls - before.Stalls))
}
