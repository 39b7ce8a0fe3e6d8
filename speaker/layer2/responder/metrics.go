package responder

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what a responder does.
type Metrics struct {
	arp, ndp familyMetrics
	// Announcements counts gratuitous announcements: each repetition on each link counts.
	Announcements prometheus.Counter
	// Probes counts probes for foreign hosts: each repetition on each link counts.
	Probes prometheus.Counter
	// Duplicates counts messages in which another node claimed an address of this node.
	Duplicates prometheus.Counter
	// Owned is how many addresses the node owns, or answers for.
	Owned prometheus.Gauge
	// Conflicts is how many of these addresses a foreign host or the kernel of a node uses too.
	Conflicts prometheus.Gauge

	dropped atomic.Pointer[func() float64]
}

// familyMetrics counts the messages of one family.
type familyMetrics struct {
	received, answered, ignored, malformed prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		arp: familyMetrics{
			received:  newCounter("arp_requests_received_total", "ARP requests received that the filter in the kernel let pass."),
			answered:  newCounter("arp_requests_answered_total", "ARP requests answered for addresses that this node owns."),
			ignored:   newCounter("arp_requests_ignored_total", "ARP requests received and not answered."),
			malformed: newCounter("arp_malformed_total", "Malformed ARP frames, which the speaker ignored."),
		},
		ndp: familyMetrics{
			received:  newCounter("ndp_solicitations_received_total", "Neighbor solicitations received that the filter in the kernel let pass."),
			answered:  newCounter("ndp_solicitations_answered_total", "Neighbor solicitations answered for addresses that this node owns."),
			ignored:   newCounter("ndp_solicitations_ignored_total", "Neighbor solicitations received and not answered."),
			malformed: newCounter("ndp_malformed_total", "Malformed neighbor discovery messages, which the speaker ignored."),
		},
		Announcements: newCounter("announcements_sent_total", "Gratuitous announcements sent."),
		Probes:        newCounter("probes_sent_total", "Probes sent to find out whether other hosts use an address."),
		Duplicates:    newCounter("duplicate_owners_total", "How often another node of the cluster announced an address that this node owns."),
		Owned:         newGauge("owned_addresses", "Addresses that this node owns, or answers for on behalf of a restarting node."),
		Conflicts:     newGauge("conflicts", "Addresses of this node that another host uses too."),
	}
	registry.MustRegister(
		m.arp.received, m.arp.answered, m.arp.ignored, m.arp.malformed, m.ndp.received, m.ndp.answered, m.ndp.ignored, m.ndp.malformed,
		m.Announcements, m.Probes, m.Duplicates, m.Owned, m.Conflicts,
		prometheus.NewCounterFunc(prometheus.CounterOpts(metricOptions("packets_dropped_total", "Packets that were lost because they were not read in time.")), m.countDropped),
	)
	return m
}

func metricOptions(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: "lbstack", Subsystem: "layer2", Name: name, Help: help}
}

func newCounter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts(metricOptions(name, help)))
}

func newGauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts(metricOptions(name, help)))
}

func (m *Metrics) family(v6 bool) *familyMetrics {
	if v6 {
		return &m.ndp
	}
	return &m.arp
}

// setDroppedFunc sets the function that returns how many packets were dropped. It is called on each
// scrape.
func (m *Metrics) setDroppedFunc(count func() float64) { m.dropped.Store(&count) }

func (m *Metrics) countDropped() float64 {
	if count := m.dropped.Load(); count != nil {
		return (*count)()
	}
	return 0
}
