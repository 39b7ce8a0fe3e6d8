// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line of the test bed.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
	"github.com/lbstack/lbstack/hack/devcluster/state"
)

const longHelp = `devcluster runs a real Kubernetes cluster of several nodes on this machine.

Every host is a network namespace on one bridge:
  node1 to nodeN  run containerd, kubelet and kube-proxy
  control-plane   runs etcd, the API server, the controller manager, the scheduler and kube-proxy
  router          is the default gateway of all hosts; it has no route to other networks
  client          is on the LAN, outside of the cluster
The machine's own network has only the API server's port, on 127.0.0.1.

  LAN       192.168.1.0/24  fd00:192:168:1::/64
            router .1 ::1, control-plane .10 ::10, nodeN .(10+N) ::(10+N), client .200 ::200
  Pods      10.244.N.0/24   fd44:0:0:N::/64 on nodeN
  Services  10.96.0.0/16    fd96::/112`

const exampleHelp = `  devcluster up
  devcluster kubectl get nodes -o wide
  devcluster exec client -- curl -s http://192.168.1.240/
  devcluster link node1 down      # pull node1's cable
  devcluster kill node2           # power node2 off
  devcluster start node2
  devcluster logs kubelet
  devcluster down`

// commonFlags are the flags of every command.
type commonFlags struct {
	name string
}

// withCluster returns a function for cobra that opens the cluster and calls run
// with it.
func (o *commonFlags) withCluster(run func(*cobra.Command, *cluster.Cluster, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := cluster.Open(o.name)
		if errors.Is(err, state.ErrNoCluster) {
			return fmt.Errorf("cluster %s is not up: run devcluster up --name %s", o.name, o.name)
		}
		if err != nil {
			return err
		}
		return run(cmd, c, args)
	}
}

// Run runs the program with these arguments and returns its exit code.
func Run(ctx context.Context, args []string) int {
	root := rootCommand(os.Stdout, os.Stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "devcluster:", err)
	return 1
}

func rootCommand(out, progress io.Writer) *cobra.Command {
	o := &commonFlags{}
	root := &cobra.Command{
		Use: "devcluster", Short: "A real Kubernetes cluster in network namespaces", Long: longHelp, Example: exampleHelp,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetOut(out)
	root.SetErr(progress)
	root.PersistentFlags().StringVar(&o.name, "name", cmp.Or(os.Getenv(cluster.NameEnv), cluster.DefaultName),
		"name of the cluster; $"+cluster.NameEnv+" sets the default; several clusters can run at the same time")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(upCommand(o), downCommand(o), statusCommand(o), kubeconfigCommand(o), kubectlCommand(o), loadCommand(o),
		execCommand(o), linkCommand(o), pauseCommand(o), resumeCommand(o), killCommand(o), startCommand(o),
		programCommand(o), logsCommand(o), imageCommand())
	root.AddCommand(hiddenCommands()...)
	return root
}
