package e2e

import (
	"fmt"
	"strings"
	"time"

	"github.com/lbstack/lbstack/test/scenario"
)

// rolloutRow has the results of one rollout.
type rolloutRow struct {
	// killed: the operator was killed in the middle.
	killed         bool
	layer2, routed scenario.Connections
	// silent is the longest time in which no node answered for the address of layer 2, and absent the
	// longest in which the router had no route for the address of BGP.
	silent, absent time.Duration
	// ended: the rollout ended as expected.
	ended bool
}

// rolloutTable gathers rollouts by kind.
type rolloutTable struct {
	kinds []rolloutKind
	rows  map[string][]rolloutRow
}

func (r *rolloutTable) add(kind rolloutKind, row rolloutRow) {
	if len(r.rows[kind.name]) == 0 {
		r.kinds = append(r.kinds, kind)
	}
	r.rows[kind.name] = append(r.rows[kind.name], row)
}

// String returns the table of docs/benchmarks.md.
func (r *rolloutTable) String() string {
	var b strings.Builder
	b.WriteString("\n| rollout | runs (operator killed in) | connections: layer 2, BGP | failed | cut | longest gap (ms) | longest without an owner (ms) | end state right |\n|---|---|---|---|---|---|---|---|\n")
	for _, kind := range r.kinds {
		var sum rolloutRow
		killed, ended := 0, 0
		rows := r.rows[kind.name]
		for _, row := range rows {
			sum.layer2, sum.routed = total(sum.layer2, row.layer2), total(sum.routed, row.routed)
			sum.silent, sum.absent = max(sum.silent, row.silent), max(sum.absent, row.absent)
			killed, ended = killed+count(row.killed), ended+count(row.ended)
		}
		fmt.Fprintf(&b, "| %s | %d (%d) | %d, %d | %d, %d | %d, %d | %d, %d | %d, %d | %d: %s |\n", kind.name, len(rows), killed,
			sum.layer2.Tried, sum.routed.Tried, sum.layer2.Failed, sum.routed.Failed, sum.layer2.Cut, sum.routed.Cut,
			sum.layer2.LongestGap.Milliseconds(), sum.routed.LongestGap.Milliseconds(), sum.silent.Milliseconds(), sum.absent.Milliseconds(), ended, kind.phase)
	}
	return b.String()
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// total adds the connections of two clients.
func total(x, y scenario.Connections) scenario.Connections {
	return scenario.Connections{Tried: x.Tried + y.Tried, Failed: x.Failed + y.Failed, Cut: x.Cut + y.Cut, LongestGap: max(x.LongestGap, y.LongestGap)}
}
