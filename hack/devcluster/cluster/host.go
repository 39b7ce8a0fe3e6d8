// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/cgroup"
	"github.com/lbstack/lbstack/hack/devcluster/config"
	"github.com/lbstack/lbstack/hack/devcluster/hostinit"
	"github.com/lbstack/lbstack/hack/devcluster/lan"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/hack/devcluster/process"
	"github.com/lbstack/lbstack/hack/devcluster/state"
)

// HostInitCommand and HostRunCommand are the arguments with which the program
// calls itself as the first process of a host.
const (
	HostInitCommand = "host-init"
	HostRunCommand  = "host-run"
)

// Bounds of the waits for the first process of a host, and for the processes of
// one that was killed.
const (
	bootPatience = time.Minute
	endPatience  = time.Minute // of three at once, on a busy machine
)

// boot switches the host on: network, control groups, disk, first process. What
// remained of a former life is removed first.
func (c *Cluster) boot(host plan.Host) error {
	if err := c.powerOff(host); err != nil {
		return err
	}
	if err := lan.EnsureHost(c.name, host, plan.Nodes(c.nodes)); err != nil {
		return err
	}
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	groups, err := cgroup.Make(hierarchies, filepath.Join(cgroup.Parent, c.name, host.Name))
	if err != nil {
		return err
	}
	if err := c.recordHost(host.Name, func(h *state.Host) { h.Cgroups = groups }); err != nil {
		return err
	}
	if err := weigh(host, groups); err != nil {
		return err
	}
	if err := c.writeDisk(host, cgroup.V1(hierarchies)); err != nil {
		return fmt.Errorf("disk of host %s: %w", host.Name, err)
	}
	spec, err := c.writeSpec(host, groups)
	if err != nil {
		return err
	}
	return c.startInit(host, spec)
}

// weigh gives the host's control groups their weight, unless it is the one that they have
// anyway.
func weigh(host plan.Host, groups []string) error {
	if host.Weight() == 1 {
		return nil
	}
	if err := cgroup.Weigh(groups, host.Weight()); err != nil {
		return fmt.Errorf("host %s: %w", host.Name, err)
	}
	return nil
}

func (c *Cluster) writeSpec(host plan.Host, groups []string) (string, error) {
	s, err := state.Load(c.dir)
	if err != nil {
		return "", fmt.Errorf("cluster %s: %w", c.name, err)
	}
	binaries := map[string]string{config.KubernetesBinary: s.Kubernetes}
	if host.Name == plan.ControlPlane {
		binaries[config.EtcdBinary] = s.Etcd
	}
	path := filepath.Join(c.hostDir(host.Name), "init.json")
	return path, hostinit.WriteSpec(path, hostinit.Spec{
		Hostname: host.Name, Disk: c.diskDir(host.Name), Cgroups: groups, Binaries: binaries, Programs: config.Programs(host),
	})
}

// startInit starts the host's first process, which outlives this one.
func (c *Cluster) startInit(host plan.Host, spec string) error {
	log, err := os.OpenFile(filepath.Join(c.hostDir(host.Name), "init.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening the log of host %s: %w", host.Name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(c.executable(), HostInitCommand, spec)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS}
	if err := lan.In(lan.Namespace(c.name, host.Name), cmd.Start); err != nil {
		return fmt.Errorf("starting host %s: %w", host.Name, err)
	}
	id, err := process.Of(cmd.Process.Pid)
	go func() { _ = cmd.Wait() }() // so that it does not stay a zombie of a long-lived test
	if err != nil {
		return fmt.Errorf("starting host %s: %w", host.Name, err)
	}
	if err := c.recordHost(host.Name, func(h *state.Host) { h.Init = id }); err != nil {
		return err
	}
	return c.awaitInit(host, id)
}

// awaitInit waits until the host's first process takes requests. When it ends
// instead, the error holds what it said.
func (c *Cluster) awaitInit(host plan.Host, id process.Identity) error {
	ctx, cancel := context.WithTimeout(context.Background(), bootPatience)
	defer cancel()
	ended := false
	err := poll(ctx, func(context.Context) error {
		if ended = !id.Alive(); ended {
			return nil
		}
		_, err := hostinit.Call(id.PID, hostinit.Request{Op: hostinit.OpStatus})
		return err
	})
	if ended {
		said, _ := os.ReadFile(filepath.Join(c.hostDir(host.Name), "init.log"))
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		err = errors.New(lines[len(lines)-1])
	}
	if err != nil {
		return fmt.Errorf("starting host %s: %w", host.Name, err)
	}
	return nil
}

// powerOff ends every process of the host at once and removes all of it but its
// disk. A host that is off stays off.
func (c *Cluster) powerOff(host plan.Host) error {
	s, err := state.Load(c.dir)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	recorded := s.Hosts[host.Name]
	if err := end(recorded.Init, recorded.Cgroups); err != nil {
		return fmt.Errorf("host %s: %w", host.Name, err)
	}
	if err := cgroup.Remove(recorded.Cgroups); err != nil {
		return fmt.Errorf("host %s: %w", host.Name, err)
	}
	if err := lan.RemoveHost(c.name, host.Name); err != nil {
		return err
	}
	return c.recordHost(host.Name, func(h *state.Host) { h.Init, h.Cgroups = process.Identity{}, nil })
}

// end kills a process, and waits until it has ended.
func end(p process.Identity, groups []string) error {
	err := kill(p, groups)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	return await(ctx, p)
}

// kill kills a process, and lets the groups run that it may be frozen in, since a
// frozen process does not die.
func kill(p process.Identity, groups []string) error {
	if err := p.Signal(unix.SIGKILL); err != nil {
		return err
	}
	if frozen, _ := cgroup.Frozen(groups); frozen {
		return cgroup.Freeze(groups, false)
	}
	return nil
}
