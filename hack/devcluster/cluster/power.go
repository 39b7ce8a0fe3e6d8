// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/cgroup"
	"github.com/lbstack/lbstack/hack/devcluster/config"
	"github.com/lbstack/lbstack/hack/devcluster/hostinit"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/hack/devcluster/state"
)

// Pause freezes every process of the node, its pods included. The kernel still answers
// ARP for the node's own addresses and forwards packets.
func (c *Cluster) Pause(node string) error { return c.setFrozen(node, true) }

// Resume lets the processes of a paused node run again.
func (c *Cluster) Resume(node string) error { return c.setFrozen(node, false) }

func (c *Cluster) setFrozen(node string, frozen bool) error {
	h, err := c.poweredHost(node)
	if err != nil {
		return err
	}
	if err := cgroup.SetFrozen(h.Cgroups, frozen); err != nil {
		return fmt.Errorf("host %s: %w", node, err)
	}
	return nil
}

// Kill powers hosts off, all of them at once. Their processes end, and their network
// namespaces and cables are removed. Their disks stay.
func (c *Cluster) Kill(nodes ...string) error {
	hosts := make([]plan.Host, len(nodes))
	for i, node := range nodes {
		var err error
		if hosts[i], err = c.findProgramHost(node); err != nil {
			return err
		}
	}
	release, err := state.Lock(c.dir)
	if err != nil {
		return err
	}
	defer release()
	s, err := state.Load(c.dir)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	for _, host := range hosts {
		if err := killProcess(s.Hosts[host.Name].Init, s.Hosts[host.Name].Cgroups); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("host %s: %w", host.Name, err)
		}
	}
	for _, host := range hosts {
		if err := c.powerOff(host); err != nil {
			return err
		}
	}
	return nil
}

// Start boots a host that was killed, with its disk. It returns when the node is ready, or,
// for another host, when the API server is ready. It fails if ctx is done before that. It
// does nothing if the host runs.
func (c *Cluster) Start(ctx context.Context, node string) error {
	host, err := c.findProgramHost(node)
	if err != nil {
		return err
	}
	if _, err := c.poweredHost(node); !errors.Is(err, ErrPoweredOff) {
		return err
	}
	release, err := state.Lock(c.dir)
	if err != nil {
		return err
	}
	defer release()
	began := time.Now()
	if err := c.bootHost(host); err != nil {
		return err
	}
	if host.IsNode() {
		return c.awaitNodes(ctx, map[string]time.Time{node: began})
	}
	return c.awaitAPI(ctx)
}

// StopControlPlaneProgram ends a program of the control plane, for example
// "kube-apiserver", and does not restart it.
func (c *Cluster) StopControlPlaneProgram(program string) error {
	return c.StopProgram(plan.ControlPlane, program)
}

// StartControlPlaneProgram starts a stopped program of the control plane.
func (c *Cluster) StartControlPlaneProgram(program string) error {
	return c.StartProgram(plan.ControlPlane, program)
}

// StopProgram ends a program of a host, for example "kubelet", and does not
// restart it. Pods keep running.
func (c *Cluster) StopProgram(host, program string) error {
	_, err := c.callHost(host, hostinit.Request{Op: hostinit.OpStop, Program: program})
	return err
}

// StartProgram starts a stopped program of a host.
func (c *Cluster) StartProgram(host, program string) error {
	_, err := c.callHost(host, hostinit.Request{Op: hostinit.OpStart, Program: program})
	return err
}

func (c *Cluster) callHost(host string, request hostinit.Request) ([]hostinit.ProgramStatus, error) {
	h, err := c.poweredHost(host)
	if err != nil {
		return nil, err
	}
	if frozen, _ := cgroup.IsFrozen(h.Cgroups); frozen {
		return nil, fmt.Errorf("host %s is paused: resume it first", host)
	}
	programs, err := hostinit.Call(h.Init.PID, request)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", host, err)
	}
	return programs, nil
}

// findProgramHost returns the host, powered on or off. The error says so if the host does not
// exist or has no programs.
func (c *Cluster) findProgramHost(name string) (plan.Host, error) {
	if _, err := c.poweredHost(name); err != nil && !errors.Is(err, ErrPoweredOff) {
		return plan.Host{}, err
	}
	return c.findHost(name)
}

// ControlPlanePrograms returns the names of the programs that StopControlPlaneProgram
// accepts.
func ControlPlanePrograms() []string {
	return []string{config.Etcd, config.APIServer, config.ControllerManager, config.Scheduler, config.Proxy}
}
