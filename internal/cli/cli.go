// Package cli has the commands of the kubectl plugin. Each command reads flags, files and the cluster, writes
// to the cluster, and prints. All decisions are made by pure packages such as internal/inspect and
// internal/maintenance. The commands follow kubectl: the same flags for the cluster, results on the standard
// output, all else on the standard error, and no colours. The exit code is 1 after an error. It is also 1 if
// a command checks something and the check fails. After an error of the command plan it is 2. Commands use
// the rights of the user. Only drain, undrain, move, reserve, release, migrate and who --probe write to the
// cluster.
package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lbstack/lbstack/internal/version"
)

// errCheckFailed ends a command with exit code 1 and no error message: the command has already printed the
// reason.
var errCheckFailed = errors.New("the check failed")

// Run executes a command line and returns its exit code. The arguments do not include the name of the
// program.
func Run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	root := New(streams)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errCheckFailed):
		return 1
	}
	fmt.Fprintln(streams.ErrOut, "error: "+err.Error())
	if cmd.Name() == planName {
		return 2 // with --exit-code, 1 means that something changes
	}
	return 1
}

// New returns the root command, with all commands below it.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true).WithWarningPrinter(streams)
	root := &cobra.Command{
		Use:           "kubectl-lbstack",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl lbstack"},
		Short:         "Inspect lbstack, change it, and switch to it from another load balancer",
		Long:          "Inspect lbstack, which provides load balancers for Kubernetes on bare metal, change it, and switch to it from another load balancer.\nThe plugin works with your own rights. Only drain, undrain, move, reserve, release, migrate and who --probe write to the cluster.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	flags.AddFlags(root.PersistentFlags())
	cluster := &cluster{flags: flags}
	root.AddCommand(
		statusCommand(streams, cluster), whyCommand(streams, cluster), whoCommand(streams, cluster), planCommand(streams, cluster), doctorCommand(streams, cluster),
		drainCommand(streams, cluster), undrainCommand(streams, cluster), moveCommand(streams, cluster), reserveCommand(streams, cluster), releaseCommand(streams, cluster),
		importCommand(streams, cluster), supportCommand(streams, cluster), migrateCommand(streams, cluster), versionCommand(streams, cluster), completionCommand(streams),
	)
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	return root
}

func completionCommand(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script that completes command lines in a shell",
		Long: "Print the script that completes command lines of kubectl-lbstack in bash, zsh, fish or powershell.\n\n" +
			"Command lines of \"kubectl lbstack\" are completed by kubectl itself, which calls the program kubectl_complete-lbstack in the PATH. The second example creates this program.",
		Example: "  # Completion in this shell\n  source <(kubectl lbstack completion bash)\n\n" +
			"  # Completion of kubectl lbstack\n" +
			"  printf '#!/bin/sh\\nexec kubectl lbstack __complete \"$@\"\\n' > /usr/local/bin/kubectl_complete-lbstack\n" +
			"  chmod +x /usr/local/bin/kubectl_complete-lbstack",
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "zsh":
				return root.GenZshCompletion(streams.Out)
			case "fish":
				return root.GenFishCompletion(streams.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(streams.Out)
			default:
				return root.GenBashCompletionV2(streams.Out, true)
			}
		},
	}
}

func versionCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var clientOnly bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of the plugin and of lbstack in the cluster",
		Example: "  # Both versions\n  kubectl lbstack version\n\n  # The version of the plugin, without access to a cluster\n  kubectl lbstack version --client",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(streams.Out, "Client Version: "+version.Version)
			if clientOnly {
				return nil
			}
			installed, err := cluster.version(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(streams.Out, "Stack Version: "+installed)
			return nil
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "print the version of the plugin only")
	return cmd
}
