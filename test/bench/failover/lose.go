package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/scenario"
)

// prepare has the sample Service served, with a profile of failure detection.
func (b *bench) prepare(ctx context.Context, profile string) error {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	if err := b.Apply(ctx, "lbstack_v1beta1_loadbalancerstack.yaml", "web.yaml", "service.yaml"); err != nil {
		return err
	}
	stack := &v1beta1.LoadBalancerStack{}
	stack.Name = v1beta1.LoadBalancerStackName
	patch := fmt.Sprintf(`{"spec":{"layer2":{"failureDetection":%q}}}`, profile)
	if err := b.Client.Patch(ctx, stack, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("setting the profile: %w", err)
	}
	return b.whole(ctx)
}

// whole waits until the bed works without a failure.
func (b *bench) whole(ctx context.Context) error {
	if err := b.StackReady(ctx); err != nil {
		return err
	}
	return b.EveryoneSeesEveryone(ctx)
}

// lostOwners loses the owner of an address in several ways, under each profile.
func (b *bench) lostOwners(ctx context.Context) error {
	fmt.Println("\n| owner lost, client connecting every 5 ms | profile | runs | figure (ms) | best | median | p90 | worst |\n|---|---|---|---|---|---|---|---|")
	for _, profile := range b.profiles {
		if err := b.prepare(ctx, profile); err != nil {
			return err
		}
		for _, fault := range b.Faults() {
			if err := b.lose(ctx, profile, fault); err != nil {
				return fmt.Errorf("%s, %s: %w", profile, fault.Name, err)
			}
		}
	}
	return nil
}

func (b *bench) lose(ctx context.Context, profile string, fault scenario.Fault) error {
	var taken, gaps []time.Duration
	for i := range b.runs {
		f, err := b.loseOnce(ctx, fault)
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
		fmt.Fprintf(os.Stderr, "%s, %s, run %2d of %d: taken over after %d ms, client without it for %d ms\n",
			profile, fault.Name, i+1, b.runs, f.TakenOver.Milliseconds(), f.Gap.Milliseconds())
		taken = append(taken, f.TakenOver)
		if f.Gap > 0 {
			gaps = append(gaps, f.Gap)
		}
	}
	row(fault.Name, profile, "until the next owner announces", taken)
	row(fault.Name, profile, "client without the address", gaps)
	return nil
}

func (b *bench) loseOnce(ctx context.Context, fault scenario.Fault) (scenario.Failover, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	if err := b.EveryoneSeesEveryone(ctx); err != nil {
		return scenario.Failover{}, err
	}
	address, err := b.Address(ctx, scenario.SampleService)
	if err != nil {
		return scenario.Failover{}, err
	}
	if _, err := b.Page(ctx, address); err != nil {
		return scenario.Failover{}, err
	}
	f, err := b.LoseOwner(ctx, address, fault)
	if err != nil {
		return f, err
	}
	return f, fault.Heal(ctx, f.Before.Node)
}
