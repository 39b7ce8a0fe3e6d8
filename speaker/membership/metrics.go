package membership

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what the mesh does.
type Metrics struct {
	// Sent and Received are messages; Malformed are those that were skipped.
	Sent, Received, Malformed prometheus.Counter
	// Streamed are those of Sent that went over a connection: long ones, and all to who
	// is not reached by datagrams.
	Streamed prometheus.Counter
	// Stalls are how often this process stood still and asked the others anew.
	Stalls prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "lbstack", Subsystem: "mesh", Name: name, Help: help})
	}
	m := &Metrics{
		Sent:      counter("messages_sent_total", "Messages sent to other speakers."),
		Streamed:  counter("messages_streamed_total", "Messages sent over a connection, because they are long or datagrams are lost."),
		Received:  counter("messages_received_total", "Messages received from other speakers."),
		Malformed: counter("messages_malformed_total", "Messages that were skipped."),
		Stalls:    counter("stalls_total", "How often this process stood still, and asked the others what they own before it answered again."),
	}
	registry.MustRegister(m.Sent, m.Streamed, m.Received, m.Malformed, m.Stalls)
	return m
}

// Register registers what is known of the mesh when it is asked for.
func (m *Mesh) Register(registry prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "lbstack", Subsystem: "mesh", Name: name, Help: help}, value)
	}
	registry.MustRegister(
		gauge("live_speakers", "Speakers that are alive, this one included.", func() float64 { return float64(m.live()) }),
		gauge("health_score", "memberlist's awareness of its own health: 0 is good.", func() float64 { return float64(m.list.Load().GetHealthScore()) }),
	)
}

func (r *runner) live() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return 1 + len(r.machine.View().Peers)
}
