package paged

import (
	"context"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// NewInformerFunc is a function that makes an informer, as in the field NewInformer of controller-runtime's
// cache.Options.
type NewInformerFunc func(cache.ListerWatcher, runtime.Object, time.Duration, cache.Indexers) cache.SharedIndexInformer

// NewInformers returns a function that makes an informer. The given kinds are the kinds that tenants write.
// Their informers list the objects in pages, and apply their transform to each page. An informer of client-go
// would decode all objects before it applies the transform. Only one of these informers has a page in memory
// at a time. If the API server streams lists (Kubernetes 1.34 and later), informers receive all objects by a
// watch. They send no list requests then, and read no pages.
func NewInformers(kinds ...runtime.Object) NewInformerFunc {
	turn := make(chan struct{}, 1)
	return func(lw cache.ListerWatcher, object runtime.Object, resync time.Duration, indexers cache.Indexers) cache.SharedIndexInformer {
		same := func(kind runtime.Object) bool { return reflect.TypeOf(kind) == reflect.TypeOf(object) }
		if !slices.ContainsFunc(kinds, same) {
			return cache.NewSharedIndexInformer(lw, object, resync, indexers)
		}
		source := cache.ToListerWatcherWithContext(lw)
		i := &pagedInformer{transform: func(in any) (any, error) { return in, nil }}
		i.SharedIndexInformer = cache.NewSharedIndexInformer(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
				return listPages(options, func(options metav1.ListOptions) (*internalversion.List, error) {
					select {
					case turn <- struct{}{}:
						defer func() { <-turn }()
						return readPage(ctx, source.ListWithContext, options, i.transform)
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				})
			},
			WatchFuncWithContext: source.WatchWithContext,
		}, object, resync, indexers)
		return i
	}
}

// pagedInformer is an informer that lists in pages. Its transform is set before it starts.
type pagedInformer struct {
	cache.SharedIndexInformer
	transform cache.TransformFunc
}

// SetTransform implements cache.SharedInformer.
func (i *pagedInformer) SetTransform(transform cache.TransformFunc) error {
	if err := i.SharedIndexInformer.SetTransform(transform); err != nil {
		return err
	}
	if transform != nil {
		i.transform = transform
	}
	return nil
}
