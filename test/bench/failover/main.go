// Command failover measures on a test bed that has the operator how long a client
// is without an address when the cable of its owner is pulled, and prints the
// distribution as a table. Every run is a new owner's: the cable goes in again
// before the next.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/lbstack/lbstack/test/scenario"
)

// patience bounds each run.
const patience = 2 * time.Minute

func main() {
	runs := flag.Int("runs", 20, "how often the cable is pulled")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, runs int) error {
	if runs < 1 {
		return errors.New("-runs: want at least one")
	}
	s, err := scenario.Open(ctx)
	if err != nil {
		return err
	}
	var gaps []time.Duration
	for i := range runs {
		gap, err := failOver(ctx, s)
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
		fmt.Fprintf(os.Stderr, "run %2d of %d: %d ms\n", i+1, runs, gap.Milliseconds())
		gaps = append(gaps, gap)
	}
	slices.Sort(gaps)
	fmt.Printf("| owner's cable pulled, client connecting every 5 ms | runs | best | median | worst |\n|---|---|---|---|---|\n")
	fmt.Printf("| milliseconds without the address | %d | %d | %d | %d |\n",
		runs, gaps[0].Milliseconds(), gaps[len(gaps)/2].Milliseconds(), gaps[len(gaps)-1].Milliseconds())
	return nil
}

func failOver(ctx context.Context, s *scenario.Scenario) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.Apply(ctx, "lbstack_v1beta1_loadbalancerstack.yaml", "web.yaml", "service.yaml"); err != nil {
		return 0, err
	}
	if err := s.EveryoneSeesEveryone(ctx); err != nil {
		return 0, err
	}
	address, err := s.Address(ctx, scenario.SampleService)
	if err != nil {
		return 0, err
	}
	if _, err := s.Page(ctx, address); err != nil {
		return 0, err
	}
	f, err := s.CutOwner(ctx, address)
	if err != nil {
		return 0, err
	}
	// The others have said that it is gone; what they say next is about its return.
	if err := s.Sees(ctx, len(s.Cluster.Nodes())-1, f.Before.Node); err != nil {
		return 0, err
	}
	return f.Gap, s.Cluster.Link(f.Before.Node, true)
}
