// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/lbstack/lbstack/hack/devcluster/lan"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/hack/devcluster/prereq"
	"github.com/lbstack/lbstack/hack/devcluster/state"
)

// Down ends the cluster of that name ("" for the default) and removes all of it:
// processes, namespaces, control groups, files. It returns no error if there is
// no such cluster.
func Down(ctx context.Context, name string) error {
	if err := prereq.CheckRoot(); err != nil {
		return err
	}
	name = cmp.Or(name, DefaultName)
	dir, err := state.Dir(name)
	if err != nil {
		return err
	}
	if !fileExists(dir) {
		return nil
	}
	release, err := state.Lock(dir)
	if err != nil {
		return err
	}
	defer release()
	s, err := state.Load(dir)
	if err != nil && !errors.Is(err, state.ErrNoCluster) {
		return err
	}
	if err == nil {
		c := &Cluster{name: name, dir: dir, nodes: s.Nodes, recording: &sync.Mutex{}}
		if err := c.removeAll(ctx, s); err != nil {
			return fmt.Errorf("taking cluster %s down: %w", name, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the files of cluster %s: %w", name, err)
	}
	// Remove fails for a folder that is not empty, so the parent folders stay while they
	// contain other clusters.
	if root := filepath.Dir(dir); os.Remove(root) == nil && filepath.Base(filepath.Dir(root)) == "lbstack" {
		_ = os.Remove(filepath.Dir(root))
	}
	return nil
}

func (c *Cluster) removeAll(ctx context.Context, s *state.Cluster) error {
	if err := endProcess(s.Forward, nil); err != nil {
		return fmt.Errorf("ending the forwarder: %w", err)
	}
	var (
		group    sync.WaitGroup
		mu       sync.Mutex
		problems []error
	)
	for _, h := range plan.Hosts(c.nodes) {
		group.Go(func() {
			err := c.powerOff(h)
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, err)
		})
	}
	group.Wait()
	problems = append(problems, lan.RemoveSwitch(c.name), ctx.Err())
	return errors.Join(problems...)
}

// List returns the names of the clusters of this user.
func List() ([]string, error) {
	root, err := state.Root()
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(root, "*", "cluster.json"))
	if err != nil {
		return nil, fmt.Errorf("listing clusters: %w", err)
	}
	var names []string
	for _, f := range found {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names, nil
}
