package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/maintenance"
)

// pollInterval is the time between two reads of the cluster in a command that waits.
const pollInterval = time.Second

func drainCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Have a node hand over its addresses, for maintenance",
		Long: "Have a node hand over the addresses that it announces, without a lost connection attempt, and take no new ones. The command sets the annotation lbstack.io/drain on the node, or another mark if spec.drain of the stack asks for one. " +
			"Pods stay on the node; use kubectl drain to evict them.\n\n" +
			"An address stays on the node as long as no other node may announce it. With --wait, the exit code is 1 if the node still announces something after the timeout.",
		Example: "  # Empty a node and wait, then work on it\n  kubectl lbstack drain worker-1 --wait\n\n  # Afterwards\n  kubectl lbstack undrain worker-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout < 0 {
				return fmt.Errorf("--timeout %s is negative: use 0 to wait without a limit", timeout)
			}
			stack, node, err := cluster.stackAndNode(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			marked, err := maintenance.Drain(node, stack)
			if err != nil {
				return err
			}
			word := "is drained already"
			if marked != node {
				word = "drains"
				if err := cluster.patchNode(cmd.Context(), node, marked); err != nil {
					return err
				}
			}
			fmt.Fprintf(streams.Out, "node/%s %s\n", node.Name, word)
			if !wait {
				return nil
			}
			return cluster.waitDrained(cmd.Context(), streams, node.Name, timeout)
		},
	}
	cmd.ValidArgsFunction = cluster.completeArgs(listNodes)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the node announces nothing any more")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long --wait waits; 0: without a limit")
	return cmd
}

func undrainCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	return &cobra.Command{
		Use:   "undrain NODE",
		Short: "Have a drained node announce addresses again",
		Long: "Have a drained node announce addresses again. The command removes the annotations, labels and taints of spec.drain of the stack from the node. Addresses move back by themselves only if spec.layer2.failback is Gradual.\n\n" +
			"Marks of Kubernetes stay, such as the taint of kubectl cordon. The exit code is 1 if such a mark, or a shutdown of the node, still keeps the node from announcing addresses.",
		Example:           "  # After the maintenance\n  kubectl lbstack undrain worker-1",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cluster.completeArgs(listNodes),
		RunE: func(cmd *cobra.Command, args []string) error {
			stack, node, err := cluster.stackAndNode(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			free, still := maintenance.Undrain(node, stack)
			if err := cluster.patchNode(cmd.Context(), node, free); err != nil {
				return err
			}
			if still != "" {
				return fmt.Errorf("node/%s %s", node.Name, still)
			}
			fmt.Fprintf(streams.Out, "node/%s is no longer drained\n", node.Name)
			return nil
		},
	}
}

// stackAndNode reads the stack and a node. A missing stack is an error.
func (c *cluster) stackAndNode(ctx context.Context, name string) (*v1beta1.LoadBalancerStack, *corev1.Node, error) {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "node/"), "nodes/")
	stack, err := c.readStack(ctx)
	if err != nil {
		return nil, nil, err
	}
	if stack == nil {
		return nil, nil, errors.New("the cluster has no LoadBalancerStack: nothing announces addresses from its nodes")
	}
	node := &corev1.Node{}
	if err := c.api.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		return nil, nil, missingRight(err)
	}
	return stack, node, nil
}

// patchNode writes the changes of a node. A patch replaces the whole list of taints, so a patch that changes taints fails if
// the node was changed in the meantime.
func (c *cluster) patchNode(ctx context.Context, old, changed *corev1.Node) error {
	patch := client.MergeFrom(old)
	if len(old.Spec.Taints) != len(changed.Spec.Taints) {
		patch = client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})
	}
	if data, err := patch.Data(changed); err != nil || string(data) == "{}" {
		return err
	}
	return missingRight(c.api.Patch(ctx, changed.DeepCopy(), patch))
}

// waitDrained waits until a node announces nothing, and prints each change of what the node still announces.
// A timeout of 0 means no limit.
func (c *cluster) waitDrained(ctx context.Context, streams genericiooptions.IOStreams, node string, timeout time.Duration) error {
	user := ctx
	if timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	for last := ""; ; {
		state := &v1beta1.SpeakerState{}
		err := c.api.Get(ctx, client.ObjectKey{Name: node}, state)
		if apierrors.IsNotFound(err) {
			state, err = nil, nil
		}
		switch {
		case err != nil && ctx.Err() == nil:
			return missingRight(err)
		case err == nil:
			done, words := maintenance.DrainProgress(state)
			if done {
				fmt.Fprintf(streams.Out, "node/%s: %s\n", node, words)
				return nil
			}
			if words != last {
				fmt.Fprintf(streams.ErrOut, "node/%s: %s\n", node, words)
			}
			last = words
		}
		select {
		case <-ctx.Done():
			if user.Err() != nil {
				return fmt.Errorf("node/%s: the wait was interrupted, and the node stays drained: %s", node, last)
			}
			return fmt.Errorf("node/%s still drains after %s: %s: an address stays as long as no other node may announce it: kubectl lbstack why SERVICE shows the reason for each node", node, timeout, last)
		case <-time.After(pollInterval):
		}
	}
}
