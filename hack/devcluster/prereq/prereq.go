// SPDX-License-Identifier: Apache-2.0

// Package prereq checks that the machine has what the test bed needs.
package prereq

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// neededFile is a file that the test bed needs, and the Debian package that contains
// the file. The file is given by its path, or by its name if it is a program.
type neededFile struct{ what, debianPackage string }

var neededFiles = []neededFile{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
	{"/usr/lib/cni/host-local", "containernetworking-plugins"},
	{"/usr/lib/cni/loopback", "containernetworking-plugins"},
	{"nft", "nftables"},
	{"/usr/lib/frr/zebra", "frr"},
	{"vtysh", "frr"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
}

// CheckRoot returns an error unless this process runs as root: making namespaces needs root.
func CheckRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("the test bed makes network namespaces and needs root: run the same command with sudo")
	}
	return nil
}

// Check returns an error if this process does not run as root or a needed file is
// missing. The error lists the missing files and the command that installs them.
func Check() error {
	if err := CheckRoot(); err != nil {
		return err
	}
	return missingError(neededFiles, func(what string) bool {
		_, err := exec.LookPath(what)
		return err == nil
	})
}

func missingError(needs []neededFile, present func(string) bool) error {
	var what, packages []string
	for _, n := range needs {
		if present(n.what) {
			continue
		}
		what = append(what, n.what)
		if !slices.Contains(packages, n.debianPackage) {
			packages = append(packages, n.debianPackage)
		}
	}
	if len(what) == 0 {
		return nil
	}
	return fmt.Errorf("missing on this machine: %s\non Debian or Ubuntu run: apt-get install --no-install-recommends %s",
		strings.Join(what, ", "), strings.Join(packages, " "))
}
