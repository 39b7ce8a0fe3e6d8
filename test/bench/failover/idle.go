package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// idleFor is how long idle speakers are looked at, after calm has passed: the last
	// Service was made a moment ago.
	idleFor, calm = time.Minute, 20 * time.Second
	// perSecond is how many clock ticks a second has in /proc (USER_HZ).
	perSecond = 100
)

// usage has the resources that a speaker's process has used so far.
type usage struct {
	ticks    int64 // of processor time
	resident int64 // KiB
}

// idle prints the cost of idle speakers.
func (b *bench) idle(ctx context.Context, addresses int) error {
	fmt.Fprintf(os.Stderr, "%d addresses: looking at idle speakers for %s\n", addresses, idleFor)
	if err := pause(ctx, calm); err != nil {
		return err
	}
	before := map[string]usage{}
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
		share := float64(now.ticks-before[node].ticks) / perSecond / idleFor.Seconds()
		fmt.Fprintf(os.Stderr, "%d addresses, idle: the speaker of %s takes %.2f %% of a processor and %d MiB\n", addresses, node, 100*share, now.resident>>10)
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

// usage reads /proc of the speaker's process on a node (proc(5)).
func (b *bench) usage(ctx context.Context, node string) (u usage, err error) {
	pid, err := b.Cluster.Exec(ctx, node, "pgrep", "-x", "speaker")
	if err != nil {
		return u, err
	}
	of := "/proc/" + strings.TrimSpace(string(pid))
	stat, err := b.Cluster.Exec(ctx, node, "cat", of+"/stat")
	if err != nil {
		return u, err
	}
	_, fields, _ := strings.Cut(string(stat), ") ") // from the third on
	for _, field := range strings.Fields(fields)[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return u, fmt.Errorf("reading %s/stat: %w", of, err)
		}
		u.ticks += n
	}
	status, err := b.Cluster.Exec(ctx, node, "grep", "VmRSS", of+"/status")
	if err != nil {
		return u, err
	}
	if _, err := fmt.Sscanf(string(status), "VmRSS: %d kB", &u.resident); err != nil {
		return u, fmt.Errorf("reading %s/status: %w", of, err)
	}
	return u, nil
}
