package externalips

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/paged"
)

// newListerWatcher lists and watches the Services that are not of type LoadBalancer. If the API server does
// not stream the list, it is read in pages, and each page is trimmed before the next one is read.
func newListerWatcher(c client.WithWatch) cache.ListerWatcher {
	others := fields.OneTermNotEqualSelector("spec.type", string(corev1.ServiceTypeLoadBalancer))
	list := func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		into := &corev1.ServiceList{}
		err := c.List(ctx, into, &client.ListOptions{FieldSelector: others, Limit: options.Limit, Continue: options.Continue})
		if err != nil {
			return nil, fmt.Errorf("listing the Services that are not of type LoadBalancer: %w", err)
		}
		return into, nil
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return paged.ListAll(ctx, list, options, trimService)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return c.Watch(ctx, &corev1.ServiceList{}, &client.ListOptions{FieldSelector: others, Raw: &options})
		},
	}
}

func trimService(in any) (any, error) {
	if svc, ok := in.(*corev1.Service); ok {
		return apiconv.TrimToExternalIPs(svc), nil
	}
	return in, nil
}

// indexStore updates the index for a reflector. It calls changed for each Service that is added, updated
// or removed, with the addresses that it listed before and lists now. It also calls changed, without
// addresses, for each other Service whose addresses the full index (maxIndexedAddresses) leaves out now, or
// has room for again.
type indexStore struct {
	index   *serviceIndex
	changed func(key lb.ServiceKey, touched []netip.Addr)
}

var _ cache.TransformingStore = (*indexStore)(nil)

// Transformer implements cache.TransformingStore.
func (s *indexStore) Transformer() cache.TransformFunc { return trimService }

// Add implements cache.ReflectorStore.
func (s *indexStore) Add(object any) error {
	svc, ok := object.(*corev1.Service)
	if !ok {
		return fmt.Errorf("the API server sent a %T instead of a Service", object)
	}
	key, next := apiconv.KeyOf(svc), newServiceEntry(svc)
	if _, had := s.index.get(key); !had && next.isEmpty() {
		return nil // almost no Service has externalIPs
	}
	touched, evicted := s.index.put(key, next)
	s.changed(key, touched)
	for _, other := range evicted {
		s.changed(other, nil)
	}
	s.requestReadmissions()
	return nil
}

// Update implements cache.ReflectorStore.
func (s *indexStore) Update(object any) error { return s.Add(object) }

// Delete implements cache.ReflectorStore.
func (s *indexStore) Delete(object any) error {
	svc, ok := object.(*corev1.Service)
	if !ok {
		return fmt.Errorf("the API server sent a %T instead of a Service", object)
	}
	key := apiconv.KeyOf(svc)
	if _, had := s.index.get(key); had {
		s.changed(key, s.index.remove(key))
		s.requestReadmissions()
	}
	return nil
}

// requestReadmissions calls changed for the Services that the index left out and has room for now.
func (s *indexStore) requestReadmissions() {
	for _, key := range s.index.servicesToReadmit() {
		s.changed(key, nil)
	}
}

// Replace implements cache.ReflectorStore.
func (s *indexStore) Replace(list []any, _ string) error {
	there := make(map[lb.ServiceKey]bool, len(list))
	for _, object := range list {
		if svc, ok := object.(*corev1.Service); ok {
			there[apiconv.KeyOf(svc)] = true
		}
	}
	for _, key := range s.index.serviceKeys() {
		if !there[key] {
			s.changed(key, s.index.remove(key))
		}
	}
	for _, object := range list {
		if err := s.Add(object); err != nil {
			return err
		}
	}
	s.index.setListed()
	return nil
}

// Resync implements cache.ReflectorStore; there is nothing to do.
func (s *indexStore) Resync() error { return nil }
