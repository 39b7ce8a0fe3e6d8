package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/maintenance"
)

func moveCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var reset, wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "move ADDRESS (NODE | --reset)",
		Short: "Have a node announce an address on the local network",
		Long: "Have a node announce an address on the local network in place of the node that announces it now, without a lost connection attempt. The IPAddressClaim of the address gets the annotation " + v1beta1.AnnotationAnnounceFrom + ", which has an effect while the node can announce the address. " +
			"If the node fails, another node announces the address at once; when the node is back and its speaker has run for 30 seconds, the address moves back to it. --reset removes the annotation, and the address stays where it is.\n\n" +
			"The command refuses a node that cannot announce the address. With --wait, the exit code is 1 if the node does not announce the address within the timeout.",
		Example: "  # Have worker-2 announce an address, and wait until it does\n  kubectl lbstack move 192.168.1.240 worker-2 --wait\n\n  # Let any node announce it again\n  kubectl lbstack move 192.168.1.240 --reset",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			address, err := apiconv.ParseAddress(args[0])
			switch {
			case err != nil:
				return err
			case timeout < 0:
				return fmt.Errorf("--timeout %s is negative: use 0 to wait without a limit", timeout)
			case reset == (len(args) == 2):
				return errors.New("pass either a node or --reset")
			case reset && wait:
				return errors.New("--wait cannot be used with --reset, which asks for no node")
			case reset:
				return cluster.moveTo(cmd.Context(), streams, address, "")
			}
			node := lb.NodeName(strings.TrimPrefix(strings.TrimPrefix(args[1], "node/"), "nodes/"))
			if err := cluster.checkCanAnnounce(cmd.Context(), address, node); err != nil {
				return err
			}
			if err := cluster.moveTo(cmd.Context(), streams, address, node); err != nil || !wait {
				return err
			}
			return cluster.waitMoved(cmd.Context(), streams, address, node, timeout)
		},
	}
	cmd.ValidArgsFunction = cluster.completeArgs(listAddresses(v1beta1.ClaimInUse), listNodes)
	cmd.Flags().BoolVar(&reset, "reset", false, "remove the request, so that any node can announce the address")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the node announces the address")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long --wait waits; 0: without a limit")
	return cmd
}

// checkCanAnnounce returns an error if a node cannot announce an address.
func (c *cluster) checkCanAnnounce(ctx context.Context, address netip.Addr, node lb.NodeName) error {
	s, err := c.readSnapshot(ctx)
	if err != nil {
		return err
	}
	claim := claimOf(s, address)
	if claim == nil || len(claim.Spec.Holders) == 0 {
		return fmt.Errorf("%s: no Service has this address, so no node announces it", address)
	}
	holder := claim.Spec.Holders[0]
	if err := c.readAnnouncing(ctx, s, client.ObjectKey{Namespace: holder.Namespace, Name: holder.Name}); err != nil {
		return err
	}
	return inspect.CannotAnnounce(s, address, node)
}

// moveTo writes the node into the claim of an address, or removes it from the claim if node is empty.
func (c *cluster) moveTo(ctx context.Context, streams genericiooptions.IOStreams, address netip.Addr, node lb.NodeName) error {
	api, err := c.connect()
	if err != nil {
		return err
	}
	claim := &v1beta1.IPAddressClaim{}
	switch err := api.Get(ctx, client.ObjectKey{Name: apiconv.ClaimName(address)}, claim); {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s: no Service has this address, so no node announces it", address)
	case err != nil:
		return missingRight(err)
	}
	word, unchanged := "asks for node "+string(node), "already asks for node "+string(node)
	if node == "" {
		word, unchanged = "asks for no node", "already asks for no node"
	}
	if moved := maintenance.Move(claim, node); moved != claim {
		if err := api.Patch(ctx, moved, client.MergeFrom(claim)); err != nil {
			return missingRight(err)
		}
	} else {
		word = unchanged
	}
	fmt.Fprintf(streams.Out, "ipaddressclaim.lbstack.io/%s %s\n", claim.Name, word)
	return nil
}

// waitMoved waits until a node announces an address. A timeout of 0 means no limit.
func (c *cluster) waitMoved(ctx context.Context, streams genericiooptions.IOStreams, address netip.Addr, node lb.NodeName, timeout time.Duration) error {
	user := ctx
	if timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	for {
		state := &v1beta1.SpeakerState{}
		err := c.api.Get(ctx, client.ObjectKey{Name: string(node)}, state)
		if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
			return missingRight(err)
		}
		if slices.ContainsFunc(state.Status.Addresses, func(a v1beta1.SpeakerAddress) bool { return a.Address == address.String() }) {
			fmt.Fprintf(streams.Out, "node/%s announces %s\n", node, address)
			return nil
		}
		select {
		case <-ctx.Done():
			if user.Err() != nil {
				return fmt.Errorf("the wait was interrupted, and the IPAddressClaim still asks for node/%s", node)
			}
			return fmt.Errorf("node/%s does not announce %s after %s, and the IPAddressClaim still asks for this node: the speaker of the node may have run for less than 30 s, or may not receive the change: kubectl lbstack status shows the speakers", node, address, timeout)
		case <-time.After(pollInterval):
		}
	}
}
