// Command metricsdoc generates the tables of metrics in docs/metrics.md from the code that registers the
// metrics. The test of this command checks that the page is up to date, and that the names follow the
// conventions of Prometheus.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/controllers/allocations"
	counts "github.com/lbstack/lbstack/controllers/metrics"
	"github.com/lbstack/lbstack/controllers/stack"
	"github.com/lbstack/lbstack/internal/access"
	"github.com/lbstack/lbstack/speaker/bfd"
	"github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/layer2/responder"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// metricGroup is a group of metrics that one or several programs register.
type metricGroup struct {
	title    string
	register func(prometheus.Registerer)
}

// metricGroups are all metrics that lbstack defines.
var metricGroups = []metricGroup{
	{"All programs", func(r prometheus.Registerer) { access.NewMetrics(r) }},
	{"Operator", func(r prometheus.Registerer) { stack.NewDrift(r) }},
	{"Controller", func(r prometheus.Registerer) { r.MustRegister(counts.New(allocations.New())) }},
	{"Speaker: ownership of addresses", func(r prometheus.Registerer) { layer2.NewMetrics(r) }},
	{"Speaker: ARP and NDP", func(r prometheus.Registerer) { responder.NewMetrics(r) }},
	{"Speaker: mesh", func(r prometheus.Registerer) {
		mesh.NewMetrics(r)
		mesh.RegisterLive(r, func() int { return 1 })
	}},
	{"Speaker: BGP", func(r prometheus.Registerer) { bgp.NewMetrics(r) }},
	{"Speaker: BFD", func(r prometheus.Registerer) { bfd.NewMetrics(r) }},
}

// The tables are between these two lines of the page.
const beginLine, endLine = "<!-- begin: written by make docs -->\n", "<!-- end -->\n"

func main() {
	if err := run("docs/metrics.md"); err != nil {
		fmt.Fprintln(os.Stderr, "metricsdoc:", err)
		os.Exit(1)
	}
}

func run(page string) error {
	before, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	after, err := withTables(before)
	if err != nil {
		return fmt.Errorf("writing the reference into %s: %w", page, err)
	}
	return os.WriteFile(page, after, 0o644)
}

// withTables returns the page with new tables.
func withTables(page []byte) ([]byte, error) {
	head, rest, found := bytes.Cut(page, []byte(beginLine))
	_, tail, closed := bytes.Cut(rest, []byte(endLine))
	if !found || !closed {
		return nil, fmt.Errorf("the page lacks the line %q, or the line %q after it", beginLine, endLine)
	}
	var out bytes.Buffer
	out.Write(head)
	out.WriteString(beginLine)
	for _, p := range metricGroups {
		list, err := collectMetrics(p.register)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.title, err)
		}
		fmt.Fprintf(&out, "\n### %s\n\n| metric | type | labels | unit | series | meaning |\n|---|---|---|---|---|---|\n", p.title)
		for _, m := range list {
			fmt.Fprintln(&out, m)
		}
	}
	out.WriteString(endLine)
	out.Write(tail)
	return out.Bytes(), nil
}
