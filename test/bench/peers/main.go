// Command peers measures lbstack, MetalLB and keepalived in turns on one test bed that has lbstack's operator:
// failover, a planned restart, the answers to ARP, routes, many waiting Services, and the idle usage.
// It prints one table. All of them have the same addresses, Services and router, and their default
// settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/test/scenario"
)

// turn bounds the measurement of one load balancer in one round.
const turn = 90 * time.Minute

func main() {
	b := &bench{}
	flag.IntVar(&b.rounds, "rounds", 2, "how often each load balancer has its turn")
	flag.IntVar(&b.faults, "faults", 5, "how often the announcing node is lost in each way, in each round; 0: that is not measured")
	flag.IntVar(&b.restarts, "restarts", 3, "how often all speakers are restarted in each round; 0: that is not measured")
	flag.IntVar(&b.requests, "requests", 1000, "how many ARP requests are sent in each round; 0: that is not measured")
	flag.IntVar(&b.routes, "routes", 50, "how many Services get a route, one after the other, in each round; 0: that is not measured")
	flag.IntVar(&b.services, "services", 1000, "how many Services wait when the controller starts; 0: that is not measured, nor is what is used when idle")
	flag.DurationVar(&b.idleFor, "idle", time.Minute, "how long idle programs are watched, once these Services are announced")
	only := flag.String("only", "lbstack,metallb,keepalived", "what is measured, in this order")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// bench has the bed, the numbers of measurements, and the results.
type bench struct {
	*scenario.Scenario
	rounds, faults, restarts, requests, routes, services int
	idleFor                                              time.Duration
	table                                                table
}

func (b *bench) run(ctx context.Context, names []string) (err error) {
	if b.rounds < 1 {
		return errors.New("-rounds: want at least one")
	}
	if b.Scenario, err = scenario.Open(ctx); err != nil {
		return err
	}
	peers, err := b.peers(names)
	if err != nil {
		return err
	}
	// What was measured is printed even if something fails later.
	defer func() { fmt.Print(b.table.markdown()) }()
	for round := range b.rounds {
		for _, p := range peers {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, b.rounds, p.name)
			if err := b.turn(ctx, p); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, p.name, err)
			}
		}
		slices.Reverse(peers) // so that none is always the first on what another left
	}
	return nil
}

// turn has one load balancer run, measures it and removes it.
func (b *bench) turn(ctx context.Context, p *peer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	defer func() { err = errors.Join(err, b.remove(context.WithoutCancel(ctx), p)) }()
	address, err := b.start(ctx, p)
	if err != nil {
		return err
	}
	if err := b.failover(ctx, p, address); err != nil {
		return err
	}
	if p.speaker.Name == "" { // keepalived is measured for failover alone
		return nil
	}
	for _, measure := range []func(context.Context, *peer, string) error{b.planned, b.arp, b.routed, b.waiting} {
		if err := measure(ctx, p, address); err != nil {
			return err
		}
	}
	return nil
}

// progress prints each measurement at once.
func progress(p *peer, what string, figure any) {
	fmt.Fprintf(os.Stderr, "%s: %s: %v\n", p.name, what, figure)
}
