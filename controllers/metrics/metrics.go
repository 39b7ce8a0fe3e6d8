// Package metrics has the metrics of the controller: the time that Services wait for their addresses, the
// number of waiting Services by reason, and the numbers of used and free addresses of the pools.
package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/lb"
)

// Metrics is safe for concurrent use; make it with New. The methods that reconcilers call accept
// a nil Metrics, which counts nothing.
type Metrics struct {
	allocations *allocations.View
	now         func() time.Time
	allocation  prometheus.Histogram
	conflicts   prometheus.Counter

	mu sync.Mutex
	// arrived has, for each Service without an address, the time at which the controller first saw it.
	arrived map[lb.ServiceKey]time.Time
	// refused has the Services for which the API server refuses to write a claim.
	refused map[lb.ServiceKey]bool
	// pools has, for each pool, the number of its ranges that it does not give because of a conflict.
	pools map[lb.PoolName]int
	// notAnnounced returns the number of Services that are not announced, by reason.
	notAnnounced func() map[string]int
}

// New returns metrics about a view of allocations. The caller registers them.
func New(l *allocations.View) *Metrics {
	return &Metrics{
		allocations: l, now: time.Now, arrived: map[lb.ServiceKey]time.Time{}, refused: map[lb.ServiceKey]bool{},
		allocation: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "lbstack_allocation_seconds",
			Help:    "Time from when the controller first saw a Service without an address until the status of the Service had an address. Services that had to wait for a free address are not counted.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 14), // 2 ms to 16 s
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lbstack_address_conflicts_total",
			Help: "How often the IPAddressClaim of an address, or the status of a Service, contradicted the controller's record of which Service has the address.",
		}),
	}
}

// NoteArrival records that the controller saw a Service without an address.
func (m *Metrics) NoteArrival(service lb.ServiceKey) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.arrived[service]; !known {
		m.arrived[service] = m.now()
	}
}

// NoteReconciled records that a Service was reconciled. allocated means that this reconcile wrote its
// addresses into its status.
func (m *Metrics) NoteReconciled(service lb.ServiceKey, allocated bool) {
	if m == nil {
		return
	}
	m.mu.Lock()
	since, known := m.arrived[service]
	delete(m.arrived, service)
	m.mu.Unlock()
	if known && allocated {
		m.allocation.Observe(m.now().Sub(since).Seconds())
	}
}

// SetClaimRefused records whether the API server refuses to write the claim for an address of the Service.
// The view of allocations does not count such a Service as waiting, since the Service holds the address in
// the view.
func (m *Metrics) SetClaimRefused(service lb.ServiceKey, refused bool) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if delete(m.refused, service); refused {
		m.refused[service] = true
	}
}

// Forget removes a Service that requests no address any more.
func (m *Metrics) Forget(service lb.ServiceKey) {
	m.NoteReconciled(service, false)
	m.SetClaimRefused(service, false)
}

// CountConflict counts a claim, or a status of a Service, that contradicts the view of allocations about
// which Service has an address.
func (m *Metrics) CountConflict() {
	if m != nil {
		m.conflicts.Inc()
	}
}

// SetPoolConflicts sets, for each pool, the number of its ranges that it does not give because of a conflict.
func (m *Metrics) SetPoolConflicts(pools map[lb.PoolName]int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pools = pools
}

// SetNotAnnounced sets the function that returns the number of Services that are not announced, by
// reason.
func (m *Metrics) SetNotAnnounced(count func() map[string]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notAnnounced = count
}

var (
	servicesPendingDesc = prometheus.NewDesc("lbstack_services_pending",
		"Services that request an address and do not have it, by the reason of their condition lbstack.io/AddressAllocated.", []string{"reason"}, nil)
	poolAddressesDesc = prometheus.NewDesc("lbstack_pool_addresses",
		"Addresses that a pool can give, in use or free.", []string{"pool", "family"}, nil)
	poolUsedDesc = prometheus.NewDesc("lbstack_pool_addresses_in_use",
		"Addresses of a pool that are claimed.", []string{"pool", "family"}, nil)
	poolConflictsDesc = prometheus.NewDesc("lbstack_pool_conflicts",
		"Ranges of a pool whose addresses are not given, because they belong to another pool, to a node, to a network of the cluster or to another host.", []string{"pool"}, nil)
	notAnnouncedDesc = prometheus.NewDesc("lbstack_announcement_services_not_announced",
		"Services with an address that no node announces, by the reason of their condition lbstack.io/Announced.", []string{"reason"}, nil)
	poolOutsideDesc = prometheus.NewDesc("lbstack_pool_addresses_outside",
		"Addresses of Services that were given from the pool and are no longer in it.", []string{"pool"}, nil)
)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	m.allocation.Describe(out)
	m.conflicts.Describe(out)
	for _, d := range []*prometheus.Desc{servicesPendingDesc, poolAddressesDesc, poolUsedDesc, poolConflictsDesc, poolOutsideDesc, notAnnouncedDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.allocation.Collect(out)
	m.conflicts.Collect(out)
	for reason, n := range m.allocations.CountWaiting() {
		out <- prometheus.MustNewConstMetric(servicesPendingDesc, prometheus.GaugeValue, float64(n), string(reason))
	}
	for name, state := range m.allocations.PoolStates() {
		for family, usage := range state.Usage {
			total, _ := usage.Total.Float64()
			out <- prometheus.MustNewConstMetric(poolAddressesDesc, prometheus.GaugeValue, total, string(name), family.String())
			out <- prometheus.MustNewConstMetric(poolUsedDesc, prometheus.GaugeValue, float64(usage.Used), string(name), family.String())
		}
		out <- prometheus.MustNewConstMetric(poolOutsideDesc, prometheus.GaugeValue, float64(len(state.OutsidePool)), string(name))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.refused); n > 0 {
		out <- prometheus.MustNewConstMetric(servicesPendingDesc, prometheus.GaugeValue, float64(n), v1beta1.ReasonClaimRefused)
	}
	if m.notAnnounced != nil {
		for reason, n := range m.notAnnounced() {
			out <- prometheus.MustNewConstMetric(notAnnouncedDesc, prometheus.GaugeValue, float64(n), reason)
		}
	}
	for name, n := range m.pools {
		out <- prometheus.MustNewConstMetric(poolConflictsDesc, prometheus.GaugeValue, float64(n), string(name))
	}
}
