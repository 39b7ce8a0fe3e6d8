package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// labelBounds has, for each label, how many values it can have in one program. A label that is missing here is an
// error.
var labelBounds = map[string]string{
	"cause":     "5",
	"direction": "2",
	"family":    "2",
	"kind":      "kinds that the operator makes",
	"manager":   "18",
	"peer":      "BGPPeers",
	"pool":      "IPAddressPools",
	"reason":    "reasons of the condition",
	"result":    "5",
	"state":     "4",
	"to":        "2",
}

// metricBounds has the bounds for metrics whose label has another bound than in labelBounds.
var metricBounds = map[string]string{"lbstack_bfd_packets_ignored_total": "3"}

// metric is a row of the table of metrics.
type metric struct {
	name, kind, help string
	labels           []string
	buckets          int
}

// String implements fmt.Stringer.
func (m metric) String() string {
	var labels, series []string
	for _, l := range m.labels {
		labels = append(labels, "`"+l+"`")
		series = append(series, cmp.Or(metricBounds[m.name], labelBounds[l]))
	}
	if m.buckets > 0 {
		series = append(series, fmt.Sprint(m.buckets+3)) // with +Inf, sum and count
	}
	unit := "number"
	if strings.HasSuffix(m.name, "_seconds") || strings.HasSuffix(m.name, "_seconds_total") {
		unit = "seconds"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |", m.name, m.kind, strings.Join(labels, ", "), unit, cmp.Or(strings.Join(series, " × "), "1"), m.help)
}

// recordingRegistry is a registry that also stores the registered collectors.
type recordingRegistry struct {
	*prometheus.Registry
	collectors []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (c *recordingRegistry) Register(collector prometheus.Collector) error {
	c.collectors = append(c.collectors, collector)
	return c.Registry.Register(collector)
}

// MustRegister implements prometheus.Registerer.
func (c *recordingRegistry) MustRegister(collectors ...prometheus.Collector) {
	for _, collector := range collectors {
		if err := c.Register(collector); err != nil {
			panic(err) // as MustRegister of prometheus.Registry does
		}
	}
}

// descPattern matches the text of a prometheus.Desc. The text is needed since the fields are not exported.
var descPattern = regexp.MustCompile(`^Desc{fqName: "([^"]*)", help: "(.*?)", (?:unit: "[^"]*", )?constLabels: {(.*)}, variableLabels: {(.*)}}$`)

// gatherFamilies registers a group of metrics. The result list has the metrics that have a sample, and the
// result described has all metrics. A metric without a sample is a gauge that a collector computes.
func gatherFamilies(register func(prometheus.Registerer)) (list []*dto.MetricFamily, described []metric, err error) {
	registry := &recordingRegistry{Registry: prometheus.NewRegistry()}
	register(registry)
	for _, collector := range registry.collectors {
		descriptions := make(chan *prometheus.Desc, 64)
		collector.Describe(descriptions)
		close(descriptions)
		for d := range descriptions {
			found := descPattern.FindStringSubmatch(d.String())
			if found == nil || found[3] != "" {
				return nil, nil, fmt.Errorf("the text of a metric has an unexpected form: %s", d)
			}
			m := metric{name: found[1], help: strings.ReplaceAll(found[2], `\"`, `"`)}
			if found[4] != "" {
				m.labels = strings.Split(found[4], ",")
			}
			described = append(described, m)
			addSample(collector, len(m.labels))
		}
	}
	list, err = registry.Gather()
	return list, described, err
}

// addSample adds a series to a metric with labels, since such a metric has no series at first.
func addSample(collector prometheus.Collector, labels int) {
	values := make([]string, labels)
	switch v := collector.(type) {
	case *prometheus.CounterVec:
		v.WithLabelValues(values...)
	case *prometheus.GaugeVec:
		v.WithLabelValues(values...)
	case *prometheus.HistogramVec:
		v.WithLabelValues(values...)
	}
}

// collectMetrics returns the rows for a group of metrics, sorted by name.
func collectMetrics(register func(prometheus.Registerer)) ([]metric, error) {
	sampled, list, err := gatherFamilies(register)
	if err != nil {
		return nil, err
	}
	for i := range list {
		m := &list[i]
		m.kind = "gauge"
		at := slices.IndexFunc(sampled, func(f *dto.MetricFamily) bool { return f.GetName() == m.name })
		if at >= 0 {
			m.kind = strings.ToLower(sampled[at].GetType().String())
			m.buckets = len(sampled[at].GetMetric()[0].GetHistogram().GetBucket())
		}
		for _, l := range m.labels {
			if labelBounds[l] == "" {
				return nil, fmt.Errorf("%s: the label %s has no bound: add the number of its values to labelBounds", m.name, l)
			}
		}
	}
	slices.SortFunc(list, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return list, nil
}
