// SPDX-License-Identifier: Apache-2.0

// Package cluster runs the test bed: a real Kubernetes cluster of several nodes on
// one machine, with each host in its own network namespace on one bridge. It
// brings clusters up and down. Tests use it to run programs on hosts, to pull
// cables, and to freeze nodes or power them off.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/lbstack/lbstack/hack/devcluster/lan"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/hack/devcluster/process"
	"github.com/lbstack/lbstack/hack/devcluster/state"
)

// DefaultName is the name of a cluster if the caller gives none.
const DefaultName = lan.DefaultCluster

// NameEnv is the name of the environment variable that sets the default of the flag --name.
const NameEnv = "LBSTACK_CLUSTER"

// DefaultNodes is the number of nodes of a cluster if the caller gives none.
const DefaultNodes = 3

// ErrPoweredOff means that the host is off, so the operation is not possible.
var ErrPoweredOff = errors.New("the host is powered off")

// Cluster is a cluster that was brought up. Its methods may be called from
// several goroutines and by several programs at once.
type Cluster struct {
	name  string
	dir   string
	nodes int
	port  int
	// recording guards the recorded state against other goroutines of this
	// program; state.Lock guards it against other programs.
	recording *sync.Mutex
}

// Open returns the cluster of that name ("" for the default), which Up must have made
// before. The error wraps state.ErrNoCluster if there is no cluster of that name.
func Open(name string) (*Cluster, error) {
	if name == "" {
		name = DefaultName
	}
	dir, err := state.Dir(name)
	if err != nil {
		return nil, err
	}
	s, err := state.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	return &Cluster{name: name, dir: dir, nodes: s.Nodes, port: s.Port, recording: &sync.Mutex{}}, nil
}

// Name returns the cluster's name.
func (c *Cluster) Name() string { return c.name }

// Dir returns the folder with everything that belongs to the cluster.
func (c *Cluster) Dir() string { return c.dir }

// KubeconfigPath returns the path of the administrator's kubeconfig. The file is for
// programs outside of the cluster's namespaces.
func (c *Cluster) KubeconfigPath() string { return filepath.Join(c.dir, "kubeconfig") }

// Nodes returns the names of the nodes, in order.
func (c *Cluster) Nodes() []string {
	var names []string
	for _, h := range plan.Nodes(c.nodes) {
		names = append(names, h.Name)
	}
	return names
}

// Hosts returns all hosts with their addresses.
func (c *Cluster) Hosts() []plan.Host { return plan.Hosts(c.nodes) }

// RunInHost runs fn on a separate thread in the host's network namespace. Sockets that
// fn opens itself are in that namespace, but goroutines that fn starts are not. A
// dialer with several addresses starts goroutines, so fn must dial one literal address.
func (c *Cluster) RunInHost(host string, fn func() error) error {
	if _, err := c.findHost(host); err != nil {
		return err
	}
	namespace := lan.NamespaceName(c.name, host)
	if !lan.NamespaceExists(namespace) {
		return fmt.Errorf("host %s: %w", host, ErrPoweredOff)
	}
	return lan.RunInNamespace(namespace, fn)
}

// SetLink plugs the cable of the host in if up is true. Otherwise it pulls the cable, so that
// the host's interface loses its carrier.
func (c *Cluster) SetLink(host string, up bool) error {
	if _, err := c.findHost(host); err != nil {
		return err
	}
	return lan.SetLink(c.name, host, up)
}

func (c *Cluster) findHost(name string) (plan.Host, error) {
	h, ok := plan.FindHost(c.nodes, name)
	if !ok {
		return plan.Host{}, fmt.Errorf("no host %q: the hosts are %s, %s, %s and node1 to node%d",
			name, plan.Client, plan.Router, plan.ControlPlane, c.nodes)
	}
	return h, nil
}

// poweredHost returns the recorded state of a host that is powered on. The error wraps
// ErrPoweredOff if the host is off. For a host without programs it is another error.
func (c *Cluster) poweredHost(name string) (state.Host, error) {
	h, err := c.findHost(name)
	if err != nil {
		return state.Host{}, err
	}
	if !h.RunsPrograms() {
		return state.Host{}, fmt.Errorf("host %s is only a network namespace without programs: it cannot be paused or powered off; only its cable can be pulled", name)
	}
	s, err := state.Load(c.dir)
	if err != nil {
		return state.Host{}, fmt.Errorf("cluster %s: %w", c.name, err)
	}
	if recorded := s.Hosts[name]; recorded.Init.IsAlive() {
		return recorded, nil
	}
	return state.Host{}, fmt.Errorf("host %s: %w", name, ErrPoweredOff)
}

// changeState changes the recorded state. The caller must hold state.Lock.
func (c *Cluster) changeState(fn func(*state.Cluster)) error {
	c.recording.Lock()
	defer c.recording.Unlock()
	s, err := state.Load(c.dir)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	fn(s)
	return state.Save(c.dir, s)
}

func (c *Cluster) recordHost(name string, fn func(*state.Host)) error {
	return c.changeState(func(s *state.Cluster) {
		h := s.Hosts[name]
		fn(&h)
		s.Hosts[name] = h
	})
}

func (c *Cluster) hostDir(host string) string { return filepath.Join(c.dir, "hosts", host) }

func (c *Cluster) diskDir(host string) string { return filepath.Join(c.hostDir(host), "disk") }

func (c *Cluster) executablePath() string { return filepath.Join(c.dir, "bin", "devcluster") }

// awaitEnd waits for a process to end.
func awaitEnd(ctx context.Context, p process.Identity) error {
	return pollUntilSuccess(ctx, func(context.Context) error {
		if p.IsAlive() {
			return fmt.Errorf("process %d still runs", p.PID)
		}
		return nil
	})
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
