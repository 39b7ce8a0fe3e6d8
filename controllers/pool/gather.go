package pool

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/validity"
)

// Read reads the pools for the allocator, without the addresses that nodes, networks of the cluster
// and foreign hosts use.
func Read(ctx context.Context, reader client.Reader) ([]ipam.Pool, error) {
	var list v1beta1.IPAddressPoolList
	if err := reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing the IPAddressPools: %w", err)
	}
	taken, err := ReadTakenRanges(ctx, reader)
	if err != nil {
		return nil, err
	}
	known := storedHosts(list.Items)
	at := time.Now()
	reported, err := readForeignReports(ctx, reader, list.Items, known, at)
	if err != nil {
		return nil, err
	}
	hosts := rememberHosts(known, reported, at)
	limitLosses(hosts, known, list.Items, storedLosses(list.Items, at), at)
	pools, _ := validity.Pools(list.Items, append(taken, takenHostRanges(hosts)...))
	return pools, nil
}

// ReadTakenRanges reads which addresses the cluster itself needs: those of its nodes, the network and broadcast
// addresses of their subnets, and the networks of pods and Services.
func ReadTakenRanges(ctx context.Context, reader client.Reader) ([]ipam.TakenRange, error) {
	list, err := readNodeRanges(ctx, reader)
	if err != nil {
		return nil, err
	}
	var networks networkingv1.ServiceCIDRList
	err = reader.List(ctx, &networks)
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return list, nil // networking.k8s.io/v1 has ServiceCIDR from Kubernetes 1.33 on
	}
	if err != nil {
		return nil, fmt.Errorf("listing the ServiceCIDRs: %w", err)
	}
	return append(list, apiconv.ServiceNetworks(networks.Items)...), nil
}

func readNodeRanges(ctx context.Context, reader client.Reader) ([]ipam.TakenRange, error) {
	var nodes corev1.NodeList
	if err := reader.List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("listing the nodes: %w", err)
	}
	var states v1beta1.SpeakerStateList
	if err := reader.List(ctx, &states, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the SpeakerStates: %w", err)
	}
	stateOf := make(map[string]*v1beta1.SpeakerState, len(states.Items))
	for i := range states.Items {
		stateOf[states.Items[i].Name] = &states.Items[i]
	}
	list := make([]ipam.Node, 0, len(nodes.Items))
	for i := range nodes.Items {
		list = append(list, apiconv.NodeNetworks(&nodes.Items[i], stateOf[nodes.Items[i].Name]))
	}
	return ipam.NodeRanges(list), nil
}

// readAnnouncementObjects reads the objects that decide whether hosts of the local network can reach the
// addresses of pools.
func readAnnouncementObjects(ctx context.Context, reader client.Reader) (validity.Network, error) {
	var layer2 v1beta1.L2AdvertisementList
	var bgp v1beta1.BGPAdvertisementList
	var peers v1beta1.BGPPeerList
	var communities v1beta1.CommunityList
	var states v1beta1.SpeakerStateList
	var nodes corev1.NodeList
	for _, list := range []client.ObjectList{&layer2, &bgp, &peers, &communities, &states, &nodes} {
		if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return validity.Network{}, fmt.Errorf("listing the advertisements, BGPPeers, Communities, SpeakerStates and nodes: %w", err)
		}
	}
	o := &validity.Objects{L2Advertisements: layer2.Items, BGPAdvertisements: bgp.Items, Peers: peers.Items, Communities: communities.Items, States: states.Items}
	for i := range nodes.Items {
		o.Nodes = append(o.Nodes, apiconv.ParseNode(&nodes.Items[i], apiconv.DrainPolicy{}))
	}
	return validity.NewNetwork(o), nil
}
