// Package informers has one store of the cached objects that a speaker uses. The store has two readers, one
// for layer 2 and one for BGP, and passes the changed objects to each of them. A changed Service is parsed
// once for all readers. The cost of this does not grow with the size of the cluster.
package informers

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
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// Store has the objects of all kinds. They are shared with the cache and must not be changed. Make a
// store with NewStore. Informers call the functions of Handler from their own goroutines.
type Store struct {
	counts func(client.Object) bool

	mu       sync.Mutex // guards the fields below; a reader holds it while it reads
	readers  []*Reader
	services map[lb.ServiceKey]*corev1.Service // of type LoadBalancer
	slices   map[lb.ServiceKey][]*discoveryv1.EndpointSlice
	claims   map[netip.Addr]*v1beta1.IPAddressClaim
	// namespaces has the labels of each namespace.
	namespaces map[string]map[string]string
	others     map[reflect.Type]map[client.ObjectKey]client.Object
	nodes      apiconv.NodeNames // names of the Nodes in others
	// holders and parsed are cached results of parsing objects. They are dropped when these objects change. All
	// readers share them.
	holders map[lb.ServiceKey]*eligibility.Holder
	parsed  []eligibility.Node
}

// NewStore returns an empty store. The store ignores objects for which the function counts returns false.
func NewStore(counts func(client.Object) bool) *Store {
	return &Store{
		counts: counts, services: map[lb.ServiceKey]*corev1.Service{},
		slices: map[lb.ServiceKey][]*discoveryv1.EndpointSlice{}, claims: map[netip.Addr]*v1beta1.IPAddressClaim{}, namespaces: map[string]map[string]string{},
		others: map[reflect.Type]map[client.ObjectKey]client.Object{}, nodes: apiconv.NodeNames{}, holders: map[lb.ServiceKey]*eligibility.Holder{},
	}
}

// Note records the present version of an object, or that the object does not exist any more.
func (s *Store) Note(object client.Object, exists bool) {
	at := time.Now() // before the lock, which a reader may hold for some time
	exists = exists && s.counts(object)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch o := object.(type) {
	case *corev1.Service:
		key := apiconv.KeyOf(o)
		if putEntry(s.services, key, o, exists && o.Spec.Type == corev1.ServiceTypeLoadBalancer) {
			s.noteServiceChange(key, at)
		}
	case *discoveryv1.EndpointSlice:
		s.putSlice(o, exists, at)
	case *v1beta1.IPAddressClaim:
		s.putClaim(o, exists, at)
	case *metav1.PartialObjectMetadata:
		s.putNamespace(o, exists, at)
	default:
		s.putOther(object, exists, at)
	}
}

// noteForReaders records a change for the readers of a kind.
func (s *Store) noteForReaders(kind reflect.Type, at time.Time, note func(*Changes)) {
	for _, r := range s.readers {
		if r.kinds == nil || r.kinds[kind] {
			r.noteChange(at, note)
		}
	}
}

func (s *Store) noteServiceChange(key lb.ServiceKey, at time.Time) {
	delete(s.holders, key)
	s.noteForReaders(reflect.TypeFor[*corev1.Service](), at, func(c *Changes) { c.services[key] = true })
}

// isUnread reports whether no reader has read yet. Until then it does not matter which Services have changed,
// since the first read of each reader covers all objects.
func (s *Store) isUnread() bool {
	return !slices.ContainsFunc(s.readers, func(r *Reader) bool { return !r.pending.First })
}

func (s *Store) putOther(object client.Object, exists bool, at time.Time) {
	kind := reflect.TypeOf(object)
	switch o := object.(type) {
	case *corev1.Node:
		s.parsed = nil
		s.putNodeName(lb.NodeName(o.Name), exists, at)
	case *v1beta1.LoadBalancerStack:
		s.parsed = nil
	}
	if s.others[kind] == nil {
		s.others[kind] = map[client.ObjectKey]client.Object{}
	}
	if putEntry(s.others[kind], client.ObjectKeyFromObject(object), object, exists) {
		s.noteForReaders(kind, at, func(c *Changes) { c.kinds[kind] = true })
	}
}

// NamespaceKind returns the kind of namespaces. Only the metadata of namespaces is watched.
func NamespaceKind() client.Object {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return o
}

// putNamespace records the labels of a namespace. Each Service in the namespace counts as changed.
func (s *Store) putNamespace(o *metav1.PartialObjectMetadata, exists bool, at time.Time) {
	putEntry(s.namespaces, o.Name, o.Labels, exists)
	if s.isUnread() {
		return // the first read covers all Services, so that those of the namespace need not be searched
	}
	for key := range s.services {
		if key.Namespace == o.Name {
			s.noteServiceChange(key, at)
		}
	}
}

func (s *Store) putSlice(o *discoveryv1.EndpointSlice, exists bool, at time.Time) {
	key := serviceOf(o)
	if key.Name == "" {
		return
	}
	of := slices.DeleteFunc(s.slices[key], func(x *discoveryv1.EndpointSlice) bool { return x.Name == o.Name })
	if exists {
		of = append(of, o)
	}
	putEntry(s.slices, key, of, len(of) > 0)
	if s.services[key] != nil {
		s.noteServiceChange(key, at)
	}
}

// putNodeName adds a name to nodes, or removes it. If the node is new, all Services with endpoints on this
// node count as changed: the endpoints may have arrived before the node.
func (s *Store) putNodeName(name lb.NodeName, exists bool, at time.Time) {
	if !exists {
		s.nodes.Remove(name)
		return
	}
	if s.nodes.Add(name); s.isUnread() {
		return // the first read covers all Services
	}
	if _, known := s.others[reflect.TypeFor[*corev1.Node]()][client.ObjectKey{Name: string(name)}]; known {
		return
	}
	for key, of := range s.slices {
		if s.services[key] != nil && slices.ContainsFunc(of, func(x *discoveryv1.EndpointSlice) bool { return apiconv.HasEndpointOn(x, name) }) {
			s.noteServiceChange(key, at)
		}
	}
}

// serviceOf returns the Service that an EndpointSlice belongs to.
func serviceOf(o *discoveryv1.EndpointSlice) lb.ServiceKey {
	return lb.ServiceKey{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
}

// putClaim records an IPAddressClaim under the address in its name. A claim whose spec has another address is
// ignored.
func (s *Store) putClaim(o *v1beta1.IPAddressClaim, exists bool, at time.Time) {
	address, err := apiconv.AddressFromClaimName(o.Name)
	if err != nil {
		return
	}
	if exists {
		_, err = apiconv.ClaimAddress(o)
	}
	if putEntry(s.claims, address, o, exists && err == nil) {
		s.noteForReaders(reflect.TypeOf(o), at, func(c *Changes) { c.claims[address] = true })
	}
}

// putEntry sets or deletes an entry of a map. It reports whether the map has an entry for the key now, or had
// one before.
func putEntry[K comparable, V any](in map[K]V, key K, object V, exists bool) bool {
	_, existed := in[key]
	if exists {
		in[key] = object
	} else {
		delete(in, key)
	}
	return exists || existed
}
