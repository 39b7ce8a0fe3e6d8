// Command failover measures on a test bed that has the operator how long a client
// is without an address when its owner is lost, how soon many addresses move, and
// what a client sees of planned moves. It prints distributions as tables. It undoes each
// change of the bed before the next run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/test/scenario"
)

// runTimeout bounds each run.
const runTimeout = 3 * time.Minute

// parts are what -only selects, in the order in which they run.
var parts = []string{"faults", "planned", "last", "many"}

func main() {
	b := &bench{}
	flag.IntVar(&b.runs, "runs", 20, "how often each owner is lost")
	flag.IntVar(&b.planned, "planned", 20, "how often the speakers are restarted, and a node is drained")
	flag.IntVar(&b.last, "last", 20, "how often all nodes but one lose power at once, with and without the API server")
	profiles := flag.String("profiles", "Default,Fast", "profiles of failure detection to measure, in faults and planned")
	many := flag.String("addresses", "100,1000", "how many addresses a node has that is lost, in many")
	only := flag.String("only", strings.Join(parts, ","), "which parts are measured: owners that are lost (faults), restarts and drains (planned),\n"+
		"all nodes but one (last), a node with many addresses, and idle speakers (many)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b.profiles, b.many = items(*profiles), items(*many)
	if err := b.run(ctx, items(*only)); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func items(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// bench has the bed and what is measured.
type bench struct {
	*scenario.Scenario
	runs, planned, last int
	profiles, many      []string
}

// run measures the selected parts.
func (b *bench) run(ctx context.Context, only []string) (err error) {
	for _, part := range only {
		if !slices.Contains(parts, part) {
			return fmt.Errorf("-only: %q is none of %s", part, strings.Join(parts, ", "))
		}
	}
	if b.Scenario, err = scenario.Open(ctx); err != nil {
		return err
	}
	measure := map[string]func(context.Context) error{"faults": b.lostOwners, "planned": b.plannedMoves, "last": b.lastNode, "many": b.manyAddresses}
	for _, part := range parts {
		if !slices.Contains(only, part) {
			continue
		}
		if err := measure[part](ctx); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

// row prints a distribution.
func row(what, profile, figure string, list []time.Duration) {
	if len(list) == 0 {
		fmt.Printf("| %s | %s | 0 | %s | no outage | | | |\n", what, profile, figure)
		return
	}
	fmt.Printf("| %s | %s | %d | %s | %s |\n", what, profile, len(list), figure, strings.ReplaceAll(distribution(list), ", ", " | "))
}

// distribution returns best, median, p90 and worst in milliseconds.
func distribution(list []time.Duration) string {
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	at := func(share float64) int64 { return list[int(share*float64(len(list)-1)+0.5)].Milliseconds() }
	return fmt.Sprintf("%d, %d, %d, %d", at(0), at(0.5), at(0.9), at(1))
}
