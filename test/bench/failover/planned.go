package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/test/scenario"
)

// plannedMoves restarts the speakers and drains owners, under each profile.
func (b *bench) plannedMoves(ctx context.Context) error {
	fmt.Println("\n| planned, client connecting every 5 ms | profile | runs | connections | failed | cut | longest gap of a run (ms): best, median, p90, worst | to a node's own address |\n|---|---|---|---|---|---|---|---|")
	for _, profile := range b.profiles {
		if err := b.prepare(ctx, profile); err != nil {
			return err
		}
		if err := b.movesUnder(ctx, profile); err != nil {
			return fmt.Errorf("%s: %w", profile, err)
		}
	}
	return nil
}

// movesUnder restarts the speakers and drains owners while a client connects; and
// it also connects to a node's own address, which never moves: gaps of these connections
// are those of the machine.
func (b *bench) movesUnder(ctx context.Context, profile string) error {
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
		var gaps, still []time.Duration
		for i := range b.planned {
			c, control, err := b.once(ctx, step.do)
			if err != nil {
				return fmt.Errorf("%s: %w", step.name, err)
			}
			fmt.Fprintf(os.Stderr, "%s, run %d of %d: %d of %d connections failed, %d cut, longest gap %d ms; to a node %d of %d, %d ms\n",
				step.name, i+1, b.planned, c.Failed, c.Tried, c.Cut, c.LongestGap.Milliseconds(), control.Failed, control.Tried, control.LongestGap.Milliseconds())
			for _, why := range c.Why {
				fmt.Fprintln(os.Stderr, "  failed:", why)
			}
			sum.Tried, sum.Failed, sum.Cut = sum.Tried+c.Tried, sum.Failed+c.Failed, sum.Cut+c.Cut
			gaps, still = append(gaps, c.LongestGap), append(still, control.LongestGap)
		}
		fmt.Printf("| %s | %s | %d | %d | %d | %d | %s | %s |\n", step.name, profile, b.planned, sum.Tried, sum.Failed, sum.Cut, distribution(gaps), distribution(still))
	}
	return nil
}

func (b *bench) once(ctx context.Context, do func(context.Context, string) error) (c, control scenario.Connections, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	if err := b.whole(ctx); err != nil {
		return c, control, err
	}
	address, err := b.Address(ctx, scenario.SampleService)
	if err != nil {
		return c, control, err
	}
	still, err := b.nodePort(ctx)
	if err != nil {
		return c, control, err
	}
	c, err = b.Connecting(ctx, address+":80", func(ctx context.Context) (err error) {
		control, err = b.Connecting(ctx, still, func(ctx context.Context) error { return do(ctx, address) })
		return err
	})
	return c, control, err
}

// nodePort returns an address of the same Service that does not depend on a speaker.
func (b *bench) nodePort(ctx context.Context) (string, error) {
	svc, node := &corev1.Service{}, &corev1.Node{}
	if err := b.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: scenario.SampleService}, svc); err != nil {
		return "", fmt.Errorf("reading the Service: %w", err)
	}
	if err := b.Client.Get(ctx, client.ObjectKey{Name: b.Cluster.Nodes()[0]}, node); err != nil {
		return "", fmt.Errorf("reading the node: %w", err)
	}
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return net.JoinHostPort(a.Address, strconv.Itoa(int(svc.Spec.Ports[0].NodePort))), nil
		}
	}
	return "", fmt.Errorf("the node %s has no address", node.Name)
}

// drainOwner drains the owner of an address.
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
