package informers

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	crcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/backoff"
)

// minReadPause is the shortest pause between two reads: changes that arrive meanwhile are read together.
const minReadPause = 2 * time.Millisecond

// watchBackOff is the back-off between attempts to watch a kind. Its bound is short, so that all speakers
// of a cluster work again soon after the API server is back.
var watchBackOff = backoff.Exponential{First: 500 * time.Millisecond, Last: 5 * time.Second}

// Source fills one store from the informers of a cache. Make it with NewSource.
type Source struct {
	cache crcache.Cache
	log   logr.Logger
	store *Store

	mu    sync.Mutex
	kinds map[reflect.Type]*watchedKind
}

// watchedKind is a kind of objects, which is watched once for all readers.
type watchedKind struct {
	mu     sync.Mutex           // held until the kind is watched
	synced cache.InformerSynced // nil: the kind is not watched yet
}

// NewSource returns a source of the objects of a cache. The parameter namespace is the namespace of the
// speakers.
func NewSource(from crcache.Cache, namespace string, log logr.Logger) *Source {
	return &Source{cache: from, log: log, store: NewStore(NamespaceFilter(namespace)), kinds: map[reflect.Type]*watchedKind{}}
}

// NamespaceFilter returns a function that reports whether an object belongs in the store. The only pods in
// the store are those of the speakers, and the only Secret is the one with the passwords of BGP sessions.
// Both are in the given namespace. The store has all objects of other kinds.
func NamespaceFilter(namespace string) func(client.Object) bool {
	return func(o client.Object) bool {
		switch o.(type) {
		case *corev1.Secret:
			return o.GetNamespace() == namespace && o.GetName() == apiconv.PasswordsSecretName
		case *corev1.Pod:
			return o.GetNamespace() == namespace && o.GetLabels()[v1beta1.LabelComponent] == "speaker"
		}
		return true
	}
}

// Run waits until all objects of the given kinds are in the store, and then calls the function read with
// them. After that, it calls read with the changes after each change, until the context ends. The pause
// between two calls is at least rest times as long as the last call took; 0: there is no such pause. The
// pause keeps the calls from occupying a processor on every node of a large cluster whose nodes or
// advertisements change all the time.
func (s *Source) Run(ctx context.Context, rest int, read func(Changes), kinds ...client.Object) error {
	reader := s.store.NewReader(kinds...)
	var synced []cache.InformerSynced
	for _, kind := range kinds {
		has, err := s.watchOnce(ctx, kind)
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
	reader.readInLoop(ctx, rest, read)
	return nil
}

// watchOnce begins to watch a kind, unless it is watched already.
func (s *Source) watchOnce(ctx context.Context, object client.Object) (cache.InformerSynced, error) {
	s.mu.Lock()
	of := s.kinds[reflect.TypeOf(object)]
	if of == nil {
		of = &watchedKind{}
		s.kinds[reflect.TypeOf(object)] = of
	}
	s.mu.Unlock()
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.synced != nil {
		return of.synced, nil
	}
	synced, err := s.watchWithRetry(ctx, object)
	of.synced = synced
	return synced, err
}

// watchWithRetry begins to watch a kind, and retries after failures until the context ends. If the speaker
// ended instead, the kubelet would restart it after longer and longer pauses, and the speaker might not run
// for minutes after the API server is back.
func (s *Source) watchWithRetry(ctx context.Context, kind client.Object) (cache.InformerSynced, error) {
	for failures := 1; ctx.Err() == nil; failures++ {
		informer, err := s.cache.GetInformer(ctx, kind)
		if err == nil {
			registered, err := informer.AddEventHandler(s.store.Handler())
			if err != nil {
				return nil, fmt.Errorf("watching %T: %w", kind, err)
			}
			return registered.HasSynced, nil
		}
		if ctx.Err() != nil {
			break
		}
		s.log.Error(err, "watching the objects of a kind failed; trying again", "kind", fmt.Sprintf("%T", kind))
		select {
		case <-ctx.Done():
		case <-time.After(watchBackOff.Wait(failures)):
		}
	}
	return nil, nil
}
