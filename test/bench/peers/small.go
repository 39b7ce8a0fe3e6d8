package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/test/bench/asker"
	"github.com/lbstack/lbstack/test/eventually"
)

// planned restarts all speakers, one after the other, while a client connects every 5 ms.
func (b *bench) planned(ctx context.Context, p *peer, address string) error {
	for range b.restarts {
		if err := b.restart(ctx, p, address); err != nil {
			return fmt.Errorf("restarting all speakers: %w", err)
		}
	}
	return nil
}

func (b *bench) restart(ctx context.Context, p *peer, address string) error {
	ctx, cancel := context.WithTimeout(ctx, gracePeriod)
	defer cancel()
	if _, err := b.settled(ctx, p, address); err != nil {
		return err
	}
	c, err := b.Connecting(ctx, address+":80", func(ctx context.Context) error {
		if err := b.RestartDaemonSet(ctx, p.speaker, time.Now().Format(time.RFC3339Nano)); err != nil {
			return err
		}
		_, err := b.settled(ctx, p, address)
		return err
	})
	if err != nil {
		return err
	}
	progress(p, "restart of all speakers", fmt.Sprintf("%d of %d connections failed, longest gap %s", c.Failed, c.Tried, c.LongestGap.Round(time.Millisecond)))
	b.table.add(p, "restart of all speakers: longest gap of a client (ms)", milliseconds(c.LongestGap))
	b.table.add(p, "restart of all speakers: failed connections", float64(c.Failed))
	return nil
}

// arp measures ARP requests for an address from the client host.
func (b *bench) arp(ctx context.Context, p *peer, address string) error {
	if b.requests == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gracePeriod)
	defer cancel()
	if _, err := b.settled(ctx, p, address); err != nil {
		return err
	}
	in := func(do func() error) error { return b.Cluster.RunInHost(plan.Client, do) }
	a, err := asker.New(in, clientAddress, asker.AnyProcessor)
	if err != nil {
		return err
	}
	defer a.Close()
	took, err := a.Ask(netip.MustParseAddr(address), b.requests)
	if err != nil {
		return err
	}
	for _, d := range took {
		b.table.add(p, "ARP request to answer (ms)", milliseconds(d))
	}
	progress(p, "ARP", fmt.Sprintf("%d answers", len(took)))
	return nil
}

// clientAddress is the address of the client host.
var clientAddress = netip.MustParseAddr("192.168.1.200")

// routed makes Services one after the other and measures for each the time from when it shows its address, and has an endpoint,
// until the kernel of the router, which runs FRR, has a route.
func (b *bench) routed(ctx context.Context, p *peer, _ string) error {
	if b.routes == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gracePeriod)
	defer cancel()
	shown, err := b.ClockServices(ctx)
	if err != nil {
		return err
	}
	routes, err := b.ClockRoutes(ctx, plan.Router)
	if err != nil {
		return err
	}
	for i := range b.routes + 1 {
		name := fmt.Sprintf("routed-%d", i)
		if err := b.Client.Create(ctx, b.service(p, name, "routed")); err != nil {
			return fmt.Errorf("making the Service %s: %w", name, err)
		}
		address, err := b.Address(ctx, name)
		if err != nil {
			return err
		}
		var took time.Duration
		err = eventually.Poll(ctx, func(context.Context) error {
			from, seen := shown.At(name)
			to, has := routes.At(address)
			if !seen || !has {
				return fmt.Errorf("%s: shown %v, routed %v", address, seen, has)
			}
			took = max(0, to.Sub(from))
			return nil
		})
		if err != nil {
			return err
		}
		if i == 0 {
			continue // the sessions may not have been there
		}
		b.table.add(p, "address shown to route in the kernel of a router (ms)", milliseconds(took))
	}
	progress(p, "routes", fmt.Sprintf("%d Services are routed", b.routes))
	return nil
}

// idle measures what the programs use while nothing happens, next to the Services that are announced.
func (b *bench) idle(ctx context.Context, p *peer) error {
	if err := pause(ctx, calm); err != nil {
		return err
	}
	before, err := b.usages(ctx, p)
	if err != nil {
		return err
	}
	if err := pause(ctx, b.idleFor); err != nil {
		return err
	}
	after, err := b.usages(ctx, p)
	if err != nil {
		return err
	}
	for id, now := range after {
		then, has := before[id]
		if !has {
			return fmt.Errorf("the %s on %s was started again while it was watched", id.program, id.node)
		}
		with := fmt.Sprintf("idle, %d Services: %s, ", b.services, id.program)
		share := 100 * (now.Processor - then.Processor).Seconds() / b.idleFor.Seconds()
		b.table.add(p, with+"processor (%)", share)
		b.table.add(p, with+"resident (MiB)", float64(now.Resident)/(1<<20))
		fmt.Fprintf(os.Stderr, "%s: idle %s on %s: %.2f %% of a processor, %d MiB\n", p.name, id.program, id.node, share, now.Resident>>20)
	}
	return nil
}

// calm is the quiet time before idle programs are measured.
const calm = 20 * time.Second

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
