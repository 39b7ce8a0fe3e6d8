package scenario

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/hack/devcluster/lan"
)

// Clock records when values were seen first.
type Clock struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

func (c *Clock) note(what string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, has := c.seen[what]; !has {
		c.seen[what] = now
	}
}

// At returns when a value was seen first, if it was seen.
func (c *Clock) At(what string) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, has := c.seen[what]
	return t, has
}

// ClockRoutes records each address that the kernel of a host has a route for, until the context ends.
func (s *Scenario) ClockRoutes(ctx context.Context, host string) (*Clock, error) {
	ns, err := netns.GetFromPath(lan.NamespacePath(lan.NamespaceName(s.Cluster.Name(), host)))
	if err != nil {
		return nil, fmt.Errorf("opening the namespace of the %s: %w", host, err)
	}
	updates := make(chan netlink.RouteUpdate, 4096)
	if err := netlink.RouteSubscribeAt(ns, updates, ctx.Done()); err != nil {
		return nil, fmt.Errorf("watching the routes of the %s: %w", host, err)
	}
	c := &Clock{seen: map[string]time.Time{}}
	go func() {
		for u := range updates {
			if u.Dst != nil {
				c.note(u.Dst.IP.String())
			}
		}
	}()
	return c, nil
}

// ClockServices records each Service of the namespace default that shows an address and has an endpoint that
// serves. Before that there is nothing to announce.
func (s *Scenario) ClockServices(ctx context.Context) (*Clock, error) {
	c := &Clock{seen: map[string]time.Time{}}
	var mu sync.Mutex
	addressed, served := map[string]bool{}, map[string]bool{}
	for _, list := range []client.ObjectList{&corev1.ServiceList{}, &discoveryv1.EndpointSliceList{}} {
		w, err := s.Client.Watch(ctx, list, client.InNamespace("default"))
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", list, err)
		}
		go func() {
			for e := range w.ResultChan() {
				mu.Lock()
				name := ""
				switch o := e.Object.(type) {
				case *corev1.Service:
					name = o.Name
					addressed[name] = len(o.Status.LoadBalancer.Ingress) > 0
				case *discoveryv1.EndpointSlice:
					name = o.Labels[discoveryv1.LabelServiceName]
					served[name] = slices.ContainsFunc(o.Endpoints, func(e discoveryv1.Endpoint) bool { return e.Conditions.Ready != nil && *e.Conditions.Ready })
				}
				if addressed[name] && served[name] {
					c.note(name)
				}
				mu.Unlock()
			}
		}()
	}
	return c, nil
}
