// SPDX-License-Identifier: Apache-2.0

// Package state stores the state of a cluster between two runs of the program, for
// example the number of nodes and the processes of the hosts.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/process"
)

// ErrNoCluster means that there is no cluster of that name.
var ErrNoCluster = errors.New("no such cluster")

// namePattern matches the allowed names of clusters. A name must be short, because it is
// part of the names of network namespaces and control groups.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Cluster is the stored state of a cluster.
type Cluster struct {
	Name  string `json:"name"`
	Nodes int    `json:"nodes"`
	// Port is the port of the API server on 127.0.0.1 of this machine.
	Port int `json:"port"`
	// Forward is the process that forwards Port to the API server.
	Forward process.Identity `json:"forward"`
	// Kubernetes and Etcd are the paths of the programs that the hosts run.
	Kubernetes string `json:"kubernetes"`
	Etcd       string `json:"etcd"`
	// Hosts has the hosts that run programs, by name.
	Hosts map[string]Host `json:"hosts"`
}

// Host is the stored state of a host that runs programs.
type Host struct {
	// Init is the host's first process. When it ends, every process of the host ends.
	Init process.Identity `json:"init"`
	// Cgroups are the control group folders of the host, one for each
	// hierarchy.
	Cgroups []string `json:"cgroups,omitempty"`
	// Images are the images on the host's disk.
	Images []string `json:"images,omitempty"`
}

// Root returns the folder with the state of all clusters:
// $LBSTACK_STATE/devcluster, or lbstack/devcluster in the user's state folder.
func Root() (string, error) {
	if dir := os.Getenv("LBSTACK_STATE"); dir != "" {
		return absolutePath(filepath.Join(dir, "devcluster"))
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return absolutePath(filepath.Join(dir, "lbstack", "devcluster"))
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder for the state: %w", err)
	}
	return absolutePath(filepath.Join(home, ".local", "state", "lbstack", "devcluster"))
}

// Dir returns the folder of the cluster of that name.
func Dir(name string) (string, error) {
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("cluster name %q: want at most 32 lower-case letters, digits and hyphens, without a hyphen at the beginning or the end", name)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, name), nil
}

// Load reads the state of the cluster in dir. The error is ErrNoCluster if there is
// no cluster.
func Load(dir string) (*Cluster, error) {
	data, err := os.ReadFile(stateFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoCluster
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	var c Cluster
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("state %s: %w", stateFile(dir), err)
	}
	if c.Hosts == nil {
		c.Hosts = map[string]Host{}
	}
	return &c, nil
}

// Save writes the state of the cluster into dir, atomically.
func Save(dir string, c *Cluster) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the state of cluster %s: %w", c.Name, err)
	}
	next := stateFile(dir) + ".new"
	if err := os.WriteFile(next, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the state of cluster %s: %w", c.Name, err)
	}
	if err := os.Rename(next, stateFile(dir)); err != nil {
		return fmt.Errorf("replacing the state of cluster %s: %w", c.Name, err)
	}
	return nil
}

// Lock makes dir if it does not exist, and locks dir against other callers of Lock, in
// any process. The lock ends when release is called or this process ends.
func Lock(dir string) (release func(), err error) {
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the state folder: %w", err)
		}
		held, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("opening the state folder: %w", err)
		}
		if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
			_ = held.Close()
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		// The former holder of the lock may have removed the folder.
		if isSameFile(held, dir) {
			return func() { _ = held.Close() }, nil
		}
		_ = held.Close()
	}
}

func isSameFile(held *os.File, path string) bool {
	a, errA := held.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func stateFile(dir string) string { return filepath.Join(dir, "cluster.json") }

func absolutePath(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding the folder for the state: %w", err)
	}
	return abs, nil
}
