// SPDX-License-Identifier: Apache-2.0

// Package hostinit implements the first process of each host of the test bed on which
// programs run. That process sets up the host's namespaces: processes, mounts, control
// groups and host name. It mounts a disk on /var and an empty /run, starts the host's
// programs, restarts a program that ends, and reaps orphans. Killing it powers the host
// off, since the kernel then ends every process and mount of the host.
package hostinit

import (
	"encoding/json"
	"fmt"
	"os"
)

// Paths within the host.
const (
	// RunDir is the folder for the files of this package.
	RunDir = "/run/lbstack"
	// BinDir has the host's programs.
	BinDir = RunDir + "/bin"
	// SocketPath is the path of the Unix socket that accepts the requests of Call.
	SocketPath = RunDir + "/init.sock"
	// LogDir has a log file for each program, NAME.log.
	LogDir = "/var/log/lbstack"

	// bootedSpecPath is the file by which Boot passes the Spec to Run.
	bootedSpecPath = RunDir + "/init.json"
)

// Spec describes a host.
type Spec struct {
	Hostname string `json:"hostname"`
	// Disk is the folder that becomes the host's /var.
	Disk string `json:"disk"`
	// Cgroups are the folders of the host's control groups.
	Cgroups []string `json:"cgroups"`
	// Binaries maps the name of each file in BinDir to its path on the machine.
	Binaries map[string]string `json:"binaries"`
	Programs []Program         `json:"programs"`
}

// Program is a program that is started with the host.
type Program struct {
	Name string `json:"name"`
	// Args begins with the program's path within the host.
	Args []string `json:"args"`
	// Needs is an address ("unix:/path" or "tcp:host:port") that must accept
	// connections before the program is started; "" for none.
	Needs string `json:"needs,omitempty"`
}

// WriteSpec writes the specification of a host into a file.
func WriteSpec(path string, spec Spec) error {
	data, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the specification of host %s: %w", spec.Hostname, err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the specification of host %s: %w", spec.Hostname, err)
	}
	return nil
}

func readSpec(path string) (Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("reading the host's specification: %w", err)
	}
	var spec Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return Spec{}, fmt.Errorf("decoding the host's specification %s: %w", path, err)
	}
	return spec, nil
}
