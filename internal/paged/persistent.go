package paged

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/lbstack/lbstack/internal/backoff"
)

// NewPersistent returns a function that makes informers which repeat a failed list or watch within two seconds.
// It is meant for programs with few instances. An API server that has just started refuses requests for some
// seconds, until it has loaded CustomResourceDefinitions and authorization rules. After such failures the
// informers of client-go would wait for up to a minute.
func NewPersistent(next NewInformerFunc) NewInformerFunc {
	return func(lw cache.ListerWatcher, object runtime.Object, resync time.Duration, indexers cache.Indexers) cache.SharedIndexInformer {
		source := cache.ToListerWatcherWithContext(lw)
		return next(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (list runtime.Object, err error) {
				return list, retryRequest(ctx, func() error {
					list, err = source.ListWithContext(ctx, options)
					return err
				})
			},
			WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (w watch.Interface, err error) {
				return w, retryRequest(ctx, func() error {
					w, err = source.WatchWithContext(ctx, options)
					return err
				})
			},
		}, object, resync, indexers)
	}
}

// retryBackoff is the back-off between two attempts of a request.
var retryBackoff = backoff.Exponential{First: 200 * time.Millisecond, Last: 2 * time.Second}

// logInterval is the time between two log lines about failures in a row.
const logInterval = time.Minute

// retryRequest repeats a request until it succeeds, until the context ends, or until it fails with an error
// that the informer must handle.
func retryRequest(ctx context.Context, request func() error) error {
	var logged time.Time
	for failures := 1; ; failures++ {
		err := request()
		if err == nil || isForInformer(err) {
			return err
		}
		if now := time.Now(); now.Sub(logged) >= logInterval {
			klog.FromContext(ctx).Error(err, "Listing or watching objects of the API server failed; trying again every two seconds")
			logged = now
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryBackoff.Wait(failures)):
		}
	}
}

// isForInformer reports whether the informer must handle an error. The informer then sends a different
// request: with another resource version, or without streaming.
func isForInformer(err error) bool {
	return apierrors.IsGone(err) || apierrors.IsResourceExpired(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}
