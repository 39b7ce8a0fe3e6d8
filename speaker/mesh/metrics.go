package mesh

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what the mesh does. A nil Metrics counts nothing.
type Metrics struct {
	messagesSent, messagesReceived, messagesRefused, stalls prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "lbstack", Subsystem: "mesh", Name: name, Help: help})
	}
	m := &Metrics{
		messagesSent:     counter("messages_sent_total", "Messages sent to other speakers."),
		messagesReceived: counter("messages_received_total", "Messages received from other speakers."),
		messagesRefused:  counter("messages_refused_total", "Datagrams that came from the addresses of other speakers and were refused, since they were replayed, from or for another process, under an unknown key, or malformed."),
		stalls:           counter("stalls_total", "How often this process did not run for so long that it had to ask the other speakers for their state before it answered ARP and NDP requests again."),
	}
	registry.MustRegister(m.messagesSent, m.messagesReceived, m.messagesRefused, m.stalls)
	return m
}

func (m *Metrics) countSent() {
	if m != nil {
		m.messagesSent.Inc()
	}
}

func (m *Metrics) countReceived() {
	if m != nil {
		m.messagesReceived.Inc()
	}
}

func (m *Metrics) countRefused() {
	if m != nil {
		m.messagesRefused.Inc()
	}
}

func (m *Metrics) countStalled() {
	if m != nil {
		m.stalls.Inc()
	}
}

// Register registers the metrics that are computed when they are read.
func (m *Mesh) Register(registry prometheus.Registerer) { RegisterLive(registry, m.countLive) }

// RegisterLive registers the number of speakers that are alive.
func RegisterLive(registry prometheus.Registerer, live func() int) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "lbstack", Subsystem: "mesh", Name: "live_speakers", Help: "Speakers that are alive, this one included.",
	}, func() float64 { return float64(live()) }))
}

func (r *runner) countLive() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return 1 + len(r.machine.View().Peers)
}
