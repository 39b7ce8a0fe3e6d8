package externalips

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

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

// recorded is a store that records the changed Services.
type recorded struct {
	indexStore
	mu   sync.Mutex
	keys []string
}

func newRecorded(most int) *recorded {
	r := &recorded{}
	r.indexStore = indexStore{index: newServiceIndex(most), changed: func(key lb.ServiceKey, touched []netip.Addr) {
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
	for _, key := range r.index.serviceKeys() {
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
		if got := len(s.index.servicesListing(netip.MustParseAddr("10.9.0.1"))); got != step.of1 {
			t.Errorf("%s: Services with 10.9.0.1: got %d, want %d", step.name, got, step.of1)
		}
	}
	if !s.index.isListed() {
		t.Error("after a list: got an index that is not complete")
	}
}

// in moves a Service to another namespace.
func in(namespace string, svc *corev1.Service) *corev1.Service {
	svc.Namespace = namespace
	return svc
}

func TestStore_Bound(t *testing.T) {
	for _, tt := range []struct {
		name string
		most int
		add  []*corev1.Service
		over []string // Services that are not compared
	}{
		{"all fit", 3, []*corev1.Service{service("a", "10.9.0.1", "10.9.0.2"), service("b", "10.9.0.3")}, nil},
		{"the last one of the only namespace does not", 3, []*corev1.Service{service("a", "10.9.0.1", "10.9.0.2"), service("b", "10.9.0.3", "10.9.0.4"), service("c", "10.9.0.5")}, []string{"shop/b"}},
		{"the namespace that lists most gives way to another one", 3, []*corev1.Service{service("a", "10.9.0.1"), service("b", "10.9.0.3", "10.9.0.4"), in("small", service("c", "10.9.0.5"))}, []string{"shop/b"}},
		{"and no more than is needed", 4, []*corev1.Service{service("a", "10.9.0.1", "10.9.0.2"), service("b", "10.9.0.3", "10.9.0.4"), in("small", service("c", "10.9.0.5", "10.9.0.6"))}, []string{"shop/a"}},
		{"among equals who comes last does not fit", 2, []*corev1.Service{service("a", "10.9.0.1"), in("other", service("b", "10.9.0.2")), in("third", service("c", "10.9.0.3", "10.9.0.4"))}, []string{"third/c"}},
		{"a namespace of one address always fits beside one of many", 3, []*corev1.Service{service("a", "10.9.0.1"), service("b", "10.9.0.2"), service("c", "10.9.0.3"), in("small", service("d", "10.9.0.4"))}, []string{"shop/a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newRecorded(tt.most)
			for _, svc := range tt.add {
				if err := s.Add(svc); err != nil {
					t.Fatal(err)
				}
				if s.index.count > tt.most {
					t.Fatalf("after %s: got %d addresses, want %d at most", svc.Name, s.index.count, tt.most)
				}
			}
			var over []string
			for _, key := range s.index.serviceKeys() {
				if e, _ := s.index.get(key); e.over > 0 {
					over = append(over, key.String())
				}
			}
			slices.Sort(over)
			if diff := cmp.Diff(tt.over, over); diff != "" {
				t.Errorf("not compared (-want +got):\n%s", diff)
			}
			for _, svc := range tt.add {
				if err := s.Delete(svc); err != nil {
					t.Fatal(err)
				}
			}
			if x := s.index; x.count != 0 || len(x.listedBy) != 0 || len(x.namespaces) != 0 || len(x.over) != 0 || len(x.services) != 0 {
				t.Errorf("after all are gone: got %d addresses, %v, %v, %v, %v, want none", x.count, x.listedBy, x.namespaces, x.over, x.services)
			}
		})
	}
}

// A Service that is left out is reconciled, and reconciled again when there is room.
func TestStore_LeftOut(t *testing.T) {
	s := newRecorded(2)
	for _, svc := range []*corev1.Service{service("a", "10.9.0.1"), service("b", "10.9.0.2")} {
		if err := s.Add(svc); err != nil {
			t.Fatal(err)
		}
	}
	s.take()
	small := in("small", service("c", "10.9.0.3"))
	if err := s.Add(small); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a[]", "c[10.9.0.1 10.9.0.3]"}, s.take()); diff != "" {
		t.Errorf("one gives way: changed (-want +got):\n%s", diff)
	}
	a := lb.ServiceKey{Namespace: "shop", Name: "a"}
	if s.index.readmit(a, newServiceEntry(service("a", "10.9.0.1"))) {
		t.Error("got a Service back for which there is no room")
	}
	if err := s.Delete(small); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a[]", "c[10.9.0.3]"}, s.take()); diff != "" {
		t.Errorf("there is room again: changed (-want +got):\n%s", diff)
	}
	edited := service("a", "10.9.0.7")
	edited.Generation++
	if s.index.readmit(a, newServiceEntry(edited)) {
		t.Error("got a Service back of which something else is known since")
	}
	if !s.index.readmit(a, newServiceEntry(service("a", "10.9.0.1"))) || len(s.index.servicesListing(netip.MustParseAddr("10.9.0.1"))) != 1 {
		t.Error("got no addresses of the Service for which there is room")
	}
	if s.index.readmit(a, newServiceEntry(service("a", "10.9.0.1"))) {
		t.Error("got a Service back that was not left out")
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
			cache.NewReflectorWithOptions(lw, &corev1.Service{}, &s.indexStore, cache.ReflectorOptions{Name: "test"}).RunWithContext(ctx)
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
		if got := s.index.servicesListing(netip.MustParseAddr("10.9.0.1")); len(got) != 1 {
			t.Errorf("after the deletion: got %v, want one Service", got)
		}
		cancel()
		<-done
	})
}
