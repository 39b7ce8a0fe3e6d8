package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/inspect"
)

func statusCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var output string
	var watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of the installation on one screen",
		Long: "Show the state of the installation on one screen: the stack, components, speakers, pools, routers, conflicts, and the Services that are not announced.\n\n" +
			"The exit code is 1 if the stack is not Ready or a Service is not announced. With --watch, the exit code is 0 when you stop the command.",
		Example: "  # The state\n  kubectl lbstack status\n\n  # The state, with all Services that are not announced instead of the first ten\n  kubectl lbstack status -o wide\n\n" +
			"  # The state whenever it changes, such as during an upgrade\n  kubectl lbstack status --watch\n\n  # For a program\n  kubectl lbstack status -o json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < time.Second {
				return fmt.Errorf("--interval %s is too short, since each update reads all Services: use at least 1s", every)
			}
			look := func(ctx context.Context) (printedAnswer, bool, error) {
				s, err := cluster.readSnapshot(ctx)
				if err == nil {
					err = cluster.readServices(ctx, s)
				}
				if err != nil {
					return nil, false, err
				}
				o := inspect.Status(s)
				return &o, o.Ready, nil
			}
			if watch {
				return watchAnswer(cmd.Context(), streams, output, every, look)
			}
			o, ready, err := look(cmd.Context())
			if err != nil {
				return err
			}
			return printAnswer(streams.Out, output, o, ready)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, yaml or wide; wide has all Services that are not announced")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "print the state again whenever it has changed, until you stop the command")
	cmd.Flags().DurationVar(&every, "interval", 2*time.Second, "how often --watch reads the state, at least 1s")
	addAllNamespaces(cmd)
	cluster.completeFlag(cmd, "output", listWords("json", "yaml", "wide"))
	cmd.ValidArgsFunction = cluster.completeArgs()
	return cmd
}

func whyCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var output string
	var all bool
	cmd := &cobra.Command{
		Use:   "why (SERVICE | -A)",
		Short: "Show why a Service is announced, or why not",
		Long: "Show why a Service of type LoadBalancer is announced, or why not: what the Service requests, why each pool gives it an address or does not, the addresses of the Service, the advertisements " +
			"that apply to them, why each node may announce them or may not, the routers, and the endpoints. The output begins with what is wrong and what to do.\n\n" +
			"With -A, print a line for each Service of all namespaces that is not announced.\n\n" +
			"The exit code is 1 if the Service is not announced. With -A, it is 1 if any Service is not announced.",
		Example: "  # A Service of the namespace shop\n  kubectl lbstack why web -n shop\n\n  # The same Service\n  kubectl lbstack why shop/web\n\n  # All Services that are not announced\n  kubectl lbstack why -A\n\n  # For a program\n  kubectl lbstack why web -n shop -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all == (len(args) == 1):
				return errors.New("pass either a Service or -A")
			case all:
				return cluster.printUnannounced(cmd.Context(), streams, output)
			}
			key, err := cluster.serviceKey(args[0])
			if err != nil {
				return err
			}
			s, err := cluster.readSnapshot(cmd.Context())
			if err == nil {
				err = cluster.readAnnouncing(cmd.Context(), s, key)
			}
			if err != nil {
				return err
			}
			story := inspect.Why(s)
			return printAnswer(streams.Out, output, &story, story.Announced)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml in place of text")
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "all Services that are not announced, a line for each")
	cmd.ValidArgsFunction = cluster.completeArgs(listServices)
	cluster.completeFlag(cmd, "output", listWords("json", "yaml"))
	return cmd
}

// printUnannounced prints all Services that are not announced.
func (c *cluster) printUnannounced(ctx context.Context, streams genericiooptions.IOStreams, output string) error {
	s, err := c.readSnapshot(ctx)
	if err == nil {
		err = c.readServices(ctx, s)
	}
	if err != nil {
		return err
	}
	all := inspect.WhyAll(s)
	return printAnswer(streams.Out, output, &all, len(all.Unannounced) == 0)
}

// addAllNamespaces adds the flag -A to a command that always shows all namespaces. The flag has no effect,
// and accepts only the value true.
func addAllNamespaces(cmd *cobra.Command) {
	cmd.Flags().BoolFuncP("all-namespaces", "A", "no effect: the command always shows all namespaces", func(value string) error {
		if all, err := strconv.ParseBool(value); err != nil || !all {
			return errors.New("the command always shows all namespaces: omit the flag")
		}
		return nil
	})
}

// serviceKey parses NAME, NAMESPACE/NAME or service/NAME.
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
		return client.ObjectKey{}, fmt.Errorf("%q is not the name of a Service: pass NAME or NAMESPACE/NAME", text)
	}
	return client.ObjectKey{Namespace: first, Name: rest}, nil
}
