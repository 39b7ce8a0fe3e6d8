package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/lbstack/lbstack/test/scenario"
)

// plannedMoves restarts the speakers and drains owners while a client connects.
func (b *bench) plannedMoves(ctx context.Context, profile string) error {
	steps := []struct {
		name string
		do   func(ctx context.Context, address string) error
	}{
		{"rolling restart of all speakers", func(ctx context.Context, _ string) error {
			return b.RestartSpeakers(ctx, time.Now().Format(time.RFC3339Nano))
		}},
		{"the owner is drained", func(ctx context.Context, address string) error { return b.drainOwner(ctx, address) }},
	}
	for _, step := range steps {
		var sum scenario.Connections
		for i := range b.planned {
			c, err := b.once(ctx, step.do)
			if err != nil {
				return fmt.Errorf("%s: %w", step.name, err)
			}
			fmt.Fprintf(os.Stderr, "%s, run %d of %d: %d of %d connections failed, longest gap %d ms\n", step.name, i+1, b.planned, c.Failed, c.Tried, c.LongestGap.Milliseconds())
			for _, why := range c.Why {
				fmt.Fprintln(os.Stderr, "  failed:", why)
			}
			sum.Tried, sum.Failed, sum.LongestGap = sum.Tried+c.Tried, sum.Failed+c.Failed, max(sum.LongestGap, c.LongestGap)
		}
		fmt.Printf("| %s | %s | %d | %d | %d | %d |\n", step.name, profile, b.planned, sum.Tried, sum.Failed, sum.LongestGap.Milliseconds())
	}
	return nil
}

func (b *bench) once(ctx context.Context, do func(context.Context, string) error) (scenario.Connections, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := b.whole(ctx); err != nil {
		return scenario.Connections{}, err
	}
	address, err := b.Address(ctx, scenario.SampleService)
	if err != nil {
		return scenario.Connections{}, err
	}
	return b.Connecting(ctx, address, func(ctx context.Context) error { return do(ctx, address) })
}

// drainOwner has the owner of an address hand it over.
func (b *bench) drainOwner(ctx context.Context, address string) error {
	before, err := b.Settled(ctx, address)
	if err != nil {
		return err
	}
	if err := b.Drain(ctx, before.Node, true); err != nil {
		return err
	}
	defer func() { _ = b.Drain(context.WithoutCancel(ctx), before.Node, false) }()
	after, err := b.Settled(ctx, address)
	for err == nil && after.Node == before.Node {
		after, err = b.Settled(ctx, address)
	}
	return err
}
