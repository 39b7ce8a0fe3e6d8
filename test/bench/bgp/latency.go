package main

import (
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

// label is on the Services of this program.
const label = "lbstack.io/bench"

// slow is the latency that is printed for a single Service.
const slow = 100 * time.Millisecond

// intoKernel has BIRD write its routes into a table of the kernel that routes no packets.
const intoKernel = `protocol kernel { kernel table 100; ipv4 { import none; export all; }; }
`

// clocks record when a Service could be announced, and when the kernels of the router, which
// runs FRR, and of the client host, which runs BIRD, had a route for an address.
type clocks struct{ shown, frr, bird *scenario.Clock }

func (b *bench) clocks(ctx context.Context) (c clocks, err error) {
	if c.shown, err = b.ClockServices(ctx); err != nil {
		return c, err
	}
	if c.frr, err = b.ClockRoutes(ctx, plan.Router); err != nil {
		return c, err
	}
	c.bird, err = b.ClockRoutes(ctx, plan.Client)
	return c, err
}

// took waits until both kernels have a route for the address of a Service, and returns the
// times until then.
func (c *clocks) took(ctx context.Context, name, address string) (frr, bird time.Duration, err error) {
	err = eventually.Poll(ctx, func(context.Context) error {
		from, seen := c.shown.At(name)
		inFRR, there := c.frr.At(address)
		inBIRD, too := c.bird.At(address)
		if !seen || !there || !too {
			return fmt.Errorf("%s: seen %v, routed by FRR %v and by BIRD %v", address, seen, there, too)
		}
		frr, bird = max(0, inFRR.Sub(from)), max(0, inBIRD.Sub(from))
		return nil
	})
	if frr > slow {
		fmt.Fprintf(os.Stderr, "%s: %s was routed by FRR after %d ms and by BIRD after %d ms\n", name, address, frr.Milliseconds(), bird.Milliseconds())
	}
	return frr, bird, err
}

// routedByBoth adds BIRD as a peer, and waits until both routers have routes.
func (b *bench) routedByBoth(ctx context.Context, bird *scenario.Clock) error {
	address, err := b.Address(ctx, scenario.RoutedService)
	if err != nil {
		return err
	}
	if err := b.configure(ctx, 1, toBoth); err != nil {
		return err
	}
	err = eventually.Poll(ctx, func(context.Context) error {
		if _, there := bird.At(address); !there {
			return fmt.Errorf("BIRD has no route to %s", address)
		}
		return nil
	})
	if err == nil {
		_, err = b.settled(ctx, address)
	}
	return err
}

// oneByOne measures from when a client sees the address in the Service's status, and a
// ready endpoint, until the kernels of routers have the first route to it.
func (b *bench) oneByOne(ctx context.Context) error {
	if b.services == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	birds, err := b.birds(ctx, 1, intoKernel)
	defer birds.stop()
	if err != nil {
		return err
	}
	seen, err := b.clocks(ctx)
	if err != nil {
		return err
	}
	if err := b.routedByBoth(ctx, seen.bird); err != nil {
		return err
	}
	defer b.removeServices(context.WithoutCancel(ctx))
	var byFRR, byBIRD, later []time.Duration
	next := time.NewTicker(b.pace)
	defer next.Stop()
	for i := range b.services {
		<-next.C
		name := fmt.Sprintf("bench-%d", i)
		if err := b.Client.Create(ctx, service(name)); err != nil {
			return fmt.Errorf("creating the Service %s: %w", name, err)
		}
		address, err := b.Address(ctx, name)
		if err != nil {
			return err
		}
		frr, bird, err := seen.took(ctx, name, address)
		if err != nil {
			return err
		}
		byFRR, byBIRD, later = append(byFRR, frr), append(byBIRD, bird), append(later, frr-bird)
		if i%50 == 49 {
			fmt.Fprintf(os.Stderr, "%d of %d Services are routed\n", i+1, b.services)
		}
	}
	what := "address in the Service's status -> route in the kernel of "
	row(fmt.Sprintf("%sa router with BIRD, a Service each %s", what, b.pace), byBIRD)
	row(what+"a router with FRR", byFRR)
	row("of that, after BIRD's kernel had the same route", later)
	return nil
}

func service(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{label: ""}, Annotations: map[string]string{"lbstack.io/address-pool": "routed"}},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"}, AllocateLoadBalancerNodePorts: new(bool),
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}
}

// removeServices deletes the Services of this program, and waits until they are deleted.
func (b *bench) removeServices(ctx context.Context) {
	err := within(ctx, func(ctx context.Context) error {
		return eventually.Poll(ctx, func(ctx context.Context) error {
			if err := b.Client.DeleteAllOf(ctx, &corev1.Service{}, client.InNamespace("default"), client.HasLabels{label}); err != nil {
				return err
			}
			var left corev1.ServiceList
			if err := b.Client.List(ctx, &left, client.InNamespace("default"), client.HasLabels{label}); err != nil {
				return err
			}
			if len(left.Items) > 0 {
				return fmt.Errorf("%d Services are left", len(left.Items))
			}
			return nil
		})
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "bgp: removing the Services:", err)
	}
}
