package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/hack/devcluster/config"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/traffic"
)

// RoutedService is the name of the Service in config/samples/service_routed.yaml.
const RoutedService = "routed"

// connectTimeout is longer than the client waits for a connection.
const connectTimeout = 2500 * time.Millisecond

// Vtysh runs a command of vtysh on the router, which runs FRR.
func (s *Scenario) Vtysh(ctx context.Context, command string) (string, error) {
	out, err := s.Cluster.Exec(ctx, plan.Router, "vtysh", "--vty_socket", config.RouterRunDir, "-c", command)
	return string(out), err
}

// NextHops returns the nodes that the router's kernel sends packets for an address to, in
// order.
func (s *Scenario) NextHops(ctx context.Context, address string) ([]string, error) {
	family := "-4"
	if strings.Contains(address, ":") {
		family = "-6"
	}
	out, err := s.Cluster.Exec(ctx, plan.Router, "ip", family, "-json", "route", "show", address, "proto", "bgp")
	if err != nil {
		return nil, err
	}
	type hop struct{ Gateway string }
	var routes []struct {
		hop
		Nexthops []hop
	}
	if err := json.Unmarshal(out, &routes); err != nil && len(strings.TrimSpace(string(out))) > 0 {
		return nil, fmt.Errorf("reading the router's routes %q: %w", out, err)
	}
	var nodes []string
	for _, route := range routes {
		for _, h := range append(route.Nexthops, route.hop) {
			for _, node := range plan.Nodes(len(s.Cluster.Nodes())) {
				if h.Gateway == node.V4.String() || h.Gateway == node.V6.String() {
					nodes = append(nodes, node.Name)
				}
			}
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes), nil
}

// RoutedTo waits until the router sends packets for an address to these nodes.
func (s *Scenario) RoutedTo(ctx context.Context, address string, nodes ...string) error {
	slices.Sort(nodes)
	return eventually.Poll(ctx, func(ctx context.Context) error {
		got, err := s.NextHops(ctx, address)
		if err == nil && !slices.Equal(got, nodes) {
			err = fmt.Errorf("the router sends %s to %v, want %v", address, got, nodes)
		}
		return err
	})
}

// watched waits until BFD is up on a node: a session with a router is up some seconds
// before, since BFD begins slowly (RFC 5880 section 6.8.3).
func (s *Scenario) watched(ctx context.Context, node string) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		state := &v1beta1.SpeakerState{}
		if err := s.Client.Get(ctx, client.ObjectKey{Name: node}, state); err != nil {
			return err
		}
		for _, p := range state.Status.BGPPeers {
			if p.State != "Established" || p.BFD == nil || p.BFD.State != "Up" {
				return fmt.Errorf("the session of %s is %s, and BFD %+v", node, p.State, p.BFD)
			}
		}
		if len(state.Status.BGPPeers) == 0 {
			return fmt.Errorf("%s has no session", node)
		}
		return nil
	})
}

// LoseRoute breaks a node that an address is routed to while the client connects every 5
// ms, and returns how long connections failed or hung after that. The node stays hurt.
func (s *Scenario) LoseRoute(ctx context.Context, address, node string, fault Fault) (time.Duration, error) {
	if err := s.watched(ctx, node); err != nil {
		return 0, err
	}
	stream, err := traffic.Start(ctx, s.Cluster, s.Connect, address+":80")
	if err != nil {
		return 0, err
	}
	defer func() { _, _ = stream.Stop() }()
	if err := flowing(ctx, stream); err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := fault.Hurt(ctx, node); err != nil {
		return 0, fmt.Errorf("%s, %s: %w", fault.Name, node, err)
	}
	err = eventually.Poll(ctx, func(ctx context.Context) error {
		hops, err := s.NextHops(ctx, address)
		if err == nil && slices.Contains(hops, node) {
			err = fmt.Errorf("the router sends %s to %v still", address, hops)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	moved := time.Now()
	err = eventually.Poll(ctx, func(context.Context) error {
		if time.Since(moved) < connectTimeout {
			return fmt.Errorf("connections that were begun before may hang still")
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	last, lost := traffic.LastLost(stream.Seen(), begun, silence)
	if !lost {
		return 0, nil
	}
	return last.Sub(begun), nil
}
