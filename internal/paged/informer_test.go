package paged

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// source lists so many Services in pages, and refuses to stream them, as API servers before
// Kubernetes 1.34 do.
type source struct {
	services int
	reading  *atomic.Int32 // that have a page that is not trimmed
	most     atomic.Int32

	mu    sync.Mutex
	asked []metav1.ListOptions
}

func (s *source) List(metav1.ListOptions) (runtime.Object, error) { panic("the context is missing") }

func (s *source) Watch(metav1.ListOptions) (watch.Interface, error) { panic("the context is missing") }

func (s *source) ListWithContext(_ context.Context, options metav1.ListOptions) (runtime.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, options)
	from, _ := strconv.Atoi(options.Continue)
	list := &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
	to := s.services
	if options.Limit > 0 && options.ResourceVersion != "0" {
		to = min(to, from+int(options.Limit))
	}
	for i := from; i < to; i++ {
		list.Items = append(list.Items, corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: strconv.Itoa(100 + i), Labels: map[string]string{"large": "one"}}})
	}
	if to < s.services {
		list.Continue = strconv.Itoa(to)
	}
	s.most.Store(max(s.most.Load(), s.reading.Add(int32(len(list.Items)))))
	return list, nil
}

func (s *source) WatchWithContext(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil {
		return nil, apierrors.NewBadRequest("sendInitialEvents is forbidden")
	}
	return watch.NewFake(), nil
}

func (s *source) trim(in any) (any, error) {
	if svc, ok := in.(*corev1.Service); ok && svc.Labels != nil {
		s.reading.Add(-1)
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: svc.Name}}, nil
	}
	return in, nil
}

func TestInformers_ListInPagesThatAreTrimmedOneAtATime(t *testing.T) {
	newInformer := NewInformers(&corev1.Service{})
	var reading atomic.Int32
	sources := map[*source]cache.SharedIndexInformer{{services: 3*pageSize + 1, reading: &reading}: nil, {services: 2 * pageSize, reading: &reading}: nil}
	var ended sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer ended.Wait()
	defer cancel()
	for s := range sources {
		informer := newInformer(s, &corev1.Service{}, 0, cache.Indexers{})
		if err := informer.SetTransform(s.trim); err != nil {
			t.Fatal(err)
		}
		ended.Go(func() { informer.RunWithContext(ctx) })
		sources[s] = informer
	}
	for s, informer := range sources {
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			t.Fatal("the informer has not listed")
		}
		trimmed := 0
		for _, object := range informer.GetStore().List() {
			if object.(*corev1.Service).Labels == nil {
				trimmed++
			}
		}
		if trimmed != s.services {
			t.Errorf("trimmed Services: got %d, want %d", trimmed, s.services)
		}
		if most := s.most.Load(); most > pageSize {
			t.Errorf("Services at a time that were not trimmed: got %d, want at most %d", most, pageSize)
		}
		s.mu.Lock()
		for i, got := range s.asked {
			want := metav1.ListOptions{Limit: pageSize}
			if i > 0 {
				want.Continue = strconv.Itoa(i * pageSize)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("page %d (-want +got):\n%s", i, diff)
			}
		}
		s.mu.Unlock()
	}
}

func TestInformers_OfOtherKindsListAsClientGoDoes(t *testing.T) {
	informer := NewInformers(&corev1.Service{})(&source{}, &corev1.Node{}, 0, cache.Indexers{})
	if paged, ok := informer.(*pagedInformer); ok {
		t.Errorf("informer of Nodes: got %T, want that of client-go", paged)
	}
}
