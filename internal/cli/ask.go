package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/internal/inspect"
)

func statusCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of the installation on one screen",
		Long: "Show the state of the installation on one screen: the stack, components, speakers, pools, routers, conflicts, and the Services that are not announced.\n\n" +
			"The exit code is 1 if the stack is not Ready or a Service is not announced.",
		Example: "  # The state\n  kubectl lbstack status\n\n  # For a program\n  kubectl lbstack status -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := cluster.snapshot(cmd.Context())
			if err == nil {
				err = cluster.services(cmd.Context(), s)
			}
			if err != nil {
				return err
			}
			o := inspect.Status(s)
			return answer(streams.Out, output, &o, o.Ready)
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func whyCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "why SERVICE",
		Short: "Say why a Service is announced, or why not",
		Long: "Say why a Service of type LoadBalancer is announced, or why not: what it asks for, each pool with its reason, the addresses that it has, the advertisements " +
			"about them, each node with its reason, the routers, and the endpoints. What is wrong, and what to do, comes first.\n\n" +
			"The exit code is 1 if the Service is not announced.",
		Example: "  # A Service of the namespace shop\n  kubectl lbstack why web -n shop\n\n  # The same\n  kubectl lbstack why shop/web\n\n  # For a program\n  kubectl lbstack why web -n shop -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := cluster.serviceKey(args[0])
			if err != nil {
				return err
			}
			s, err := cluster.snapshot(cmd.Context())
			if err == nil {
				err = cluster.announcing(cmd.Context(), s, key)
			}
			if err != nil {
				return err
			}
			story := inspect.Why(s)
			return answer(streams.Out, output, &story, story.Announced)
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// serviceKey reads a name, namespace/name or service/name.
func (c *cluster) serviceKey(text string) (client.ObjectKey, error) {
	namespace, _, err := c.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return client.ObjectKey{}, err
	}
	first, rest, both := strings.Cut(text, "/")
	switch {
	case !both:
		return client.ObjectKey{Namespace: namespace, Name: text}, nil
	case first == "service" || first == "services" || first == "svc":
		return client.ObjectKey{Namespace: namespace, Name: rest}, nil
	case first == "" || rest == "" || strings.Contains(rest, "/"):
		return client.ObjectKey{}, fmt.Errorf("%q is no Service: pass its name, or namespace/name", text)
	}
	return client.ObjectKey{Namespace: first, Name: rest}, nil
}

func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "", "json or yaml in place of text")
}

// answer prints an answer, and ends with 1 if what was asked about is not as it should be.
func answer(w io.Writer, output string, a interface{ Print(io.Writer) error }, good bool) error {
	var err error
	var text []byte
	switch output {
	case "":
		err = a.Print(w)
	case "json":
		text, err = json.MarshalIndent(a, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(a)
	default:
		return fmt.Errorf("-o %s: the formats are json and yaml", output)
	}
	if err == nil && len(text) > 0 {
		_, err = w.Write(text)
	}
	if err == nil && !good {
		err = errNotAsAsked
	}
	return err
}
