// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
)

func kubeconfigCommand(o *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use: "kubeconfig", Short: "Print the path of the kubeconfig", Args: cobra.NoArgs,
		Example: "  export KUBECONFIG=$(devcluster kubeconfig)",
		RunE: o.withCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), c.KubeconfigPath())
			return err
		}),
	}
}

func kubectlCommand(o *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use: "kubectl [--name NAME] ARGS...", Short: "Run the cluster's own kubectl", DisableFlagParsing: true,
		Example: "  devcluster kubectl get nodes -o wide",
		RunE: func(cmd *cobra.Command, args []string) error {
			// kubectl gets all flags except for a leading --name.
			if len(args) > 1 && args[0] == "--name" {
				o.name, args = args[1], args[2:]
			} else if name, ok := strings.CutPrefix(firstOrEmpty(args), "--name="); ok {
				o.name, args = name, args[1:]
			}
			return o.withCluster(runKubectl)(cmd, args)
		},
	}
}

func runKubectl(_ *cobra.Command, c *cluster.Cluster, args []string) error {
	line, err := c.KubectlCommandLine(args...)
	if err != nil {
		return err
	}
	environment := append(os.Environ(), "KUBECONFIG="+c.KubeconfigPath(), "KUBECACHEDIR="+filepath.Join(c.Dir(), "kube-cache"))
	return replaceProcess(line, environment)
}

func firstOrEmpty(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func loadCommand(o *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use: "load IMAGE.tar...", Short: "Load image archives into every node", Args: cobra.MinimumNArgs(1),
		Example: "  devcluster load dist/image.tar",
		RunE: o.withCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			for _, archive := range args {
				if err := c.LoadImage(cmd.Context(), archive); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}
