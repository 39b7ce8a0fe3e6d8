package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
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
	before, err := s.settled(ctx, address)
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

// settled waits until the client sends to the one node that says it owns the
// address, and that has been so for a while; it returns the node. One that was cut
// off a moment ago still says what it was.
func (s *Scenario) settled(ctx context.Context, address string) (owner Owner, err error) {
	var since time.Time
	err = eventually.Poll(ctx, func(ctx context.Context) error {
		now, err := s.Owner(ctx, address)
		if err == nil {
			err = s.ownedOnlyBy(ctx, address, now.Node)
		}
		if err != nil || now != owner {
			owner, since = now, time.Now()
		}
		if err == nil && time.Since(since) < steady {
			err = fmt.Errorf("%s has owned %s for a moment only", now.Node, address)
		}
		return err
	})
	return owner, err
}

// ownedOnlyBy says whether exactly one node's state lists the address.
func (s *Scenario) ownedOnlyBy(ctx context.Context, address, node string) error {
	var states v1beta1.SpeakerStateList
	if err := s.Client.List(ctx, &states); err != nil {
		return fmt.Errorf("listing the SpeakerStates: %w", err)
	}
	for _, state := range states.Items {
		lists := slices.ContainsFunc(state.Status.Addresses, func(a v1beta1.SpeakerAddress) bool { return a.Address == address })
		if lists != (state.Name == node) {
			return fmt.Errorf("the client sends to %s, and the state of %s lists %v", node, state.Name, state.Status.Addresses)
		}
	}
	return nil
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
