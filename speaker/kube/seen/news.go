package seen

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// News is what is to be looked at. It counts only while the store's Look runs.
type News struct {
	// First says that nobody has looked before: everything is news.
	First bool
	// Seen is when the first of it was; zero: there is none.
	Seen time.Time

	store    *Store
	services map[lb.ServiceKey]bool
	claims   map[netip.Addr]bool
	kinds    map[reflect.Type]bool // of which others have changed
}

// Planner takes what Services and claims are like; nil: they are gone.
type Planner interface {
	SetService(lb.ServiceKey, *eligibility.Holder)
	SetClaim(netip.Addr, *eligibility.Claim)
}

func (s *Store) nothing() News {
	return News{store: s, services: map[lb.ServiceKey]bool{}, claims: map[netip.Addr]bool{}, kinds: map[reflect.Type]bool{}}
}

// mark adds to a set, and is true.
func mark[K comparable](set map[K]bool, key K) bool {
	set[key] = true
	return true
}

// Changed says whether any object of these kinds is news. Services, their EndpointSlices
// and claims do not count: see Tell.
func (n News) Changed(kinds ...client.Object) bool {
	return n.First || slices.ContainsFunc(kinds, func(k client.Object) bool { return n.kinds[reflect.TypeOf(k)] })
}

// Tell tells a planner of the Services and claims that are news.
func (n News) Tell(p Planner) {
	for key := range n.services {
		p.SetService(key, n.store.holder(key))
	}
	for address := range n.claims {
		p.SetClaim(address, n.store.claim(address))
	}
}

// TellAll tells a planner of all Services and claims that there are.
func (n News) TellAll(p Planner) {
	for key := range n.store.services {
		p.SetService(key, n.store.holder(key))
	}
	for address := range n.store.claims {
		p.SetClaim(address, n.store.claim(address))
	}
}

// All returns the objects of a kind in order.
func All[T client.Object](n News) []T {
	of := n.store.others[reflect.TypeFor[T]()]
	list := make([]T, 0, len(of))
	for _, key := range slices.SortedFunc(maps.Keys(of), byName) {
		list = append(list, of[key].(T)) // as it was put
	}
	return list
}

// Policy returns what the stack says of nodes.
func Policy(n News) apiconv.DrainPolicy {
	return apiconv.ParseDrainPolicy(Get[*v1beta1.LoadBalancerStack](n, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}))
}

func byName(x, y client.ObjectKey) int {
	return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
}

// Get returns an object of a kind; nil: there is none.
func Get[T client.Object](n News, key client.ObjectKey) T {
	object, _ := n.store.others[reflect.TypeFor[T]()][key].(T)
	return object
}

// holder returns what counts of a Service; nil: it is gone, or of another type.
func (s *Store) holder(key lb.ServiceKey) *eligibility.Holder {
	svc := s.services[key]
	if svc == nil || svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	list := make([]discoveryv1.EndpointSlice, 0, len(s.slices[key]))
	for _, slice := range s.slices[key] {
		list = append(list, *slice)
	}
	return &eligibility.Holder{
		Service: apiconv.AdvertisedService(svc, s.namespaces[key.Namespace], apiconv.ParseEndpoints(list, s.nodes)),
		UID:     string(svc.UID), Shown: apiconv.StatusAddresses(svc),
	}
}

// claim is what counts of the claim for an address; nil: it is gone.
func (s *Store) claim(address netip.Addr) *eligibility.Claim {
	object := s.claims[address]
	if object == nil {
		return nil
	}
	claim := &eligibility.Claim{Pool: lb.PoolName(object.Spec.Pool)}
	for _, h := range object.Spec.Holders {
		claim.Holders = append(claim.Holders, apiconv.AdvertisedHolder(h))
	}
	return claim
}
