package cli

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/inspect"
)

// readSnapshot reads the objects that all questions need: the stack, pools, claims, BGPPeers and SpeakerStates.
func (c *cluster) readSnapshot(ctx context.Context) (*inspect.Snapshot, error) {
	stack, err := c.readStack(ctx)
	if err != nil {
		return nil, err
	}
	s := &inspect.Snapshot{Stack: stack}
	return s, errors.Join(c.readLists(ctx, s)...)
}

// readLists adds pools, claims, BGPPeers and SpeakerStates. It returns one error for each list; the error is
// nil if the list was read.
func (c *cluster) readLists(ctx context.Context, s *inspect.Snapshot) []error {
	return []error{
		listPages(ctx, c, &v1beta1.IPAddressPoolList{}, func(l *v1beta1.IPAddressPoolList) { s.Pools = append(s.Pools, l.Items...) }),
		listPages(ctx, c, &v1beta1.IPAddressClaimList{}, func(l *v1beta1.IPAddressClaimList) { s.Claims = append(s.Claims, l.Items...) }),
		listPages(ctx, c, &v1beta1.BGPPeerList{}, func(l *v1beta1.BGPPeerList) { s.Peers = append(s.Peers, l.Items...) }),
		listPages(ctx, c, &v1beta1.SpeakerStateList{}, func(l *v1beta1.SpeakerStateList) { s.States = append(s.States, l.Items...) }),
	}
}

// readStack reads the LoadBalancerStack. It returns nil if there is none.
func (c *cluster) readStack(ctx context.Context) (*v1beta1.LoadBalancerStack, error) {
	api, err := c.connect()
	if err != nil {
		return nil, err
	}
	stack := &v1beta1.LoadBalancerStack{}
	switch err := api.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); {
	case meta.IsNoMatchError(err):
		return nil, errors.New("the API server does not have the kinds of lbstack: install lbstack first")
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, missingRight(err)
	}
	return stack, nil
}

// readRoutes adds the routes that the speakers announce to routers.
func (c *cluster) readRoutes(ctx context.Context, s *inspect.Snapshot) error {
	return listPages(ctx, c, &v1beta1.SpeakerRouteSliceList{}, func(l *v1beta1.SpeakerRouteSliceList) { s.RouteSlices = append(s.RouteSlices, l.Items...) })
}

// readAnnouncing adds the objects on which the announcement of a Service depends. These include other Services that share an address
// with the Service.
func (c *cluster) readAnnouncing(ctx context.Context, s *inspect.Snapshot, key client.ObjectKey) error {
	reader, err := c.connect()
	if err != nil {
		return err
	}
	if err := errors.Join(c.readAdvertisements(ctx, s), c.readRoutes(ctx, s)); err != nil {
		return err
	}
	svc := &corev1.Service{}
	if err := reader.Get(ctx, key, svc); err != nil {
		return missingRight(err)
	}
	s.Services, s.NamespaceLabels = []corev1.Service{*svc}, map[string]map[string]string{}
	for _, other := range sharingServices(s, svc) {
		svc := &corev1.Service{}
		if err := reader.Get(ctx, other, svc); err == nil {
			s.Services = append(s.Services, *svc)
		} else if !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading Service %s, which shares an address with Service %s: %w", other, key, missingRight(err))
		}
	}
	for i := range s.Services {
		if err := c.readAround(ctx, s, &s.Services[i]); err != nil {
			return err
		}
	}
	return nil
}

// sharingServices returns the other Services that share an address with a Service.
func sharingServices(s *inspect.Snapshot, svc *corev1.Service) (others []client.ObjectKey) {
	seen := map[client.ObjectKey]bool{client.ObjectKeyFromObject(svc): true}
	for _, claim := range s.Claims {
		held := false
		for _, h := range claim.Spec.Holders {
			held = held || apiconv.HolderKey(h) == apiconv.KeyOf(svc)
		}
		for _, h := range claim.Spec.Holders {
			key := client.ObjectKey{Namespace: h.Namespace, Name: h.Name}
			if held && !seen[key] {
				seen[key] = true
				others = append(others, key)
			}
		}
	}
	return others
}

// readAdvertisements adds all advertisements, the communities that they name, and all nodes.
func (c *cluster) readAdvertisements(ctx context.Context, s *inspect.Snapshot) error {
	return errors.Join(
		listPages(ctx, c, &v1beta1.L2AdvertisementList{}, func(l *v1beta1.L2AdvertisementList) { s.L2Advertisements = append(s.L2Advertisements, l.Items...) }),
		listPages(ctx, c, &v1beta1.BGPAdvertisementList{}, func(l *v1beta1.BGPAdvertisementList) { s.BGPAdvertisements = append(s.BGPAdvertisements, l.Items...) }),
		listPages(ctx, c, &v1beta1.CommunityList{}, func(l *v1beta1.CommunityList) { s.Communities = append(s.Communities, l.Items...) }),
		listPages(ctx, c, &corev1.NodeList{}, func(l *corev1.NodeList) { s.Nodes = append(s.Nodes, l.Items...) }),
	)
}

// readAround adds the EndpointSlices of a Service, and the labels of the Service's namespace.
func (c *cluster) readAround(ctx context.Context, s *inspect.Snapshot, svc *corev1.Service) error {
	if _, known := s.NamespaceLabels[svc.Namespace]; !known {
		namespace := &corev1.Namespace{}
		if err := c.api.Get(ctx, client.ObjectKey{Name: svc.Namespace}, namespace); client.IgnoreNotFound(err) != nil {
			return missingRight(err)
		}
		s.NamespaceLabels[svc.Namespace] = namespace.Labels
	}
	return listPages(ctx, c, &discoveryv1.EndpointSliceList{}, func(l *discoveryv1.EndpointSliceList) { s.EndpointSlices = append(s.EndpointSlices, l.Items...) },
		client.InNamespace(svc.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: svc.Name})
}

// readServices adds the Services of type LoadBalancer.
func (c *cluster) readServices(ctx context.Context, s *inspect.Snapshot) error {
	return listPages(ctx, c, &corev1.ServiceList{}, func(l *corev1.ServiceList) {
		for i := range l.Items {
			if l.Items[i].Spec.Type == corev1.ServiceTypeLoadBalancer {
				s.Services = append(s.Services, l.Items[i])
			}
		}
	})
}

// readServiceNetworks adds the ranges of cluster IPs.
func (c *cluster) readServiceNetworks(ctx context.Context, s *inspect.Snapshot) error {
	err := listPages(ctx, c, &networkingv1.ServiceCIDRList{}, func(l *networkingv1.ServiceCIDRList) { s.ServiceCIDRs = append(s.ServiceCIDRs, l.Items...) })
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil // networking.k8s.io/v1 has ServiceCIDR from Kubernetes 1.33 on
	}
	return err
}

// listPages reads a list in pages and calls add with each page. Each page is a new object, so that add may keep the items.
func listPages[L client.ObjectList](ctx context.Context, c *cluster, empty L, add func(L), options ...client.ListOption) error {
	for next := ""; ; {
		list := empty.DeepCopyObject().(L)
		if err := c.api.List(ctx, list, append([]client.ListOption{client.Limit(pageSize), client.Continue(next)}, options...)...); err != nil {
			return missingRight(err)
		}
		add(list)
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}
