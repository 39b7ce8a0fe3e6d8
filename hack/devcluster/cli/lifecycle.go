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

On a healthy cluster up changes nothing. Otherwise it boots the hosts that are off with
their disks, resumes paused hosts, plugs cables in, and starts stopped programs.`,
		Example: "  devcluster up\n  devcluster up --nodes 5 --name five",
		RunE: func(cmd *cobra.Command, _ []string) error {
			executable, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding the running devcluster program: %w", err)
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

// findRepository returns the root of the repository that contains the working folder.
// If the working folder is in no repository, it returns the folder of the program,
// which may be in one.
func findRepository(executable string) string {
	found, err := programs.FindRepo(".")
	if err != nil {
		return filepath.Dir(executable)
	}
	return cmp.Or(found, ".")
}

func downCommand(o *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Stop the cluster and remove everything that belongs to it", Args: cobra.NoArgs, Example: "  devcluster down",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cluster.Down(cmd.Context(), o.name); err != nil {
				return err
			}
			cmd.PrintErrf("cluster %s is removed\n", o.name)
			return nil
		},
	}
}

// hiddenCommands returns the commands that users do not run: with them the program
// starts itself in new processes.
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
