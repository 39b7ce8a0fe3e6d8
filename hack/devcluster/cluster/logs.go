// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/lbstack/lbstack/hack/devcluster/state"
)

// LogFile is a log file of the cluster.
type LogFile struct {
	// Host is the host of the program; "" for the forwarder, which belongs to no host.
	Host string
	// Program is the program that writes the log.
	Program string
	// Path is the path of the file on this machine.
	Path string
}

// LogFiles returns the log files that exist.
func (c *Cluster) LogFiles() ([]LogFile, error) {
	var logs []LogFile
	for _, host := range c.Hosts() {
		for _, pattern := range []string{
			filepath.Join(c.hostDir(host.Name), "init.log"), filepath.Join(c.diskDir(host.Name), "log", "lbstack", "*.log"),
		} {
			paths, err := filepath.Glob(pattern)
			if err != nil {
				return nil, fmt.Errorf("listing logs: %w", err)
			}
			for _, p := range paths {
				logs = append(logs, LogFile{Host: host.Name, Program: strings.TrimSuffix(filepath.Base(p), ".log"), Path: p})
			}
		}
	}
	if forward := filepath.Join(c.dir, "forward.log"); fileExists(forward) {
		logs = append(logs, LogFile{Program: ForwardCommand, Path: forward})
	}
	return logs, nil
}

// KubectlCommandLine returns the command line that runs the cluster's own kubectl. The caller must
// set KUBECONFIG in the environment of kubectl, see KubeconfigPath.
func (c *Cluster) KubectlCommandLine(args ...string) ([]string, error) {
	s, err := state.Load(c.dir)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.name, err)
	}
	return append([]string{s.Kubernetes, "kubectl"}, args...), nil
}
