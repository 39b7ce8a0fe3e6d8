// Command demo shows lbstack at work on a test bed that has the operator: one
// LoadBalancerStack in, a load balancer out, and what happens when the node that
// serves an address is cut off. It prints each step.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/config"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

// stepTimeout bounds each step.
const stepTimeout = 2 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s, err := scenario.Open(ctx)
	if err != nil {
		return err
	}
	if err := mend(ctx, s); err != nil {
		return err
	}
	fmt.Println("\n1. One object: config/samples/lbstack_v1beta1_loadbalancerstack.yaml")
	began := time.Now()
	if err := step(ctx, func(ctx context.Context) error {
		if err := s.Apply(ctx, "lbstack_v1beta1_loadbalancerstack.yaml"); err != nil {
			return err
		}
		return s.StackReady(ctx)
	}); err != nil {
		return err
	}
	fmt.Printf("   The LoadBalancerStack is Ready after %.1f s: controller and speakers run.\n", time.Since(began).Seconds())

	address, err := serve(ctx, s)
	if err != nil {
		return err
	}
	if err := failOver(ctx, s, address); err != nil {
		return err
	}
	routed, err := route(ctx, s)
	if err != nil {
		return err
	}
	fmt.Print(farewell(s, address, routed))
	return nil
}

// mend plugs in what an earlier run left unplugged.
func mend(ctx context.Context, s *scenario.Scenario) error {
	for _, node := range s.Cluster.Nodes() {
		if err := s.Cluster.SetLink(node, true); err != nil {
			return fmt.Errorf("plugging %s in: %w", node, err)
		}
	}
	return ctx.Err()
}

func serve(ctx context.Context, s *scenario.Scenario) (address string, err error) {
	fmt.Println("\n2. A Service of type LoadBalancer: config/samples/service.yaml")
	err = step(ctx, func(ctx context.Context) error {
		if err := s.Apply(ctx, "web.yaml", "service.yaml"); err != nil {
			return err
		}
		if address, err = s.Address(ctx, scenario.SampleService); err != nil {
			return err
		}
		fmt.Printf("   It has the address %s.\n", address)
		page, err := s.Page(ctx, address)
		if err != nil {
			return err
		}
		owner, err := s.Owner(ctx, address)
		if err != nil {
			return err
		}
		fmt.Printf("   The client, outside the cluster, fetches http://%s/ and gets: %s\n", address, page)
		fmt.Printf("   %s announces it: the client has its MAC %s in the neighbour table.\n", owner.Node, owner.MAC)
		return nil
	})
	return address, err
}

func failOver(ctx context.Context, s *scenario.Scenario, address string) error {
	fmt.Println("\n3. The cable of that node is pulled, while the client connects every 5 ms.")
	return step(ctx, func(ctx context.Context) error {
		f, err := s.LoseOwner(ctx, address, s.Faults()[0])
		if err != nil {
			return err
		}
		page, err := s.Page(ctx, address)
		if err != nil {
			return err
		}
		fmt.Printf("   %s is cut off. %s took %s over: its MAC is %s.\n", f.Before.Node, f.After.Node, address, f.After.MAC)
		fmt.Printf("   The client was without it for %d ms, and fetches again: %s\n", f.Gap.Milliseconds(), page)
		return s.Cluster.SetLink(f.Before.Node, true)
	})
}

func route(ctx context.Context, s *scenario.Scenario) (address string, err error) {
	fmt.Println("\n4. The stack gets a router, which runs FRR: config/samples/lbstack_v1beta1_loadbalancerstack_routed.yaml")
	err = step(ctx, func(ctx context.Context) error {
		if err := s.Apply(ctx, "lbstack_v1beta1_loadbalancerstack_routed.yaml", "service_routed.yaml"); err != nil {
			return err
		}
		if address, err = s.Address(ctx, scenario.RoutedService); err != nil {
			return err
		}
		page, err := s.Page(ctx, address)
		if err != nil {
			return err
		}
		var nodes []string
		err = eventually.Poll(ctx, func(ctx context.Context) error {
			if nodes, err = s.NextHops(ctx, address); err == nil && len(nodes) < 2 {
				err = fmt.Errorf("the router sends %s to %v", address, nodes)
			}
			return err
		})
		if err != nil {
			return err
		}
		fmt.Printf("   Another Service has the address %s, which is of no local network.\n", address)
		fmt.Printf("   The router learned it by BGP from %s, and spreads connections over them.\n", strings.Join(nodes, ", "))
		fmt.Printf("   The client fetches http://%s/ and gets: %s\n", address, page)
		lost, err := s.LoseRoute(ctx, address, nodes[0], s.Faults()[0])
		if err != nil {
			return err
		}
		fmt.Printf("   The cable of %s is pulled: BFD finds it, and connections to it fail for %d ms, those to the others not at all.\n", nodes[0], lost.Milliseconds())
		return s.Cluster.SetLink(nodes[0], true)
	})
	return address, err
}

func step(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return do(ctx)
}

func farewell(s *scenario.Scenario, address, routed string) string {
	return fmt.Sprintf(`
The cable is in again, and the cluster stays up for you:
   export KUBECONFIG=%s
   bin/devcluster kubectl get lbs,lbpeer,lbspk,svc    what there is
   bin/devcluster exec client -- sh                   a shell on the client; there: curl http://%s/
   bin/devcluster exec router -- vtysh --vty_socket %s -c "show bgp summary"       ask the router; http://%s/ goes through it
   bin/devcluster link node1 down                     pull a cable; pause, kill: see bin/devcluster help
   make demo-down                                     removes the cluster
`, s.Cluster.KubeconfigPath(), address, config.RouterRunDir, routed)
}
