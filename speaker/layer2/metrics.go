package layer2

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what a responder does.
type Metrics struct {
	// Requests are ARP requests received, for any address.
	Requests prometheus.Counter
	// Malformed are frames that were skipped.
	Malformed prometheus.Counter
	// Answers are ARP requests answered.
	Answers prometheus.Counter
	// Announcements are take-overs announced, per address, link and repetition.
	Announcements prometheus.Counter
	// Owned is how many addresses the node owns.
	Owned prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "lbstack", Subsystem: "layer2", Name: name, Help: help})
	}
	m := &Metrics{
		Requests:      counter("arp_requests_received_total", "ARP requests received, for any address."),
		Malformed:     counter("arp_malformed_total", "ARP frames that were skipped."),
		Answers:       counter("arp_requests_answered_total", "ARP requests answered for addresses that this node owns."),
		Announcements: counter("announcements_sent_total", "Gratuitous announcements sent."),
		Owned:         prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "lbstack", Subsystem: "layer2", Name: "owned_addresses", Help: "Addresses that this node owns."}),
	}
	registry.MustRegister(m.Requests, m.Malformed, m.Answers, m.Announcements, m.Owned)
	return m
}
