package cli

import (
	"errors"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lbstack/lbstack/internal/inspect"
)

func whoCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var output, from string
	var probe bool
	cmd := &cobra.Command{
		Use:   "who [ADDRESS|SERVICE|NODE|POOL]",
		Short: "Show which Service has which address, and which node announces it",
		Long: "Show which Service has which address, and which nodes announce it: on the local network and to routers. " +
			"Without an argument, show all addresses that Services have or that are reserved.\n\n" +
			"A single NAME is the name of a node, a pool, or a Service in the namespace. If several of them have this name, pass node/NAME, pool/NAME or service/NAME. NAMESPACE/NAME is a Service.\n\n" +
			"With --probe, also ask the hosts of the local network for the address, by ARP or NDP. The command creates a pod on a node of the cluster, which asks for 3 seconds, and then deletes the pod. " +
			"The pod is in the namespace lbstack-system, or in the one of -n. You need the right to create pods there; a user with this right can do anything on the nodes.\n\n" +
			"The exit code is 1 if no such address is in use or reserved. With --probe, it is 1 if the answers differ from the reports of the speakers.",
		Example: "  # All addresses\n  kubectl lbstack who\n\n  # One address, with MAC addresses and routes\n  kubectl lbstack who 192.168.1.240 -o wide\n\n" +
			"  # The addresses of a Service, of a node, and of a pool\n  kubectl lbstack who shop/web\n  kubectl lbstack who node/worker-1\n  kubectl lbstack who pool/production\n\n" +
			"  # Which hosts of the local network answer for an address, asked from a node\n  kubectl lbstack who 192.168.1.240 --probe\n  kubectl lbstack who 192.168.1.240 --probe --from worker-1\n\n" +
			"  # The claims of a pool, for other commands\n  kubectl lbstack who pool/production -o name",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("all-namespaces") && len(args) > 0 {
				return errors.New("-A is for all addresses: leave the argument out, or pass a Service of another namespace as NAMESPACE/NAME")
			}
			if from != "" && !probe {
				return errors.New("--from names the node from which --probe asks: pass --probe as well")
			}
			namespace, _, err := cluster.flags.ToRawKubeConfigLoader().Namespace()
			if err != nil {
				return err
			}
			s, err := cluster.readSnapshot(cmd.Context())
			if err == nil {
				err = cluster.readRoutes(cmd.Context(), s)
			}
			if err != nil {
				return err
			}
			text := ""
			if len(args) > 0 {
				if text = args[0]; text == "" {
					return errors.New("the argument is empty: leave it out to see all addresses")
				}
			}
			subject, err := inspect.ParseSubject(s, text, namespace)
			if err != nil {
				return err
			}
			a := inspect.Who(s, subject)
			if !probe {
				return printAnswer(streams.Out, output, &a, a.Found)
			}
			if subject.Kind != inspect.OneAddress {
				return errors.New("--probe asks for one address: pass the address as the argument")
			}
			a.Probe, err = cluster.probeAddress(cmd.Context(), streams, s, subject.Address, from)
			if a.Probe == nil {
				return err
			}
			if err != nil {
				return errors.Join(writeAnswer(streams.Out, output, &a), err)
			}
			return printAnswer(streams.Out, output, &a, a.Probe.AsReported)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, yaml, wide or name in place of the table")
	cmd.Flags().BoolVar(&probe, "probe", false, "ask the local network for the address, by ARP or NDP")
	cmd.Flags().StringVar(&from, "from", "", "the node from which --probe asks; by default one that does not announce the address")
	addAllNamespaces(cmd)
	cmd.ValidArgsFunction = cluster.completeArgs(listSubjects)
	cluster.completeFlag(cmd, "output", listWords("json", "yaml", "wide", "name"))
	cluster.completeFlag(cmd, "from", listNodes)
	return cmd
}
