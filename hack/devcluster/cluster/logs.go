// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/lbstack/lbstack/hack/devcluster/state"
)

// Log is a log file of the cluster.
type Log struct {
	// Host is the host of the program; "" for the forwarder, which belongs to no host.
	Host string
	// Program is the program that writes the log.
	Program string
	// Path is the path of the file on this machine.
	Path string
}

// Logs returns the log files that exist.
func (c *Cluster) Logs() ([]Log, error) {
	var logs []Log
	for _, host := range c.Hosts() {
		for _, pattern := range []string{
			filepath.Join(c.hostDir(host.Name), "init.log"), filepath.Join(c.diskDir(host.Name), "log", "lbstack", "*.log"),
		} {
			paths, err := filepath.Glob(pattern)
			if err != nil {
				return nil, fmt.Errorf("listing logs: %w", err)
			}
			for _, p := range paths {
				logs = append(logs, Log{Host: host.Name, Program: strings.TrimSuffix(filepath.Base(p), ".log"), Path: p})
			}
		}
	}
	if forward := filepath.Join(c.dir, "forward.log"); exists(forward) {
		logs = append(logs, Log{Program: ForwardCommand, Path: forward})
	}
	return logs, nil
}

// Kubectl returns the command line that runs the cluster's own kubectl. The caller must
// set KUBECONFIG in the environment of kubectl, see KubeconfigPath.
func (c *Cluster) Kubectl(args ...string) ([]string, error) {
	s, err := state.Load(c.dir)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.name, err)
	}
	return append([]string{s.Kubernetes, "kubectl"}, args...), nil
}
