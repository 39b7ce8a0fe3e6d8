// SPDX-License-Identifier: Apache-2.0

// Package hostinit is the first process of a host of the test bed that runs
// programs. It gives the host a view of the machine of its own (processes,
// mounts, control groups, host name, a disk on /var and an empty /run), starts
// the host's programs, starts again one that dies, and reaps orphans. When it is
// killed, the kernel ends every process and mount of the host: that is the
// host's power switch.
package hostinit

import (
	"encoding/json"
	"fmt"
	"os"
)

// Paths as the host sees them.
const (
	// RunDir is the folder of this package.
	RunDir = "/run/lbstack"
	// BinDir holds the host's programs.
	BinDir = RunDir + "/bin"
	// Socket takes the requests of Call.
	Socket = RunDir + "/init.sock"
	// LogDir holds a log file per program, NAME.log.
	LogDir = "/var/log/lbstack"

	bootedSpec = RunDir + "/init.json"
)

// Spec says what the host is.
type Spec struct {
	Hostname string `json:"hostname"`
	// Disk is the folder that becomes the host's /var.
	Disk string `json:"disk"`
	// Cgroups are the folders of the groups that hold the host's processes.
	Cgroups []string `json:"cgroups"`
	// Binaries are files of the machine by the name that they have in BinDir.
	Binaries map[string]string `json:"binaries"`
	Programs []Program         `json:"programs"`
}

// Program is started with the host.
type Program struct {
	Name string `json:"name"`
	// Args begins with the program's path as the host sees it.
	Args []string `json:"args"`
	// Needs is an address ("unix:/path" or "tcp:host:port") that must take
	// connections before the program is started; "" for none.
	Needs string `json:"needs,omitempty"`
}

// WriteSpec writes the specification into a file.
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
		return Spec{}, fmt.Errorf("host's specification %s: %w", path, err)
	}
	return spec, nil
}
