package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
	"github.com/lbstack/lbstack/test/traffic"
)

const (
	// gracePeriod bounds each measurement.
	gracePeriod = 6 * time.Minute
	// steady is for how long one node must have answered, and connections must have succeeded.
	steady = 5 * time.Second
	// silence distinguishes an outage from the jitter of a busy machine.
	silence = 100 * time.Millisecond
	// watched is for how long a client connects after a fault without an outage at once: twice what the slowest needs to
	// count a speaker as failed.
	watched = 15 * time.Second
)

// losses are the ways in which the announcing node is lost; the last one ends the program alone.
func (b *bench) losses(p *peer) []scenario.Fault {
	each := func(node, signal string) error {
		_, err := b.Cluster.Exec(context.Background(), node, "pkill", signal, "-x", p.program)
		return err
	}
	return []scenario.Fault{
		{Name: "cable pulled",
			Hurt: func(_ context.Context, node string) error { return b.Cluster.SetLink(node, false) },
			Heal: func(_ context.Context, node string) error { return b.Cluster.SetLink(node, true) }},
		// keepalived is no pod, and is stopped by a signal.
		{Name: "node frozen",
			Hurt: func(_ context.Context, node string) error {
				return errors.Join(b.Cluster.SetLink(node, false), each(node, "-STOP"), b.Cluster.Pause(node))
			},
			Heal: func(_ context.Context, node string) error {
				return errors.Join(b.Cluster.Resume(node), each(node, "-CONT"), b.Cluster.SetLink(node, true))
			}},
		{Name: "announcer killed -9",
			Hurt: func(_ context.Context, node string) error { return each(node, "-KILL") },
			Heal: p.restore},
	}
}

// failover loses the announcing node in each way.
func (b *bench) failover(ctx context.Context, p *peer, address string) error {
	if b.faults == 0 {
		return nil
	}
	for _, fault := range b.losses(p) {
		for run := range b.faults {
			gap, err := b.lose(ctx, p, address, fault)
			if err != nil {
				return fmt.Errorf("%s, run %d: %w", fault.Name, run+1, err)
			}
			progress(p, fault.Name, gap.Round(time.Millisecond))
			b.table.add(p, fault.Name+": client without the address (ms)", milliseconds(gap))
		}
	}
	return nil
}

// lose breaks the node that announces an address while a client connects every 5 ms, and repairs the node. It returns
// how long the client had no connection; zero without a gap.
func (b *bench) lose(ctx context.Context, p *peer, address string, fault scenario.Fault) (gap time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, gracePeriod)
	defer cancel()
	node, err := b.settled(ctx, p, address)
	if err != nil {
		return 0, err
	}
	// A client may still send to a node that announced the address before, which forwards.
	if out, err := b.Cluster.Exec(ctx, "client", "ip", "neighbour", "flush", "to", address); err != nil {
		return 0, fmt.Errorf("having the client forget %s: %w: %s", address, err, out)
	}
	stream, err := traffic.Start(ctx, b.Cluster, b.Connect, address+":80")
	if err != nil {
		return 0, err
	}
	defer func() { _, _ = stream.Stop() }()
	if err := flows(ctx, stream, time.Now()); err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := fault.Hurt(ctx, node); err != nil {
		return 0, fmt.Errorf("hurting %s: %w", node, err)
	}
	defer func() { err = errors.Join(err, fault.Heal(context.WithoutCancel(ctx), node)) }()
	err = eventually.Poll(ctx, func(context.Context) error {
		seen := stream.Seen()
		longest, atOnce := outage(seen, begun)
		if works := established(seen, time.Now().Add(-silence)); !works || !atOnce && time.Since(begun) < watched {
			return fmt.Errorf("%s was hurt %s ago, and connections succeed: %v", node, time.Since(begun).Round(time.Millisecond), works)
		}
		gap = longest
		return nil
	})
	return gap, err
}

// outage returns the longest time without an established connection after an event, zero if that is only jitter, and
// whether an outage began with the event. An outage may begin later: a node whose announcer was killed forwards as before
// until another node announces.
func outage(attempts []traffic.Attempt, event time.Time) (longest time.Duration, atOnce bool) {
	last := event
	for _, a := range attempts {
		if !a.OK || a.Ended.Before(event) {
			continue
		}
		if gap := a.Ended.Sub(last); gap >= silence {
			longest, atOnce = max(longest, gap), atOnce || last.Sub(event) < silence
		}
		last = a.Ended
	}
	return longest, atOnce
}

// established returns whether a connection was established after a time.
func established(attempts []traffic.Attempt, after time.Time) bool {
	return slices.ContainsFunc(attempts, func(a traffic.Attempt) bool { return a.OK && a.Ended.After(after) })
}

// flows waits until connections have succeeded for a while after a time.
func flows(ctx context.Context, stream *traffic.Stream, from time.Time) error {
	return eventually.Poll(ctx, func(context.Context) error {
		seen := stream.Seen()
		since := from
		for _, a := range seen {
			if !a.OK && a.Ended.After(since) {
				since = a.Ended
			}
		}
		if !established(seen, time.Now().Add(-silence)) || time.Since(since) < time.Second {
			return errors.New("connections do not succeed steadily")
		}
		return nil
	})
}

// settled waits until all parts of the load balancer work and one node alone has answered ARP for an address for a
// while. It returns this node.
func (b *bench) settled(ctx context.Context, p *peer, address string) (node string, err error) {
	if err := p.whole(ctx); err != nil {
		return "", err
	}
	w, err := b.Watch(address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	begun := time.Now()
	var got scenario.Answers
	err = eventually.Poll(ctx, func(context.Context) error {
		from := time.Now().Add(-steady)
		if got = w.Since(from, address); from.Before(begun) || len(got.Owners) != 1 || got.Silent > time.Second {
			return fmt.Errorf("%v answer for %s, and none did for %s", got.Owners, address, got.Silent)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	for _, node := range b.Cluster.Nodes() {
		mac, err := b.Cluster.Exec(ctx, node, "cat", "/sys/class/net/eth0/address")
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(string(mac)) == got.Last {
			return node, nil
		}
	}
	return "", fmt.Errorf("no node has the MAC %s, which answers for %s", got.Last, address)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
