// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
)

func execCommand(o *commonFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "exec HOST -- COMMAND...", Short: "Run a command on a host and return its exit code", Args: cobra.MinimumNArgs(2),
		Long: `exec runs a command on node1 to nodeN, client, router or control-plane.

On client, the command only uses the network of the host. On the other hosts, the command also
has the processes and files of the host: ps lists them, and /var/log has the logs of the host.`,
		Example: "  devcluster exec client -- ping -c 1 192.168.1.11\n  devcluster exec node1 -- ctr -n k8s.io containers ls",
		RunE: o.withCluster(func(_ *cobra.Command, c *cluster.Cluster, args []string) error {
			if args[1] == "--" {
				args = append(args[:1], args[2:]...)
			}
			line, err := c.CommandLine(args[0], args[1:]...)
			if err != nil {
				return err
			}
			return replaceProcess(line, os.Environ())
		}),
	}
	cmd.Flags().SetInterspersed(false) // flags after the host belong to the command
	return cmd
}

// replaceProcess executes another program in place of this one. The other program
// has the terminal, receives the signals, and determines the exit code.
// replaceProcess returns only if it fails.
func replaceProcess(line, environment []string) error {
	path, err := exec.LookPath(line[0])
	if err != nil {
		return fmt.Errorf("finding %s: %w", line[0], err)
	}
	return fmt.Errorf("running %s: %w", path, unix.Exec(path, line, environment))
}

func linkCommand(o *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use: "link HOST up|down", Short: "Plug a host's cable in, or pull it", Args: cobra.ExactArgs(2),
		Example: "  devcluster link node1 down",
		RunE: o.withCluster(func(_ *cobra.Command, c *cluster.Cluster, args []string) error {
			if args[1] != "up" && args[1] != "down" {
				return fmt.Errorf("link %s %s: the last argument must be up or down", args[0], args[1])
			}
			return c.SetLink(args[0], args[1] == "up")
		}),
	}
}

func pauseCommand(o *commonFlags) *cobra.Command {
	return hostCommand(o, "pause NODE", "Freeze every process of a node, its pods included", (*cluster.Cluster).Pause)
}

func resumeCommand(o *commonFlags) *cobra.Command {
	return hostCommand(o, "resume NODE", "Resume a paused node", (*cluster.Cluster).Resume)
}

func killCommand(o *commonFlags) *cobra.Command {
	return hostCommand(o, "kill NODE", "Power a node off; its disk stays", func(c *cluster.Cluster, host string) error { return c.Kill(host) })
}

func hostCommand(o *commonFlags, use, short string, do func(*cluster.Cluster, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: o.withCluster(func(_ *cobra.Command, c *cluster.Cluster, args []string) error {
			return do(c, args[0])
		}),
	}
}

func startCommand(o *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use: "start NODE", Short: "Boot a node that was killed and wait until it is ready", Args: cobra.ExactArgs(1),
		Example: "  devcluster start node2",
		RunE: o.withCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			began := time.Now()
			if err := c.Start(cmd.Context(), args[0]); err != nil {
				return err
			}
			cmd.PrintErrf("%6.1fs  %s is ready\n", time.Since(began).Seconds(), args[0])
			return nil
		}),
	}
}

func programCommand(o *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use: "program HOST PROGRAM stop|start", Short: "Stop or start one program of a host", Args: cobra.ExactArgs(3),
		Example: "  devcluster program control-plane kube-apiserver stop\n  devcluster program node1 kubelet start",
		RunE: o.withCluster(func(_ *cobra.Command, c *cluster.Cluster, args []string) error {
			switch args[2] {
			case "stop":
				return c.StopProgram(args[0], args[1])
			case "start":
				return c.StartProgram(args[0], args[1])
			}
			return fmt.Errorf("program %s %s %s: the last argument must be stop or start", args[0], args[1], args[2])
		}),
	}
}
