package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// manyRuns is how often a node with many addresses is lost.
const manyRuns = 5

// label is on the Services of this program.
const label = "lbstack.io/bench"

// manyAddresses measures how soon all addresses of a lost node have been announced
// by others.
func (b *bench) manyAddresses(ctx context.Context) error {
	if len(b.many) == 0 {
		return nil
	}
	if err := b.prepare(ctx, "Default"); err != nil {
		return err
	}
	pools := `{"spec":{"ipAddressPools":[{"name":"first-pool","addresses":["192.168.1.240-192.168.1.250"]},{"name":"bench","addresses":["10.77.0.0/20"]}]}}`
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	if err := b.Client.Patch(ctx, stack, client.RawPatch(types.MergePatchType, []byte(pools))); err != nil {
		return fmt.Errorf("adding a pool: %w", err)
	}
	defer b.removeServices(context.WithoutCancel(ctx))
	fmt.Println("\n| addresses on a node whose cable is pulled | runs | first announced (ms) | all announced, best | median | worst |\n|---|---|---|---|---|---|")
	for _, text := range b.many {
		count, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-addresses: %w", err)
		}
		if err := b.services(ctx, count); err != nil {
			return err
		}
		if err := b.idle(ctx, count); err != nil {
			return err
		}
		if err := b.loseMany(ctx, count); err != nil {
			return fmt.Errorf("%d addresses: %w", count, err)
		}
	}
	return nil
}

// services creates a number of Services, and waits until each has an address.
func (b *bench) services(ctx context.Context, count int) error {
	fmt.Fprintf(os.Stderr, "making %d Services\n", count)
	for i := range count {
		svc := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("bench-%d", i), Labels: map[string]string{label: ""},
				Annotations: map[string]string{v1beta1.AnnotationAddressPool: "bench"}},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(bool),
				Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
		}
		if err := b.Client.Create(ctx, svc); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("making a Service: %w", err)
		}
	}
	return b.await(ctx, func(owned map[string]int) error {
		sum := 0
		for _, n := range owned {
			sum += n
		}
		if sum < count {
			return fmt.Errorf("%d of %d addresses are announced", sum, count)
		}
		return nil
	})
}

func (b *bench) loseMany(ctx context.Context, count int) error {
	var first, all []time.Duration
	for run := range manyRuns {
		nodes := b.Cluster.Nodes()
		victim := nodes[run%len(nodes)]
		if err := b.gather(ctx, victim, count); err != nil {
			return err
		}
		begin, end, err := b.cut(ctx, victim, count)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%d addresses, run %d of %d: announced by others after %d to %d ms\n", count, run+1, manyRuns, begin.Milliseconds(), end.Milliseconds())
		first, all = append(first, begin), append(all, end)
	}
	low, mid, high := spread(all)
	_, begin, _ := spread(first)
	fmt.Printf("| %d | %d | %d | %d | %d | %d |\n", count, manyRuns, begin, low, mid, high)
	return nil
}

// gather moves all addresses to one node by draining the others for a while.
func (b *bench) gather(ctx context.Context, node string, count int) error {
	for _, other := range b.Cluster.Nodes() {
		if other == node {
			continue
		}
		if err := b.Drain(ctx, other, true); err != nil {
			return err
		}
		defer func() { _ = b.Drain(context.WithoutCancel(ctx), other, false) }()
	}
	return b.await(ctx, func(owned map[string]int) error {
		if owned[node] < count {
			return fmt.Errorf("%s owns %d of %d addresses", node, owned[node], count)
		}
		return nil
	})
}

func (b *bench) cut(ctx context.Context, victim string, count int) (first, last time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	// The others are drained no more when all have seen it.
	if err := b.whole(ctx); err != nil {
		return 0, 0, err
	}
	wire, err := b.Listen()
	if err != nil {
		return 0, 0, err
	}
	defer wire.Close()
	mac, err := b.Cluster.Exec(ctx, victim, "cat", "/sys/class/net/eth0/address")
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	if err := b.Cluster.SetLink(victim, false); err != nil {
		return 0, 0, err
	}
	defer func() { err = b.heal(ctx, victim, err) }()
	err = eventually.Poll(ctx, func(context.Context) error {
		seen := wire.First(begun, string(mac[:len(mac)-1]))
		first, last = runTimeout, 0
		moved := 0
		for address, at := range seen {
			if netip.MustParsePrefix("10.77.0.0/20").Contains(address) {
				moved++
				first, last = min(first, at.Sub(begun)), max(last, at.Sub(begun))
			}
		}
		if moved < count {
			return fmt.Errorf("%d of %d addresses were announced by others", moved, count)
		}
		return nil
	})
	if missed, failed := wire.Missed(); err == nil && (failed != nil || missed > 0) {
		err = errors.Join(failed, fmt.Errorf("%d announcements were not seen: the figure is invalid", missed))
	}
	return first, last, err
}

func (b *bench) heal(ctx context.Context, node string, failed error) error {
	if err := b.Cluster.SetLink(node, true); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return b.EveryoneSeesEveryone(ctx)
}

func (b *bench) await(ctx context.Context, check func(map[string]int) error) error {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	return eventually.Poll(ctx, func(ctx context.Context) error {
		owned, err := b.Owned(ctx)
		if err != nil {
			return err
		}
		return check(owned)
	})
}

func (b *bench) removeServices(ctx context.Context) {
	if err := b.Client.DeleteAllOf(ctx, &corev1.Service{}, client.InNamespace("default"), client.HasLabels{label}); err != nil {
		fmt.Fprintln(os.Stderr, "removing the Services:", err)
	}
}

func spread(list []time.Duration) (best, median, worst int64) {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[0].Milliseconds(), sorted[len(sorted)/2].Milliseconds(), sorted[len(sorted)-1].Milliseconds()
}
