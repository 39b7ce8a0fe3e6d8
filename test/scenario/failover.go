package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/traffic"
)

const (
	// steady is how long connections must have succeeded before an event.
	steady = 500 * time.Millisecond
	// silence tells an outage from the jitter of a busy machine.
	silence = 100 * time.Millisecond
)

// Failover is what the client saw when the owner of an address was cut off.
type Failover struct {
	// Before and After are who owned the address.
	Before, After Owner
	// Gap is the time from the cut to the next established connection.
	Gap time.Duration
}

// CutOwner pulls the cable of the node that announces an address while the
// client connects every 5 ms, and waits until it is served from another node.
// The cable stays out.
func (s *Scenario) CutOwner(ctx context.Context, address string) (Failover, error) {
	before, err := s.Owner(ctx, address)
	if err != nil {
		return Failover{}, err
	}
	f := Failover{Before: before}
	stream, err := traffic.Start(ctx, s.Cluster, s.Connect, address+":80")
	if err != nil {
		return Failover{}, err
	}
	defer stream.Stop()
	if err := flowing(ctx, stream); err != nil {
		return Failover{}, err
	}
	cut := time.Now()
	if err := s.Cluster.Link(f.Before.Node, false); err != nil {
		return Failover{}, fmt.Errorf("pulling the cable of %s: %w", f.Before.Node, err)
	}
	err = eventually.Poll(ctx, func(ctx context.Context) error {
		back, ok := traffic.Recovered(stream.Seen(), cut, silence)
		if !ok {
			return fmt.Errorf("no connection since the cable of %s was pulled %s ago", f.Before.Node, time.Since(cut).Round(time.Millisecond))
		}
		f.Gap = back.Sub(cut)
		f.After, err = s.Owner(ctx, address)
		if err == nil && f.After.Node == f.Before.Node {
			err = fmt.Errorf("the client still sends to %s", f.After.Node)
		}
		return err
	})
	return f, err
}

// flowing waits until connections have succeeded for a while.
func flowing(ctx context.Context, stream *traffic.Stream) error {
	return eventually.Poll(ctx, func(context.Context) error {
		seen := stream.Seen()
		if len(seen) == 0 {
			return fmt.Errorf("no connection yet")
		}
		var first time.Time
		for _, a := range seen {
			switch {
			case !a.OK:
				first = time.Time{}
			case first.IsZero():
				first = a.Ended
			}
		}
		if first.IsZero() || time.Since(first) < steady {
			return fmt.Errorf("connections do not succeed steadily yet")
		}
		return nil
	})
}
