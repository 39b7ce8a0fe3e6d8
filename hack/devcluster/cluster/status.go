// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/cgroup"
	"github.com/lbstack/lbstack/hack/devcluster/hostinit"
	"github.com/lbstack/lbstack/hack/devcluster/lan"
)

// PowerState is the power state of a host.
type PowerState string

// Power states of a host.
const (
	PowerOn        PowerState = "running"
	PowerPaused    PowerState = "paused"
	PowerOff       PowerState = "off"
	PowerNamespace PowerState = "namespace" // a host without programs
)

// HostStatus is the state of one host.
type HostStatus struct {
	Name   string
	V4, V6 netip.Addr
	Power  PowerState
	// Link means that the cable is plugged in.
	Link bool
	// Ready means that the Node is ready. It is nil if the host is no node or the API
	// server does not respond.
	Ready *bool
	// Programs has the state of each program; empty if the host does not run.
	Programs []hostinit.ProgramStatus
}

// statusTimeout is the timeout of the request to the API server. It is short, since
// Status must also return while the API server does not run.
const statusTimeout = 2 * time.Second

// Status returns the state of every host.
func (c *Cluster) Status(ctx context.Context) []HostStatus {
	ready := c.fetchHeartbeats(ctx)
	var statuses []HostStatus
	for _, host := range c.Hosts() {
		s := HostStatus{Name: host.Name, V4: host.V4, V6: host.V6, Power: PowerOff}
		s.Link, _ = lan.IsLinkUp(c.name, host.Name)
		switch on, err := c.poweredHost(host.Name); {
		case !host.RunsPrograms():
			if lan.NamespaceExists(lan.NamespaceName(c.name, host.Name)) {
				s.Power = PowerNamespace
			}
		case errors.Is(err, ErrPoweredOff):
		default:
			s.Power = PowerOn
			if frozen, _ := cgroup.IsFrozen(on.Cgroups); frozen {
				s.Power = PowerPaused
			}
			s.Programs, _ = c.callHost(host.Name, hostinit.Request{Op: hostinit.OpStatus})
		}
		if host.IsNode() && ready != nil {
			_, is := ready[host.Name]
			s.Ready = &is
		}
		statuses = append(statuses, s)
	}
	return statuses
}

func (c *Cluster) fetchHeartbeats(ctx context.Context) map[string]time.Time {
	client, err := c.newAPIClient()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var list nodeList
	if client.get(ctx, "/api/v1/nodes", &list) != nil {
		return nil
	}
	return list.readyHeartbeats()
}
