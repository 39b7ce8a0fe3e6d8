package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// key is a row of the table: a measurement with its unit, and the load balancer.
type key struct{ what, peer string }

// table has all figures, in the order of their first addition.
type table struct {
	whats   []string
	peers   []string
	figures map[key][]float64
}

// add records one figure of a load balancer.
func (t *table) add(p *peer, what string, figure float64) {
	if t.figures == nil {
		t.figures = map[key][]float64{}
	}
	if !slices.Contains(t.whats, what) {
		t.whats = append(t.whats, what)
	}
	if !slices.Contains(t.peers, p.name) {
		t.peers = append(t.peers, p.name)
	}
	k := key{what, p.name}
	t.figures[k] = append(t.figures[k], figure)
}

// reference is the load balancer that ratios refer to.
const reference = "lbstack"

// markdown returns the table: each measurement, with a row for each load balancer.
func (t *table) markdown() string {
	if len(t.whats) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| what | load balancer | measured | best | median | worst | median / lbstack's |\n|---|---|---|---|---|---|---|\n")
	for _, what := range t.whats {
		for _, peer := range t.peers {
			list := slices.Sorted(slices.Values(t.figures[key{what, peer}]))
			if len(list) == 0 {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %s |\n", what, peer, len(list),
				number(list[0]), number(median(list)), number(list[len(list)-1]), t.ratio(what, peer))
		}
	}
	return b.String()
}

// ratio of the medians; empty where there is none.
func (t *table) ratio(what, peer string) string {
	of := slices.Sorted(slices.Values(t.figures[key{what, peer}]))
	by := slices.Sorted(slices.Values(t.figures[key{what, reference}]))
	if peer == reference || len(of) == 0 || len(by) == 0 || median(by) == 0 {
		return ""
	}
	return number(median(of) / median(by))
}

// median of a sorted list: the middle one, or the mean of both.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// number returns a figure with a suitable number of digits.
func number(x float64) string {
	switch {
	case x == math.Trunc(x), x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
