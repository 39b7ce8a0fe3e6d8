package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/traffic"
)

const (
	// steady is how long connections must have succeeded before an event.
	steady = 500 * time.Millisecond
	// silence is the gap from which an outage counts; shorter gaps are jitter of a busy machine.
	silence = 100 * time.Millisecond
)

// Failover has the times on the client host after the owner of an address was
// lost.
type Failover struct {
	// Before and After are the owners of the address.
	Before, After Owner
	// TakenOver is the time from the fault to the announcement of the next owner.
	TakenOver time.Duration
	// Gap is the time from the fault to the next established connection, if there
	// was an outage at all: a node whose speaker died goes on forwarding.
	Gap time.Duration
}

// LoseOwner breaks the node that announces an address while the client connects
// every 5 ms, and waits until it is served from another node. The node stays hurt.
func (s *Scenario) LoseOwner(ctx context.Context, address string, fault Fault) (Failover, error) {
	before, err := s.Settled(ctx, address)
	if err != nil {
		return Failover{}, err
	}
	f := Failover{Before: before}
	wire, err := s.Listen()
	if err != nil {
		return f, err
	}
	defer wire.Close()
	stream, err := traffic.Start(ctx, s.Cluster, s.Connect, address+":80")
	if err != nil {
		return f, err
	}
	defer func() { _, _ = stream.Stop() }()
	if err := flowing(ctx, stream); err != nil {
		return f, err
	}
	begun := time.Now()
	if err := fault.Hurt(ctx, before.Node); err != nil {
		return f, fmt.Errorf("%s, %s: %w", fault.Name, before.Node, err)
	}
	err = eventually.Poll(ctx, func(ctx context.Context) error {
		at, ok := wire.First(begun, before.MAC)[netip.MustParseAddr(address)]
		if !ok {
			return fmt.Errorf("nobody has announced %s since %s was hurt (%s) %s ago", address, before.Node, fault.Name, time.Since(begun).Round(time.Millisecond))
		}
		f.TakenOver = at.Sub(begun)
		if time.Since(at) < steady {
			return fmt.Errorf("%s was announced a moment ago", address)
		}
		f.After, err = s.Owner(ctx, address)
		if err == nil && f.After.Node == before.Node {
			err = fmt.Errorf("the client still sends to %s", f.After.Node)
		}
		return err
	})
	if err != nil {
		return f, err
	}
	seen := stream.Seen()
	if back, ok := traffic.Recovered(seen, begun, silence); ok {
		f.Gap = back.Sub(begun)
	}
	// Not every connection succeeds: backends on the lost node are still endpoints.
	served := slices.ContainsFunc(seen, func(a traffic.Attempt) bool { return a.OK && a.Begun.Sub(begun) > f.TakenOver })
	if !served {
		return f, fmt.Errorf("the client does not reach %s although %s announces it", address, f.After.Node)
	}
	return f, nil
}

// Settled waits until the client sends to the one node that reports it owns the
// address, and that this was so for a while. It returns the node. A node that was cut
// off shortly before still has its old status.
func (s *Scenario) Settled(ctx context.Context, address string) (owner Owner, err error) {
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

// ownedOnlyBy returns whether exactly one node's state lists the address. The state of a speaker that was
// stopped has its last status.
func (s *Scenario) ownedOnlyBy(ctx context.Context, address, node string) error {
	var states v1beta1.SpeakerStateList
	if err := s.Client.List(ctx, &states); err != nil {
		return fmt.Errorf("listing the SpeakerStates: %w", err)
	}
	for _, state := range states.Items {
		lists := slices.ContainsFunc(state.Status.Addresses, func(a v1beta1.SpeakerAddress) bool { return a.Address == address })
		if state.Name != node && state.Status.Phase == v1beta1.SpeakerStopped {
			continue
		}
		if lists != (state.Name == node) {
			return fmt.Errorf("the client sends to %s, and the state of %s lists %v", node, state.Name, state.Status.Addresses)
		}
	}
	return nil
}

// Connections has the results of a client that opened a connection every 5 ms.
type Connections struct {
	// Tried and Failed are numbers of connections.
	Tried, Failed int
	// Cut is the number of connections that were established and reset at the same time: a change of the route
	// sent their next packet to another node. No load balancer that keeps no state of
	// connections saves these; there is one at most for each change.
	Cut int
	// Lost are the failed connections, and Why their errors.
	Lost []traffic.Attempt
	Why  []string
	// LongestGap is the longest time between two established connections.
	LongestGap time.Duration
}

// Connecting opens connections to a host and port while a function runs. Connections
// from before connections succeeded steadily do not count.
func (s *Scenario) Connecting(ctx context.Context, to string, do func(context.Context) error) (Connections, error) {
	stream, err := traffic.Start(ctx, s.Cluster, s.Connect, to)
	if err != nil {
		return Connections{}, err
	}
	err = flowing(ctx, stream)
	begun := time.Now()
	if err == nil {
		err = do(ctx)
	}
	if err == nil {
		err = flowing(ctx, stream)
	}
	attempts, failed := stream.Stop()
	if err == nil {
		err = failed
	}
	attempts = slices.DeleteFunc(attempts, func(a traffic.Attempt) bool { return a.Begun.Before(begun) })
	c := Connections{Tried: len(attempts), LongestGap: traffic.LongestGap(attempts)}
	for _, a := range attempts {
		if a.Cut {
			c.Cut++
		} else if !a.OK {
			c.Failed++
			c.Lost = append(c.Lost, a)
			c.Why = append(c.Why, fmt.Sprintf("%s after %d ms, begun %d ms after the first step", a.Why, a.Ended.Sub(a.Begun).Milliseconds(), a.Begun.Sub(begun).Milliseconds()))
		}
	}
	return c, err
}

// ConnectingTo is Connecting with a client for each of some hosts and ports at the same time; it
// returns the results of each client, in their order.
func (s *Scenario) ConnectingTo(ctx context.Context, to []string, do func(context.Context) error) ([]Connections, error) {
	if len(to) == 0 {
		return nil, do(ctx)
	}
	var others []Connections
	c, err := s.Connecting(ctx, to[0], func(ctx context.Context) (err error) {
		others, err = s.ConnectingTo(ctx, to[1:], do)
		return err
	})
	return append([]Connections{c}, others...), err
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
