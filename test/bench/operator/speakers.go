package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/apiserver"
)

// informed has the informer stores of a number of speakers, with a watch each. seen receives the range of the changed pool
// once from each store.
type informed struct {
	count int
	seen  chan v1beta1.AddressRange
	end   func() error
}

// inform starts the stores, and waits until each has the pools.
func inform(ctx context.Context, config *rest.Config, count int) (*informed, error) {
	ctx, cancel := context.WithCancel(ctx)
	i := &informed{count: count, seen: make(chan v1beta1.AddressRange, 16*count)}
	ended := make(chan error, count)
	started := 0
	i.end = func() (err error) {
		cancel()
		for range started {
			err = errors.Join(err, <-ended)
		}
		return err
	}
	for range count {
		store, err := cache.New(rest.CopyConfig(config), cache.Options{Scheme: apiserver.Scheme()})
		if err != nil {
			return i, fmt.Errorf("preparing an informer store: %w", err)
		}
		started++
		go func() { ended <- store.Start(ctx) }()
		informer, err := store.GetInformer(ctx, &v1beta1.IPAddressPool{})
		if err != nil {
			return i, fmt.Errorf("watching the pools: %w", err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{UpdateFunc: func(_, now any) { i.note(ctx, now) }}); err != nil {
			return i, fmt.Errorf("watching the pools: %w", err)
		}
	}
	return i, nil
}

func (i *informed) note(ctx context.Context, object any) {
	pool, is := object.(*v1beta1.IPAddressPool)
	if !is || pool.Name != poolOf || len(pool.Spec.Addresses) != 1 {
		return
	}
	select {
	case i.seen <- pool.Spec.Addresses[0]:
	case <-ctx.Done():
	}
}

// spread changes a pool in the stack, and returns how long it takes until the last of the speakers has it.
func (b *bed) spread(ctx context.Context, run int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stack := &v1beta1.LoadBalancerStack{}
	if err := b.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
		return 0, fmt.Errorf("reading the stack: %w", err)
	}
	want := addresses(0, run+1)
	if stack.Spec.IPAddressPools[0].Addresses[0] == want { // of the run of another figure
		want = addresses(0, run+2)
	}
	begun := time.Now()
	if err := b.patch(ctx, fmt.Sprintf(`[{"op":"replace","path":"/spec/ipAddressPools/0/addresses/0","value":%q}]`, want)); err != nil {
		return 0, err
	}
	for have := 0; have < b.speakers.count; {
		select {
		case is := <-b.speakers.seen:
			if is == want {
				have++
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d speakers had the pool as %s within %s", have, b.speakers.count, want, limit)
		}
	}
	return time.Since(begun), nil
}
