package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/lbstack/lbstack/test/scenario"
)

// lastNode has all nodes but one lose power at once, and prints how long no node answered
// for an address of a node that was lost.
func (b *bench) lastNode(ctx context.Context) error {
	if b.last == 0 {
		return nil
	}
	if err := b.prepare(ctx, "Default"); err != nil {
		return err
	}
	fmt.Println("\n| nodes lost | API server | runs | figure (ms) | best | median | p90 | worst |\n|---|---|---|---|---|---|---|---|")
	for _, away := range []bool{false, true} {
		what := "runs"
		if away {
			what = "is away"
		}
		var silent, both []time.Duration
		for i := range b.last {
			got, err := b.lastOnce(ctx, away)
			if err != nil {
				return fmt.Errorf("all nodes but one lose power, the API server %s, run %d: %w", what, i+1, err)
			}
			fmt.Fprintf(os.Stderr, "all nodes but one lose power, the API server %s, run %d of %d: nobody answered for %d ms, two nodes for %d ms\n",
				what, i+1, b.last, got.Silent.Milliseconds(), got.Both.Milliseconds())
			silent, both = append(silent, got.Silent), append(both, got.Both)
		}
		row("all nodes but one lose power", what, "nobody answers", silent)
		row("all nodes but one lose power", what, "two nodes answer", both)
	}
	return nil
}

func (b *bench) lastOnce(ctx context.Context, away bool) (got scenario.Answers, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	if err := b.whole(ctx); err != nil {
		return got, err
	}
	address, err := b.Address(ctx, scenario.SampleService)
	if err != nil {
		return got, err
	}
	owner, err := b.Settled(ctx, address)
	if err != nil {
		return got, err
	}
	w, err := b.Watch(address)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if away {
		if err := b.Cluster.StopControlPlaneProgram("kube-apiserver"); err != nil {
			return got, err
		}
	}
	nodes := slices.Clone(b.Cluster.Nodes())
	left := slices.IndexFunc(nodes, func(node string) bool { return node != owner.Node })
	lost := slices.Delete(nodes, left, left+1)
	defer func() { err = errors.Join(err, b.restore(ctx, away, lost)) }()
	begun := time.Now()
	if err := b.Cluster.Kill(lost...); err != nil {
		return got, err
	}
	for got = w.Since(begun, address); got.Last == "" || got.Last == owner.MAC || time.Since(begun) < settled; got = w.Since(begun, address) {
		if err := pause(ctx, settled/10); err != nil {
			return got, fmt.Errorf("nobody took %s over: %+v: %w", address, got, err)
		}
	}
	return got, nil
}

// settled is how long the segment is watched after the nodes were lost.
const settled = 5 * time.Second

// restore starts all nodes again.
func (b *bench) restore(ctx context.Context, away bool, lost []string) error {
	if away {
		if err := b.Cluster.StartControlPlaneProgram("kube-apiserver"); err != nil {
			return err
		}
	}
	for _, node := range lost {
		if err := b.Cluster.Start(ctx, node); err != nil {
			return err
		}
	}
	return nil
}
