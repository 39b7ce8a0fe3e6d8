// Package seen has what a speaker has seen of the cluster, and says what of it is news,
// so that a change of a Service costs the same in a small cluster and in a large one.
package seen

import (
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// Store has the objects that were seen, and which of them are news. They are those of
// the cache, and must not be changed. Make it with NewStore.
type Store struct {
	counts func(client.Object) bool
	news   chan struct{} // holds one token when there is news

	mu       sync.Mutex
	services map[lb.ServiceKey]*corev1.Service // of type LoadBalancer
	slices   map[lb.ServiceKey][]*discoveryv1.EndpointSlice
	claims   map[netip.Addr]*v1beta1.IPAddressClaim
	// namespaces are the labels of each.
	namespaces map[string]map[string]string
	others     map[reflect.Type]map[client.ObjectKey]client.Object
	nodes      apiconv.NodeNames // of the nodes among the others
	pending    News
}

// NewStore returns a store that has seen nothing. Objects that do not count are as if
// they were not there.
func NewStore(counts func(client.Object) bool) *Store {
	s := &Store{
		counts: counts, news: make(chan struct{}, 1), services: map[lb.ServiceKey]*corev1.Service{},
		slices: map[lb.ServiceKey][]*discoveryv1.EndpointSlice{}, claims: map[netip.Addr]*v1beta1.IPAddressClaim{}, namespaces: map[string]map[string]string{},
		others: map[reflect.Type]map[client.ObjectKey]client.Object{}, nodes: apiconv.NodeNames{},
	}
	s.pending = s.nothing()
	s.pending.First = true
	return s
}

// Note says that an object is there as it is, or is not there any more.
func (s *Store) Note(object client.Object, there bool) {
	at := time.Now() // a look at what came before may hold the lock
	there = there && s.counts(object)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.put(object, there) {
		return
	}
	if s.pending.Seen.IsZero() {
		s.pending.Seen = at
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// Look has a function look at what was noted since the last time. Nothing is noted
// meanwhile.
func (s *Store) Look(look func(News)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.news: // all of it is about to be looked at
	default:
	}
	news := s.pending
	s.pending = s.nothing()
	look(news)
}

// put says whether that is news.
func (s *Store) put(object client.Object, there bool) bool {
	switch o := object.(type) {
	case *corev1.Service:
		key := apiconv.KeyOf(o)
		return keep(s.services, key, o, there && o.Spec.Type == corev1.ServiceTypeLoadBalancer) && mark(s.pending.services, key)
	case *discoveryv1.EndpointSlice:
		return s.putSlice(o, there)
	case *v1beta1.IPAddressClaim:
		return s.putClaim(o, there)
	case *metav1.PartialObjectMetadata:
		return s.putNamespace(o, there)
	case *corev1.Node:
		s.nameNode(lb.NodeName(o.Name), there)
	}
	kind := reflect.TypeOf(object)
	if s.others[kind] == nil {
		s.others[kind] = map[client.ObjectKey]client.Object{}
	}
	return keep(s.others[kind], client.ObjectKeyFromObject(object), object, there) && mark(s.pending.kinds, kind)
}

// Namespaces is the kind of namespaces, of which only the metadata is watched.
func Namespaces() client.Object {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return o
}

// putNamespace takes in the labels of a namespace: they are news of each of its Services.
func (s *Store) putNamespace(o *metav1.PartialObjectMetadata, there bool) bool {
	keep(s.namespaces, o.Name, o.Labels, there)
	if s.pending.First {
		return false // all Services are news
	}
	news := false
	for key := range s.services {
		if key.Namespace == o.Name {
			news = mark(s.pending.services, key)
		}
	}
	return news
}

func (s *Store) putSlice(o *discoveryv1.EndpointSlice, there bool) bool {
	key := serviceOf(o)
	if key.Name == "" {
		return false
	}
	of := slices.DeleteFunc(s.slices[key], func(x *discoveryv1.EndpointSlice) bool { return x.Name == o.Name })
	if there {
		of = append(of, o)
	}
	keep(s.slices, key, of, len(of) > 0)
	return s.services[key] != nil && mark(s.pending.services, key)
}

// nameNode makes the name of a node known or unknown to endpoints. Those that came before
// their node are looked at again.
func (s *Store) nameNode(name lb.NodeName, there bool) {
	if !there {
		s.nodes.Remove(name)
		return
	}
	if s.nodes.Add(name); s.pending.First {
		return // all Services are to be looked at
	}
	if _, known := s.others[reflect.TypeFor[*corev1.Node]()][client.ObjectKey{Name: string(name)}]; known {
		return
	}
	for key, of := range s.slices {
		if s.services[key] != nil && slices.ContainsFunc(of, func(x *discoveryv1.EndpointSlice) bool { return apiconv.HasEndpointOn(x, name) }) {
			mark(s.pending.services, key)
		}
	}
}

// serviceOf returns the Service that an EndpointSlice says to be of.
func serviceOf(o *discoveryv1.EndpointSlice) lb.ServiceKey {
	return lb.ServiceKey{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
}

// putClaim takes in a claim by the address that its name says. One for another address
// claims nothing.
func (s *Store) putClaim(o *v1beta1.IPAddressClaim, there bool) bool {
	address, err := apiconv.NamedAddress(o.Name)
	if err != nil {
		return false
	}
	if there {
		_, err = apiconv.ClaimAddress(o)
	}
	return keep(s.claims, address, o, there && err == nil) && mark(s.pending.claims, address)
}

// keep says whether anything is there, or was.
func keep[K comparable, V any](in map[K]V, key K, object V, there bool) bool {
	_, was := in[key]
	if there {
		in[key] = object
	} else {
		delete(in, key)
	}
	return there || was
}
