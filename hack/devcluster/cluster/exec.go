// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/lan"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

// CommandLine returns the command line that runs a program on the host. The program
// runs in the host's network namespace. On a host for which RunsPrograms is true, it
// also runs in the host's other namespaces. On the client, which has no others, /sys
// shows the interfaces of the machine: use ip there.
func (c *Cluster) CommandLine(host string, args ...string) ([]string, error) {
	h, err := c.findHost(host)
	if err != nil {
		return nil, err
	}
	if !h.RunsPrograms() {
		return append([]string{"nsenter", "--net=" + lan.NamespacePath(lan.NamespaceName(c.name, host)), "--"}, args...), nil
	}
	on, err := c.poweredHost(host)
	if err != nil {
		return nil, err
	}
	enter := []string{"nsenter", "--target=" + strconv.Itoa(on.Init.PID), "--mount", "--uts", "--net", "--pid", "--cgroup", "--"}
	return append(enter, args...), nil
}

// Command returns the command that runs a program on the host; see CommandLine.
// When ctx is done, the program and its process group are killed. If the host
// cannot run programs, starting the command fails.
func (c *Cluster) Command(ctx context.Context, host string, args ...string) *exec.Cmd {
	line, err := c.CommandLine(host, args...)
	if err != nil {
		return &exec.Cmd{Err: err}
	}
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		if errors.Is(err, unix.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	return cmd
}

// Exec runs a program on the host and returns its output; see CommandLine. The
// error contains the standard error of the program.
func (c *Cluster) Exec(ctx context.Context, host string, args ...string) ([]byte, error) {
	return c.execWithInput(ctx, nil, host, args...)
}

func (c *Cluster) execWithInput(ctx context.Context, input io.Reader, host string, args ...string) ([]byte, error) {
	cmd := c.Command(ctx, host, args...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = input, &complaint
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s on host %s: %w: %s", args[0], host, err, strings.TrimSpace(complaint.String()))
	}
	return out, nil
}

// LoadImage loads an image archive (see package ociimage) into every node that is
// powered on.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	for _, node := range plan.Nodes(c.nodes) {
		if err := c.loadIntoNode(ctx, node.Name, archive); err != nil && !errors.Is(err, ErrPoweredOff) {
			return err
		}
	}
	return nil
}

func (c *Cluster) loadIntoNode(ctx context.Context, node, archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("opening the image: %w", err)
	}
	defer func() { _ = f.Close() }()
	_, err = c.execWithInput(ctx, f, node, "ctr", "--namespace=k8s.io", "images", "import", "-")
	return err
}
