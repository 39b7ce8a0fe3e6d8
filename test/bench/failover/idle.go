package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/lbstack/lbstack/test/procstat"
)

// idleFor is how long idle speakers are looked at, after calm has passed: the last
// Service was made a moment ago.
const idleFor, calm = time.Minute, 20 * time.Second

// idle prints the cost of idle speakers.
func (b *bench) idle(ctx context.Context, addresses int) error {
	fmt.Fprintf(os.Stderr, "%d addresses: looking at idle speakers for %s\n", addresses, idleFor)
	if err := pause(ctx, calm); err != nil {
		return err
	}
	before := map[string]procstat.Usage{}
	for _, node := range b.Cluster.Nodes() {
		var err error
		if before[node], err = b.usage(ctx, node); err != nil {
			return err
		}
	}
	if err := pause(ctx, idleFor); err != nil {
		return err
	}
	for _, node := range b.Cluster.Nodes() {
		now, err := b.usage(ctx, node)
		if err != nil {
			return err
		}
		share := (now.Processor - before[node].Processor).Seconds() / idleFor.Seconds()
		fmt.Fprintf(os.Stderr, "%d addresses, idle: the speaker of %s takes %.2f %% of a processor and %d MiB\n", addresses, node, 100*share, now.Resident>>20)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// usage returns what the speaker's process on a node uses.
func (b *bench) usage(ctx context.Context, node string) (u procstat.Usage, err error) {
	line, err := b.Cluster.Exec(ctx, node, "sh", "-c", "cat /proc/$(pgrep -x speaker)/stat")
	if err != nil {
		return u, err
	}
	_, u, err = procstat.Parse(string(line))
	return u, err
}
