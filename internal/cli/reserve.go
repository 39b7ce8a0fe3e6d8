package cli

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/maintenance"
)

// claimReadyTimeout is how long reserve waits for the condition Ready that the controller writes to the claim.
const claimReadyTimeout = 10 * time.Second

func reserveCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use:   "reserve ADDRESS",
		Short: "Reserve an address of a pool, for one Service or for nobody",
		Long: "Reserve an address of a pool. The command creates an IPAddressClaim; then only the Service that --for names gets the address. This Service need not exist yet. Without --for, no Service gets the address.\n\n" +
			"The exit code is 1 if the controller finds that the claim does not reserve the address. The claim stays in this case, and kubectl lbstack release deletes it.",
		Example: "  # For no Service, since a host is to have the address\n  kubectl lbstack reserve 192.168.1.250\n\n  # For a Service that does not exist yet\n  kubectl lbstack reserve 192.168.1.251 --for shop/web",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			address, err := apiconv.ParseAddress(args[0])
			if err != nil {
				return err
			}
			var key client.ObjectKey
			if service != "" {
				if key, err = cluster.serviceKey(service); err != nil {
					return err
				}
			}
			return cluster.reserve(cmd.Context(), streams, address, lb.ServiceKey{Namespace: key.Namespace, Name: key.Name})
		},
	}
	cmd.Flags().StringVar(&service, "for", "", "the Service that gets the address, as NAME or NAMESPACE/NAME")
	cmd.ValidArgsFunction = cluster.completeArgs()
	cluster.completeFlag(cmd, "for", listServices)
	return cmd
}

// reserve creates the claim for an address if it has none, and waits for the condition Ready of the claim.
func (c *cluster) reserve(ctx context.Context, streams genericiooptions.IOStreams, address netip.Addr, service lb.ServiceKey) error {
	s, err := c.readSnapshot(ctx)
	if err != nil {
		return err
	}
	existing := claimOf(s, address)
	claim, err := maintenance.Reserve(address, s.PoolOf(address), service, existing)
	if err != nil {
		return err
	}
	if existing == nil {
		if err := c.api.Create(ctx, claim); err != nil {
			return missingRight(err)
		}
	}
	name := "ipaddressclaim.lbstack.io/" + claim.Name
	until := time.Now().Add(claimReadyTimeout)
	for {
		if err := c.api.Get(ctx, client.ObjectKeyFromObject(claim), claim); err != nil {
			return missingRight(err)
		}
		ready := meta.FindStatusCondition(claim.Status.Conditions, v1beta1.ConditionReady)
		switch {
		case ready != nil && ready.ObservedGeneration >= claim.Generation && ready.Status == metav1.ConditionTrue:
			fmt.Fprintf(streams.Out, "%s reserves the address: %s\n", name, ready.Message)
			return nil
		case ready != nil && ready.ObservedGeneration >= claim.Generation:
			return fmt.Errorf("%s does not reserve the address: %s (%s): kubectl lbstack release %s deletes the claim", name, ready.Message, ready.Reason, address)
		case time.Now().After(until):
			return fmt.Errorf("%s exists, and the controller has not reported within %s whether the claim reserves the address: look at the pods of the controller (kubectl lbstack status)", name, claimReadyTimeout)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

func releaseCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	return &cobra.Command{
		Use:   "release ADDRESS",
		Short: "Free an address that is reserved or retained",
		Long: "Free an address that is reserved, or retained for a deleted Service. The command deletes the IPAddressClaim of the address; then Services can get the address.\n\n" +
			"An address that a Service uses is not released.",
		Example:           "  # Give the address back to the pool\n  kubectl lbstack release 192.168.1.250",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cluster.completeArgs(listAddresses(v1beta1.ClaimReserved, v1beta1.ClaimRetained)),
		RunE: func(cmd *cobra.Command, args []string) error {
			address, err := apiconv.ParseAddress(args[0])
			if err != nil {
				return err
			}
			api, err := cluster.connect()
			if err != nil {
				return err
			}
			claim := &v1beta1.IPAddressClaim{}
			switch err := api.Get(cmd.Context(), client.ObjectKey{Name: apiconv.ClaimName(address)}, claim); {
			case apierrors.IsNotFound(err):
				claim = nil
			case err != nil:
				return missingRight(err)
			}
			if err := maintenance.CheckRelease(address, claim); err != nil {
				return err
			}
			// If a Service has begun to use the address in the meantime, the claim has another version, and the deletion fails.
			err = api.Delete(cmd.Context(), claim, client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion})
			if err == nil {
				fmt.Fprintf(streams.Out, "ipaddressclaim.lbstack.io/%s released\n", claim.Name)
			}
			return missingRight(err)
		},
	}
}

// claimOf returns the claim of an address, or nil.
func claimOf(s *inspect.Snapshot, address netip.Addr) *v1beta1.IPAddressClaim {
	for i := range s.Claims {
		if s.Claims[i].Name == apiconv.ClaimName(address) {
			return &s.Claims[i]
		}
	}
	return nil
}
