package seen

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/cache"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/backoff"
)

// settle collects the changes that follow one that was looked at.
const settle = 2 * time.Millisecond

// again is how soon it is tried again to watch a kind. All speakers of a cluster wait for
// the same API server; it waits for none of them for long.
var again = backoff.Exponential{First: 500 * time.Millisecond, Last: 5 * time.Second}

// Source says what happens in the cluster.
type Source struct {
	// Cache of the cluster.
	Cache crcache.Cache
	// Kinds are watched.
	Kinds []client.Object
	// Counts says which of their objects count.
	Counts func(client.Object) bool
	// Rest is how many times as long as the last look it is until the next one, at least:
	// a large cluster whose nodes or advertisements change all the time must not cost
	// every node a processor. 0 where nothing may wait.
	Rest int
	Log  logr.Logger
}

// Run has a function look at everything once all objects have been seen, and at what is
// news after each change, until the context ends.
func (s Source) Run(ctx context.Context, look func(News)) error {
	store := NewStore(s.Counts)
	var synced []cache.InformerSynced
	for _, kind := range s.Kinds {
		has, err := s.subscribe(ctx, kind, store.Handler())
		if err != nil {
			return err
		}
		if has == nil {
			return nil // the context ended
		}
		synced = append(synced, has)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil // the context ended
	}
	store.run(ctx, s.Rest, look)
	return nil
}

// subscribe watches a kind, however long the API server is away: to end, and to be
// started again ever more seldom, would keep the node out for minutes after it is back.
func (s Source) subscribe(ctx context.Context, kind client.Object, h cache.ResourceEventHandler) (cache.InformerSynced, error) {
	for failures := 1; ctx.Err() == nil; failures++ {
		informer, err := s.Cache.GetInformer(ctx, kind)
		if err == nil {
			registered, err := informer.AddEventHandler(h)
			if err != nil {
				return nil, fmt.Errorf("watching %T: %w", kind, err)
			}
			return registered.HasSynced, nil
		}
		if ctx.Err() != nil {
			break
		}
		s.Log.Error(err, "watching the cluster; trying again", "kind", fmt.Sprintf("%T", kind))
		select {
		case <-ctx.Done():
		case <-time.After(again.After(failures)):
		}
	}
	return nil, nil
}

// run looks once, and after each change, and rests between two looks. A change that comes
// when all is quiet is looked at in that moment: where processors are busy to sleep even
// for two milliseconds is to stand in line once more.
func (s *Store) run(ctx context.Context, rest int, look func(News)) {
	for {
		began := time.Now()
		s.Look(look)
		next := time.Now().Add(max(settle, time.Duration(rest)*time.Since(began)))
		select {
		case <-ctx.Done():
			return
		case <-s.news:
		}
		wait := time.Until(next)
		if wait <= 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
