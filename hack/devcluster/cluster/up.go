// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/cgroup"
	"github.com/lbstack/lbstack/hack/devcluster/hostinit"
	"github.com/lbstack/lbstack/hack/devcluster/lan"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/hack/devcluster/prereq"
	"github.com/lbstack/lbstack/hack/devcluster/programs"
	"github.com/lbstack/lbstack/hack/devcluster/state"
)

// Options are the options of Up.
type Options struct {
	// Name is the name of the cluster; "" for DefaultName.
	Name string
	// Nodes is the number of nodes, from 1 to plan.MaxNodes. 0 keeps the number of an
	// existing cluster and gives a new cluster DefaultNodes.
	Nodes int
	// Progress receives a line for each long step; may be nil.
	Progress io.Writer
	// Executable is the path of a devcluster program, which runs the hosts. If it is "",
	// Up builds devcluster from the repository.
	Executable string
	// Repository is a folder in the repository; "" for the working folder. Up needs the
	// repository only for programs and images that are not built yet.
	Repository string
}

// bringUpTimeout is how long bringing a cluster up may take after the programs are built.
const bringUpTimeout = 6 * time.Minute

// Up brings the cluster up and returns when every node is ready and pods can be
// created. Up does nothing if the whole cluster is up. Otherwise it repairs the
// parts that are off, paused, stopped or unplugged, and keeps the data of the
// cluster.
func Up(ctx context.Context, options Options) (*Cluster, error) {
	if err := prereq.Check(); err != nil {
		return nil, err
	}
	name := cmp.Or(options.Name, DefaultName)
	dir, err := state.Dir(name)
	if err != nil {
		return nil, err
	}
	if options.Nodes < 0 || options.Nodes > plan.MaxNodes {
		return nil, fmt.Errorf("%d nodes: want 1 to %d", options.Nodes, plan.MaxNodes)
	}
	release, err := state.Lock(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	s, err := loadOrMakeState(dir, name, options.Nodes)
	if err != nil {
		return nil, err
	}
	c := &Cluster{name: name, dir: dir, nodes: s.Nodes, port: s.Port, recording: &sync.Mutex{}}
	b := &upRun{Cluster: c, options: options, log: newProgressLog(options.Progress)}
	if err := b.run(ctx, s); err != nil {
		return nil, fmt.Errorf("cluster %s: %w\nfor details run: devcluster status, devcluster logs HOST", name, err)
	}
	return c, nil
}

func loadOrMakeState(dir, name string, nodes int) (*state.Cluster, error) {
	s, err := state.Load(dir)
	if errors.Is(err, state.ErrNoCluster) {
		s = &state.Cluster{Name: name, Nodes: cmp.Or(nodes, DefaultNodes), Hosts: map[string]state.Host{}}
		return s, state.Save(dir, s)
	}
	if err != nil {
		return nil, err
	}
	if nodes != 0 && nodes != s.Nodes {
		return nil, fmt.Errorf("cluster %s has %d nodes and cannot get %d: to change the number, remove the cluster first (devcluster down --name %s)",
			name, s.Nodes, nodes, name)
	}
	return s, nil
}

// upRun is one call of Up.
type upRun struct {
	*Cluster
	options Options
	log     *progressLog
}

func (b *upRun) run(ctx context.Context, s *state.Cluster) error {
	if err := b.buildPrograms(ctx, s); err != nil {
		return err
	}
	if err := b.ensurePKI(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bringUpTimeout)
	defer cancel()
	if err := b.ensureNetwork(); err != nil {
		return err
	}
	router, _ := plan.FindHost(b.nodes, plan.Router)
	if _, err := b.ensureHost(router); err != nil {
		return err
	}
	controlPlane, _ := plan.FindHost(b.nodes, plan.ControlPlane)
	booted, err := b.ensureHost(controlPlane)
	if err != nil {
		return err
	}
	if err := b.ensureForwarder(ctx); err != nil {
		return err
	}
	if booted {
		b.log.logStep("waiting for the API server")
	}
	if err := b.awaitAPI(ctx); err != nil {
		return err
	}
	if err := b.ensureObjects(ctx); err != nil {
		return err
	}
	since, err := b.ensureNodes(ctx)
	if err != nil {
		return err
	}
	if err := b.awaitNodes(ctx, since); err != nil {
		return err
	}
	if err := b.awaitServiceAccount(ctx); err != nil {
		return err
	}
	b.log.logStep("cluster %s is up: %d nodes ready", b.name, b.nodes)
	return nil
}

// buildPrograms builds the programs and images that do not exist yet.
func (b *upRun) buildPrograms(ctx context.Context, s *state.Cluster) error {
	if fileExists(s.Kubernetes) && fileExists(s.Etcd) && fileExists(b.executablePath()) && fileExists(b.archivePath("pause")) && fileExists(b.archivePath("web")) {
		return nil
	}
	repo, err := programs.FindRepo(cmp.Or(b.options.Repository, "."))
	if err != nil {
		return err
	}
	b.log.logStep("preparing Kubernetes, etcd and images")
	binaries, err := programs.EnsureBinaries(ctx, repo, b.log)
	if err != nil {
		return err
	}
	if err := b.changeState(func(s *state.Cluster) { s.Kubernetes, s.Etcd = binaries.Kubernetes, binaries.Etcd }); err != nil {
		return err
	}
	if err := b.ensureExecutable(ctx, repo, b.options.Executable); err != nil {
		return err
	}
	if err := b.ensureImages(ctx, repo); err != nil {
		return err
	}
	return nil
}

// ensureNetwork makes the bridge and the hosts without programs, and plugs in every
// cable. If there is no bridge, for example after a reboot of the machine, no
// host has a network any more, so all hosts are powered off first.
func (b *upRun) ensureNetwork() error {
	hosts := plan.Hosts(b.nodes)
	if !lan.NamespaceExists(lan.NamespaceName(b.name, "lan")) {
		b.log.logStep("making the network of %d hosts", len(hosts))
		for _, h := range hosts {
			if err := b.powerOff(h); err != nil {
				return err
			}
		}
	}
	if err := lan.EnsureSwitch(b.name); err != nil {
		return err
	}
	for _, h := range hosts {
		if !h.RunsPrograms() {
			if err := lan.EnsureHost(b.name, h, plan.Nodes(b.nodes)); err != nil {
				return err
			}
		}
		if lan.NamespaceExists(lan.NamespaceName(b.name, h.Name)) && lan.HasCable(b.name, h.Name) {
			if err := lan.SetLink(b.name, h.Name, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// ensureHost boots the host unless it runs. It resumes a paused host, and
// starts stopped programs.
func (b *upRun) ensureHost(host plan.Host) (booted bool, err error) {
	on, err := b.poweredHost(host.Name)
	if err == nil && lan.NamespaceExists(lan.NamespaceName(b.name, host.Name)) && lan.HasCable(b.name, host.Name) {
		if err := b.reviveHost(host.Name, on); err == nil {
			return false, setWeight(host, on.Cgroups) // an earlier version of the test bed may not have set the weight
		}
	}
	b.log.logStep("starting %s", host.Name)
	if err := b.bootHost(host); err != nil {
		return false, err
	}
	return true, nil
}

func (b *upRun) reviveHost(host string, on state.Host) error {
	if frozen, err := cgroup.IsFrozen(on.Cgroups); err != nil || frozen {
		b.log.logStep("resuming %s", host)
		if err := cgroup.SetFrozen(on.Cgroups, false); err != nil {
			return err
		}
	}
	statuses, err := b.callHost(host, hostinit.Request{Op: hostinit.OpStatus})
	if err != nil {
		return err
	}
	for _, p := range statuses {
		if p.Stopped {
			b.log.logStep("starting %s on %s", p.Name, host)
			if err := b.StartProgram(host, p.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// ensureNodes boots the nodes in parallel and loads their images. It returns the time at
// which it started each node, as awaitNodes needs it. The time is zero for a node that
// ran already.
func (b *upRun) ensureNodes(ctx context.Context) (map[string]time.Time, error) {
	var (
		mu       sync.Mutex
		group    sync.WaitGroup
		problems []error
		since    = map[string]time.Time{}
	)
	for _, node := range plan.Nodes(b.nodes) {
		group.Go(func() {
			began := time.Now()
			booted, err := b.ensureHost(node)
			if err == nil {
				err = b.loadImages(ctx, node.Name)
			}
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, err)
			since[node.Name] = time.Time{}
			if booted {
				since[node.Name] = began
			}
		})
	}
	group.Wait()
	return since, errors.Join(problems...)
}
