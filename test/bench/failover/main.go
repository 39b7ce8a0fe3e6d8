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

func main() {
	b := &bench{}
	flag.IntVar(&b.runs, "runs", 20, "how often each owner is lost")
	flag.IntVar(&b.planned, "planned", 5, "how often the speakers are restarted, and a node is drained")
	flag.IntVar(&b.last, "last", 5, "how often all nodes but one lose power at once, with and without the API server")
	profiles := flag.String("profiles", "Default,Fast", "profiles of failure detection to measure")
	many := flag.String("addresses", "100,1000", "how many addresses a node has that is lost; empty: that is not measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, strings.Split(*profiles, ","), strings.FieldsFunc(*many, func(r rune) bool { return r == ',' })); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

// bench has the bed and the number of runs.
type bench struct {
	*scenario.Scenario
	runs, planned, last int
}

func (b *bench) run(ctx context.Context, profiles, many []string) (err error) {
	if b.Scenario, err = scenario.Open(ctx); err != nil {
		return err
	}
	fmt.Println("| owner lost, client connecting every 5 ms | profile | runs | figure (ms) | best | median | p90 | worst |\n|---|---|---|---|---|---|---|---|")
	for _, profile := range profiles {
		if err := b.prepare(ctx, profile); err != nil {
			return err
		}
		for _, fault := range b.Faults() {
			if err := b.lose(ctx, profile, fault); err != nil {
				return fmt.Errorf("%s, %s: %w", profile, fault.Name, err)
			}
		}
	}
	fmt.Println("\n| planned, client connecting every 5 ms | profile | runs | connections | failed | cut | longest gap of a run (ms): best, median, p90, worst | to a node's own address |\n|---|---|---|---|---|---|---|---|")
	for _, profile := range profiles {
		if err := b.prepare(ctx, profile); err != nil {
			return err
		}
		if err := b.plannedMoves(ctx, profile); err != nil {
			return fmt.Errorf("%s: %w", profile, err)
		}
	}
	if err := b.prepare(ctx, "Default"); err != nil {
		return err
	}
	if err := b.lastNode(ctx); err != nil {
		return err
	}
	return b.manyAddresses(ctx, many)
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
