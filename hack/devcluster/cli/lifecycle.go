// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
	"github.com/lbstack/lbstack/hack/devcluster/hostinit"
	"github.com/lbstack/lbstack/hack/devcluster/programs"
)

func upCommand(o *commonFlags) *cobra.Command {
	nodes := 0
	cmd := &cobra.Command{
		Use: "up", Short: "Bring the cluster up, or repair it", Args: cobra.NoArgs,
		Long: `up brings the cluster up and returns when every node is ready.

On a healthy cluster it does nothing. Hosts that are off are booted with their
disks, paused ones go on, cables are plugged in, stopped programs are started.`,
		Example: "  devcluster up\n  devcluster up --nodes 5 --name five",
		RunE: func(cmd *cobra.Command, _ []string) error {
			executable, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding the own program: %w", err)
			}
			c, err := cluster.Up(cmd.Context(), cluster.Options{
				Name: o.name, Nodes: nodes, Progress: cmd.ErrOrStderr(), Executable: executable, Repository: findRepository(executable),
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "export KUBECONFIG=%s\n", c.KubeconfigPath())
			return err
		},
	}
	cmd.Flags().IntVar(&nodes, "nodes", 0, fmt.Sprintf("number of nodes (default %d)", cluster.DefaultNodes))
	return cmd
}

// findRepository returns a folder in the repository: the working folder if it is in
// one, otherwise the folder of the program.
func findRepository(executable string) string {
	found, err := programs.FindRepo(".")
	if err != nil {
		return filepath.Dir(executable)
	}
	return cmp.Or(found, ".")
}

func downCommand(o *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "End the cluster and remove all of it", Args: cobra.NoArgs, Example: "  devcluster down",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cluster.Down(cmd.Context(), o.name); err != nil {
				return err
			}
			cmd.PrintErrf("nothing is left of cluster %s\n", o.name)
			return nil
		},
	}
}

// hiddenCommands are the commands with which the program starts itself as
// another process.
func hiddenCommands() []*cobra.Command {
	return []*cobra.Command{
		{
			Use: cluster.HostInitCommand + " SPEC", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				return hostinit.Boot(args[0], []string{"devcluster", cluster.HostRunCommand})
			},
		},
		{
			Use: cluster.HostRunCommand, Hidden: true, Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return hostinit.Run() },
		},
		{
			Use: cluster.ForwardCommand + " ADDRESS NAMESPACE", Hidden: true, Args: cobra.ExactArgs(2),
			RunE: func(_ *cobra.Command, args []string) error { return cluster.Forward(args[0], args[1]) },
		},
	}
}
