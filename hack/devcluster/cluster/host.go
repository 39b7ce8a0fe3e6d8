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

// Commands with which the program starts itself as the first process of a host.
const (
	HostInitCommand = "host-init" // runs hostinit.Boot, which executes HostRunCommand
	HostRunCommand  = "host-run"  // runs hostinit.Run
)

const (
	// bootTimeout is how long the first process of a host may take to accept requests.
	bootTimeout = 3 * time.Minute
	// endTimeout is how long a killed process may take to end. It is long enough for
	// three hosts at once on a busy machine.
	endTimeout = 3 * time.Minute
)

// bootHost powers the host on: it makes the network and the control groups, writes the
// disk, and starts the first process. Before that, it removes everything except for the
// disk that is left of an earlier run.
func (c *Cluster) bootHost(host plan.Host) error {
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
	groups, err := cgroup.MakeGroups(hierarchies, filepath.Join(cgroup.ParentDir, c.name, host.Name))
	if err != nil {
		return err
	}
	if err := c.recordHost(host.Name, func(h *state.Host) { h.Cgroups = groups }); err != nil {
		return err
	}
	if err := setWeight(host, groups); err != nil {
		return err
	}
	if err := c.writeDisk(host, cgroup.HasV1(hierarchies)); err != nil {
		return fmt.Errorf("writing the disk of host %s: %w", host.Name, err)
	}
	spec, err := c.writeSpec(host, groups)
	if err != nil {
		return err
	}
	return c.startInit(host, spec)
}

// setWeight sets the weight of the host's control groups, unless the host has the default weight.
func setWeight(host plan.Host, groups []string) error {
	if host.Weight() == 1 {
		return nil
	}
	if err := cgroup.SetWeight(groups, host.Weight()); err != nil {
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

// startInit starts the host's first process, which keeps running when this process
// ends.
func (c *Cluster) startInit(host plan.Host, spec string) error {
	log, err := os.OpenFile(filepath.Join(c.hostDir(host.Name), "init.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening the log of host %s: %w", host.Name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(c.executablePath(), HostInitCommand, spec)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS}
	if err := lan.RunInNamespace(lan.NamespaceName(c.name, host.Name), cmd.Start); err != nil {
		return fmt.Errorf("starting host %s: %w", host.Name, err)
	}
	id, err := process.IdentityOf(cmd.Process.Pid)
	go func() { _ = cmd.Wait() }() // Wait reaps the process, which would be a zombie in a long test
	if err != nil {
		return fmt.Errorf("starting host %s: %w", host.Name, err)
	}
	if err := c.recordHost(host.Name, func(h *state.Host) { h.Init = id }); err != nil {
		return err
	}
	return c.awaitInit(host, id)
}

// awaitInit waits until the host's first process accepts requests. If the process ends
// before that, the error contains the last line of its log.
func (c *Cluster) awaitInit(host plan.Host, id process.Identity) error {
	ctx, cancel := context.WithTimeout(context.Background(), bootTimeout)
	defer cancel()
	ended := false
	err := pollUntilSuccess(ctx, func(context.Context) error {
		if ended = !id.IsAlive(); ended {
			return nil
		}
		_, err := hostinit.Call(id.PID, hostinit.Request{Op: hostinit.OpStatus})
		return err
	})
	if ended {
		text, _ := os.ReadFile(filepath.Join(c.hostDir(host.Name), "init.log"))
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		err = errors.New(lines[len(lines)-1])
	}
	if err != nil {
		return fmt.Errorf("starting host %s: %w", host.Name, err)
	}
	return nil
}

// powerOff kills every process of the host and removes the host's control groups and
// network. The disk stays. It returns no error if the host is off already.
func (c *Cluster) powerOff(host plan.Host) error {
	s, err := state.Load(c.dir)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	recorded := s.Hosts[host.Name]
	if err := endProcess(recorded.Init, recorded.Cgroups); err != nil {
		return fmt.Errorf("host %s: %w", host.Name, err)
	}
	if err := cgroup.RemoveGroups(recorded.Cgroups); err != nil {
		return fmt.Errorf("host %s: %w", host.Name, err)
	}
	if err := lan.RemoveHost(c.name, host.Name); err != nil {
		return err
	}
	return c.recordHost(host.Name, func(h *state.Host) { h.Init, h.Cgroups = process.Identity{}, nil })
}

// endProcess kills a process and waits until it has ended. See killProcess for groups.
func endProcess(p process.Identity, groups []string) error {
	err := killProcess(p, groups)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return awaitEnd(ctx, p)
}

// killProcess kills a process. groups are the control groups of the process, which may be
// none. Frozen groups are thawed, since a frozen process does not end.
func killProcess(p process.Identity, groups []string) error {
	if err := p.Signal(unix.SIGKILL); err != nil {
		return err
	}
	if frozen, _ := cgroup.IsFrozen(groups); frozen {
		return cgroup.SetFrozen(groups, false)
	}
	return nil
}
