package paged

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

var kind = schema.GroupResource{Resource: "services"}

// failing refuses all requests until a time.
type failing struct {
	until time.Time
	err   error
	asked atomic.Int32
}

func (f *failing) do() error {
	f.asked.Add(1)
	if time.Now().Before(f.until) {
		return f.err
	}
	return nil
}

func (f *failing) List(metav1.ListOptions) (runtime.Object, error) { panic("the context is missing") }

func (f *failing) Watch(metav1.ListOptions) (watch.Interface, error) { panic("the context is missing") }

func (f *failing) ListWithContext(context.Context, metav1.ListOptions) (runtime.Object, error) {
	return &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}, f.do()
}

func (f *failing) WatchWithContext(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil {
		return nil, apierrors.NewBadRequest("sendInitialEvents is forbidden")
	}
	return watch.NewFake(), f.do()
}

func TestPersistent_InformerHasItsListSoonAfterAnOutage(t *testing.T) {
	for _, err := range []error{
		errors.New("connection reset by peer"), apierrors.NewNotFound(kind, ""), apierrors.NewServiceUnavailable("not ready"),
		apierrors.NewForbidden(kind, "", errors.New("no rules yet")), apierrors.NewUnauthorized("no keys yet"), apierrors.NewTooManyRequests("wait", 1),
	} {
		t.Run(err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const outage = 10 * time.Minute
				source := &failing{until: time.Now().Add(outage), err: err}
				ctx, stop := context.WithCancel(t.Context())
				informer := NewPersistent(cache.NewSharedIndexInformer)(source, &corev1.Service{}, 0, cache.Indexers{})
				begun := time.Now()
				go informer.RunWithContext(ctx)
				if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
					t.Fatal("the informer has not synced")
				}
				if took := time.Since(begun) - outage; took < 0 || took > 4*time.Second {
					t.Errorf("synced %s after the outage, want soon", took)
				}
				if asked, most := int(source.asked.Load()), int(outage/time.Second)+20; asked > most {
					t.Errorf("%d requests within %s, want %d at most", asked, outage, most)
				}
				stop()
				synctest.Wait()
			})
		})
	}
}

func TestPersist_InformerGetsItsWork(t *testing.T) {
	for _, want := range []error{apierrors.NewResourceExpired("too old"), apierrors.NewBadRequest("no streams")} {
		calls := 0
		if got := retryRequest(t.Context(), func() error { calls++; return want }); !errors.Is(got, want) || calls != 1 {
			t.Errorf("got %v after %d requests, want %v after one", got, calls, want)
		}
	}
}
