// Package routing brings the speaker's BGP part what the cluster wants: sessions and
// routes. It looks again only at what has changed, so that a change of a Service costs
// the same in a small cluster and in a large one.
package routing

import (
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

// store has the objects that were seen, and which of them are news. They are those of
// the cache, and must not be changed.
type store struct {
	news chan struct{} // holds one token when there is news

	mu       sync.Mutex
	services map[lb.ServiceKey]*corev1.Service
	slices   map[lb.ServiceKey]map[string]*discoveryv1.EndpointSlice
	claims   map[string]*v1beta1.IPAddressClaim
	node     *corev1.Node
	pools    map[string]*v1beta1.IPAddressPool
	ads      map[string]*v1beta1.BGPAdvertisement
	peers    map[string]*v1beta1.BGPPeer
	profiles map[string]*v1beta1.BFDProfile
	aliases  map[string]*v1beta1.Community
	secrets  map[string]*corev1.Secret

	pending pending
}

// pending is what is to be looked at.
type pending struct {
	services map[lb.ServiceKey]bool
	claims   map[string]bool
	config   bool
	seen     time.Time // when the first of it was; zero: there is nothing
}

func newStore() *store {
	return &store{
		news: make(chan struct{}, 1), services: map[lb.ServiceKey]*corev1.Service{},
		slices: map[lb.ServiceKey]map[string]*discoveryv1.EndpointSlice{}, claims: map[string]*v1beta1.IPAddressClaim{},
		pools: map[string]*v1beta1.IPAddressPool{}, ads: map[string]*v1beta1.BGPAdvertisement{}, peers: map[string]*v1beta1.BGPPeer{},
		profiles: map[string]*v1beta1.BFDProfile{}, aliases: map[string]*v1beta1.Community{}, secrets: map[string]*corev1.Secret{},
		pending: pending{services: map[lb.ServiceKey]bool{}, claims: map[string]bool{}},
	}
}

// take returns what is to be looked at, and forgets it.
func (s *store) take() pending {
	p := s.pending
	s.pending = pending{services: map[lb.ServiceKey]bool{}, claims: map[string]bool{}}
	return p
}

// handler notes each change. Whether an object counts at all is asked before.
func (s *store) handler(counts func(client.Object) bool) cache.ResourceEventHandler {
	note := func(seen any, there bool) {
		if gone, is := seen.(cache.DeletedFinalStateUnknown); is {
			seen = gone.Obj
		}
		object, is := seen.(client.Object)
		if !is || !counts(object) {
			return
		}
		at := time.Now() // a look at what came before may hold the lock
		s.mu.Lock()
		s.put(object, there)
		if s.pending.seen.IsZero() {
			s.pending.seen = at
		}
		s.mu.Unlock()
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { note(object, true) },
		UpdateFunc: func(before, now any) {
			if differ(before, now) {
				note(now, true)
			}
		},
		DeleteFunc: func(object any) { note(object, false) },
	}
}

// differ says whether two versions of an object differ in anything that counts: of our
// own kinds the status does not, and of the others the cache keeps no more than counts.
func differ(before, now any) bool {
	x, isObject := before.(client.Object)
	y, alike := now.(client.Object)
	if !isObject || !alike {
		return true
	}
	if y.GetGeneration() > 0 {
		return x.GetGeneration() != y.GetGeneration() || !maps.Equal(x.GetLabels(), y.GetLabels())
	}
	x = x.DeepCopyObject().(client.Object) // the cache's own is only read
	x.SetResourceVersion(y.GetResourceVersion())
	return !equality.Semantic.DeepEqual(x, y)
}

func (s *store) put(object client.Object, there bool) {
	switch o := object.(type) {
	case *corev1.Service:
		key := lb.ServiceKey{Namespace: o.Namespace, Name: o.Name}
		keep(s.services, key, o, there && o.Spec.Type == corev1.ServiceTypeLoadBalancer)
		s.pending.services[key] = true
	case *discoveryv1.EndpointSlice:
		s.putSlice(o, there)
	case *v1beta1.IPAddressClaim:
		keep(s.claims, o.Name, o, there)
		s.pending.claims[o.Name] = true
	default:
		s.pending.config = true
		s.putConfig(object, there)
	}
}

func (s *store) putConfig(object client.Object, there bool) {
	switch o := object.(type) {
	case *corev1.Node:
		s.node = o
		if !there {
			s.node = nil
		}
	case *v1beta1.IPAddressPool:
		keep(s.pools, o.Name, o, there)
	case *v1beta1.BGPAdvertisement:
		keep(s.ads, o.Name, o, there)
	case *v1beta1.BGPPeer:
		keep(s.peers, o.Name, o, there)
	case *v1beta1.BFDProfile:
		keep(s.profiles, o.Name, o, there)
	case *v1beta1.Community:
		keep(s.aliases, o.Name, o, there)
	case *corev1.Secret:
		keep(s.secrets, o.Name, o, there)
	}
}

func (s *store) putSlice(o *discoveryv1.EndpointSlice, there bool) {
	key := lb.ServiceKey{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
	of := s.slices[key]
	if of == nil {
		of = map[string]*discoveryv1.EndpointSlice{}
		s.slices[key] = of
	}
	keep(of, o.Name, o, there)
	if len(of) == 0 {
		delete(s.slices, key)
	}
	if s.services[key] != nil {
		s.pending.services[key] = true
	}
}

func keep[K comparable, V any](in map[K]*V, key K, object *V, there bool) {
	if there {
		in[key] = object
	} else {
		delete(in, key)
	}
}
