package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// completionTimeout bounds how long the completion of one argument reads the cluster: the shell waits for it.
const completionTimeout = 3 * time.Second

// lister returns values for an argument or a flag. The parameter text is the beginning that the user has
// typed.
type lister func(ctx context.Context, c *cluster, text string) ([]string, error)

// completeArgs returns a function that completes arguments: the first one with the first lister, and so on.
func (c *cluster) completeArgs(listers ...lister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(listers) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.complete(cmd, listers[len(args)], text)
	}
}

// completeFlag makes a lister complete the values of a flag.
func (c *cluster) completeFlag(cmd *cobra.Command, flag string, list lister) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return c.complete(cmd, list, text)
	})
	if err != nil {
		panic(err) // the command does not have the flag
	}
}

// complete returns the values that begin with text, sorted. It returns none if the cluster cannot be read,
// since a completion cannot show an error.
func (c *cluster) complete(cmd *cobra.Command, list lister, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionTimeout)
	defer cancel()
	if t := c.flags.Timeout; t != nil && (*t == "" || *t == "0") {
		*t = completionTimeout.String() // bounds single requests too, such as those of API discovery
	}
	names, err := list(ctx, c, text)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, text) })
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// listWords returns a lister of fixed words.
func listWords(words ...string) lister {
	return func(context.Context, *cluster, string) ([]string, error) { return slices.Clone(words), nil }
}

// listServices lists the names of the Services of type LoadBalancer in the namespace. If the text has a slash, it lists the Services of
// all namespaces instead, as namespace/name.
func listServices(ctx context.Context, c *cluster, text string) (names []string, err error) {
	all := strings.Contains(text, "/")
	var options []client.ListOption
	if !all {
		namespace, _, err := c.flags.ToRawKubeConfigLoader().Namespace()
		if err != nil {
			return nil, err
		}
		options = append(options, client.InNamespace(namespace))
	}
	err = listNames(ctx, c, &corev1.ServiceList{}, func(l *corev1.ServiceList) {
		for i := range l.Items {
			switch svc := &l.Items[i]; {
			case svc.Spec.Type != corev1.ServiceTypeLoadBalancer:
			case all:
				names = append(names, svc.Namespace+"/"+svc.Name)
			default:
				names = append(names, svc.Name)
			}
		}
	}, options...)
	return names, err
}

// listNodes lists the names of nodes.
func listNodes(ctx context.Context, c *cluster, _ string) (names []string, err error) {
	err = listNames(ctx, c, &corev1.NodeList{}, func(l *corev1.NodeList) {
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	})
	return names, err
}

// listPools lists the names of IPAddressPools.
func listPools(ctx context.Context, c *cluster, _ string) (names []string, err error) {
	err = listNames(ctx, c, &v1beta1.IPAddressPoolList{}, func(l *v1beta1.IPAddressPoolList) {
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	})
	return names, err
}

// listAddresses returns a lister of the addresses whose claim is in one of the given states. Without states, it lists all claimed
// addresses.
func listAddresses(states ...v1beta1.ClaimState) lister {
	return func(ctx context.Context, c *cluster, _ string) (addresses []string, err error) {
		err = listNames(ctx, c, &v1beta1.IPAddressClaimList{}, func(l *v1beta1.IPAddressClaimList) {
			for i := range l.Items {
				if spec := &l.Items[i].Spec; len(states) == 0 || slices.Contains(states, spec.State) {
					addresses = append(addresses, spec.Address)
				}
			}
		})
		return addresses, err
	}
}

// listSubjects lists the possible arguments of kubectl lbstack who: addresses, node/NAME, pool/NAME, and Services. It leaves out what
// the user may not read.
func listSubjects(ctx context.Context, c *cluster, text string) (names []string, err error) {
	for _, part := range []struct {
		prefix string
		list   lister
	}{{"", listAddresses()}, {"node/", listNodes}, {"pool/", listPools}, {"", listServices}} {
		found, failed := part.list(ctx, c, text)
		if failed != nil {
			err = failed
			continue
		}
		for _, name := range found {
			names = append(names, part.prefix+name)
		}
	}
	if len(names) > 0 {
		return names, nil
	}
	return nil, err
}

// listNames connects to the API server and calls listPages.
func listNames[L client.ObjectList](ctx context.Context, c *cluster, empty L, add func(L), options ...client.ListOption) error {
	if _, err := c.connect(); err != nil {
		return err
	}
	return listPages(ctx, c, empty, add, options...)
}

// completePlan completes the type and the name of an item of the stack.
func (c *cluster) completePlan(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	items := func(ctx context.Context, c *cluster, _ string) ([]string, error) {
		stack, err := c.readStack(ctx)
		if err != nil || stack == nil {
			return nil, err
		}
		return itemNames(&stack.Spec, args[0]), nil
	}
	return c.completeArgs(listWords("pool", "peer", "advertisement", "l2advertisement", "bgpadvertisement"), items)(cmd, args, text)
}

// itemNames returns the names of a stack's items of one kind. The kinds are those that kubectl lbstack plan accepts.
func itemNames(spec *v1beta1.LoadBalancerStackSpec, kind string) (names []string) {
	if kind == "pool" {
		for i := range spec.IPAddressPools {
			names = append(names, string(spec.IPAddressPools[i].Name))
		}
	}
	if kind == "peer" {
		for i := range spec.BGPPeers {
			names = append(names, string(spec.BGPPeers[i].Name))
		}
	}
	if kind == "advertisement" || kind == "l2advertisement" {
		for i := range spec.L2Advertisements {
			names = append(names, string(spec.L2Advertisements[i].Name))
		}
	}
	if kind == "advertisement" || kind == "bgpadvertisement" {
		for i := range spec.BGPAdvertisements {
			names = append(names, string(spec.BGPAdvertisements[i].Name))
		}
	}
	return names
}
