package externalips

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

func service(name string, externalIPs ...string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{ExternalIPs: externalIPs}}
}

func reported(svc *corev1.Service) *corev1.Service {
	svc.Status.Conditions = []metav1.Condition{{Type: v1beta1.ServiceExternalIPConflict}}
	return svc
}

// recorded is a store that notes which Services have changed.
type recorded struct {
	store
	mu   sync.Mutex
	keys []string
}

func newRecorded(most int) *recorded {
	r := &recorded{}
	r.store = store{index: newIndex(most), log: logr.Discard(), changed: func(key lb.ServiceKey, touched []netip.Addr) {
		r.mu.Lock()
		defer r.mu.Unlock()
		slices.SortFunc(touched, netip.Addr.Compare)
		r.keys = append(r.keys, fmt.Sprint(key.Name, slices.Compact(touched)))
	}}
	return r
}

// take returns what has changed since the last call, in order.
func (r *recorded) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := r.keys
	r.keys = nil
	slices.Sort(keys)
	return keys
}

func (r *recorded) names() []string {
	var names []string
	for _, key := range r.index.keys() {
		names = append(names, key.Name)
	}
	slices.Sort(names)
	return names
}

func TestStore(t *testing.T) {
	s := newRecorded(100)
	steps := []struct {
		name    string
		do      func() error
		changed []string
		kept    []string
		of1     int // Services that list 10.9.0.1
	}{
		{"Service without externalIPs is not kept", func() error { return s.Add(service("plain")) }, nil, nil, 0},
		{"Service with externalIPs is kept", func() error { return s.Add(service("a", "10.9.0.1")) }, []string{"a[10.9.0.1]"}, []string{"a"}, 1},
		{"edit names the addresses before and after", func() error { return s.Update(service("a", "10.9.0.2")) }, []string{"a[10.9.0.1 10.9.0.2]"}, []string{"a"}, 0},
		{"Service with the condition alone is kept", func() error { return s.Add(reported(service("b"))) }, []string{"b[]"}, []string{"a", "b"}, 0},
		{"Service without externalIPs and condition is dropped", func() error { return s.Update(service("b")) }, []string{"b[]"}, []string{"a"}, 0},
		{"deletion of an unknown Service is nothing", func() error { return s.Delete(service("plain")) }, nil, []string{"a"}, 0},
		{"deletion names the addresses", func() error { return s.Delete(service("a", "10.9.0.2")) }, []string{"a[10.9.0.2]"}, nil, 0},
		{"list adds", func() error { return s.Replace([]any{service("c", "10.9.0.1"), service("d", "10.9.0.1")}, "") }, []string{"c[10.9.0.1]", "d[10.9.0.1]"}, []string{"c", "d"}, 2},
		{"list removes what is not in it", func() error { return s.Replace([]any{service("d", "10.9.0.1")}, "") }, []string{"c[10.9.0.1]", "d[10.9.0.1]"}, []string{"d"}, 1},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.changed, s.take()); diff != "" {
			t.Errorf("%s: changed (-want +got):\n%s", step.name, diff)
		}
		if diff := cmp.Diff(step.kept, s.names()); diff != "" {
			t.Errorf("%s: kept (-want +got):\n%s", step.name, diff)
		}
		if got := len(s.index.with(netip.MustParseAddr("10.9.0.1"))); got != step.of1 {
			t.Errorf("%s: Services with 10.9.0.1: got %d, want %d", step.name, got, step.of1)
		}
	}
	if !s.index.isListed() {
		t.Error("after a list: got an index that is not complete")
	}
}

func TestStore_Bound(t *testing.T) {
	s := newRecorded(3)
	for _, svc := range []*corev1.Service{service("a", "10.9.0.1", "10.9.0.2"), service("b", "10.9.0.3", "10.9.0.4"), service("c", "10.9.0.5"), reported(service("d", "10.9.0.6"))} {
		if err := s.Add(svc); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a", "c", "d"}, s.names()); diff != "" {
		t.Errorf("kept within 3 addresses (-want +got):\n%s", diff)
	}
	if s.index.count != 3 {
		t.Errorf("addresses: got %d, want 3", s.index.count)
	}
	for _, name := range []string{"a", "c", "d"} {
		if err := s.Delete(service(name)); err != nil {
			t.Fatal(err)
		}
	}
	if s.index.count != 0 || len(s.index.listedBy) != 0 {
		t.Errorf("after all are gone: got %d addresses and %d lists, want none", s.index.count, len(s.index.listedBy))
	}
}

// The reflector fills the store and ends with its context.
func TestReflector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRecorded(100)
		source := watch.NewFake()
		lw := &cache.ListWatch{
			ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
				return &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: []corev1.Service{*service("a", "10.9.0.1"), *service("plain")}}, nil
			},
			WatchFuncWithContext: func(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
				if options.SendInitialEvents != nil {
					return nil, fmt.Errorf("streaming lists are not supported")
				}
				return source, nil
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			cache.NewReflectorWithOptions(lw, &corev1.Service{}, &s.store, cache.ReflectorOptions{Name: "test"}).RunWithContext(ctx)
		}()
		synctest.Wait()
		svc := service("b", "10.9.0.1")
		svc.ResourceVersion = "2"
		source.Add(svc)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b"}, s.names()); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
		source.Delete(svc)
		synctest.Wait()
		if got := s.index.with(netip.MustParseAddr("10.9.0.1")); len(got) != 1 {
			t.Errorf("after the deletion: got %v, want one Service", got)
		}
		cancel()
		<-done
	})
}
