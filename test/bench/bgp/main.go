// Command bgp measures on a test bed that has the operator, whose router runs FRR: how
// soon a new address of a Service is a route in the router's kernel, how soon many addresses are
// announced to four routers, how long traffic is lost when a node is lost, and what the speaker
// takes meanwhile. It prints distributions as tables.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

// calm is the time without a change before a node is lost.
const calm = 5 * time.Second

// runTimeout bounds each measurement.
const runTimeout = 10 * time.Minute

func main() {
	b := &bench{}
	flag.IntVar(&b.services, "services", 200, "how many Services are created one after the other; 0: that is not measured")
	flag.DurationVar(&b.pace, "pace", time.Second/2, "how long after one Service the next is created")
	flag.IntVar(&b.many, "many", 1000, "how many addresses are announced at once to four routers; 0: that is not measured")
	flag.IntVar(&b.runs, "runs", 20, "how often a node is lost; 0: that is not measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bgp:", err)
		os.Exit(1)
	}
}

// bench has the bed and the number of measurements.
type bench struct {
	*scenario.Scenario
	services, many, runs int
	pace                 time.Duration
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.Scenario, err = scenario.Open(ctx); err != nil {
		return err
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	defer b.removeStack(context.WithoutCancel(ctx))
	fmt.Println("| what (ms) | runs | best | median | p90 | p99 | worst |\n|---|---|---|---|---|---|---|")
	for _, measure := range []func(context.Context) error{b.lose, b.oneByOne, b.manyAtOnce} {
		if err := within(ctx, measure); err != nil {
			return err
		}
	}
	return nil
}

func within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	return do(ctx)
}

func (b *bench) prepare(ctx context.Context) error {
	return within(ctx, func(ctx context.Context) error {
		if err := b.Apply(ctx, "lbstack_v1beta1_loadbalancerstack_routed.yaml", "web.yaml", "service_routed.yaml"); err != nil {
			return err
		}
		if err := b.StackReady(ctx); err != nil {
			return err
		}
		address, err := b.Address(ctx, scenario.RoutedService)
		if err != nil {
			return err
		}
		if _, err := b.Page(ctx, address); err != nil {
			return err
		}
		_, err = b.settled(ctx, address)
		return err
	})
}

// row prints a distribution in milliseconds.
func row(what string, list []time.Duration) {
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	at := func(share float64) float64 {
		return float64(list[int(share*float64(len(list)-1)+0.5)].Microseconds()) / 1000
	}
	fmt.Printf("| %s | %d | %.1f | %.1f | %.1f | %.1f | %.1f |\n", what, len(list), at(0), at(0.5), at(0.9), at(0.99), at(1))
}

// lose cuts a node off that has an endpoint, again and again.
func (b *bench) lose(ctx context.Context) error {
	if b.runs == 0 {
		return nil
	}
	address, err := b.Address(ctx, scenario.RoutedService)
	if err != nil {
		return err
	}
	nodes, err := b.settled(ctx, address)
	if err != nil {
		return err
	}
	cut := b.Faults()[0]
	var lost []time.Duration
	for run := range b.runs {
		err := within(context.WithoutCancel(ctx), func(ctx context.Context) error {
			if err := b.RoutedTo(ctx, address, nodes...); err != nil {
				return err
			}
			node := nodes[run%len(nodes)]
			took, err := b.LoseRoute(ctx, address, node, cut)
			if heal := cut.Heal(ctx, node); err == nil {
				err = heal
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "link cut, run %d of %d: connections failed or hung for %d ms\n", run+1, b.runs, took.Milliseconds())
			lost = append(lost, took)
			return nil
		})
		if err != nil {
			return err
		}
	}
	row("a node's link is cut, BFD 3 x 100 ms: connections to it fail or hang for", lost)
	return nil
}

// settled waits until the router has sent packets to the same nodes for a while, at least
// two, and returns these.
func (b *bench) settled(ctx context.Context, address string) (nodes []string, err error) {
	var since time.Time
	err = eventually.Poll(ctx, func(ctx context.Context) error {
		now, err := b.NextHops(ctx, address)
		if err != nil {
			return err
		}
		if !slices.Equal(now, nodes) {
			nodes, since = now, time.Now()
		}
		if len(nodes) < 2 || time.Since(since) < calm {
			return fmt.Errorf("the router sends %s to %v", address, nodes)
		}
		return nil
	})
	return nodes, err
}
